"""How far apart the direct lane's batches begin."""

import random
from itertools import pairwise

import pytest

from spark_jobs.direct.pace import Pace


class Lane:
    """A lane that takes what has come, on a clock of its own, and takes some time for it."""

    def __init__(self, seconds_a_batch: float) -> None:
        self.now = 1000.0
        self.seconds_a_batch = seconds_a_batch
        self.pace = Pace(lambda: self.now)
        self.began: list[float] = []
        self.waited: list[float] = []

    def run(self, arrivals: list[float]) -> None:
        """Judge messages that arrive at these times."""
        left = sorted(arrivals)
        while left:
            self.now = max(self.now + self.pace.pause(), left[0])
            taken = [each for each in left if each <= self.now]
            left = left[len(taken) :]
            self.pace.begins(len(taken))
            self.began.append(self.now)
            self.waited += [self.now - each for each in taken]
            self.now += self.seconds_a_batch


def poisson(rate: float, seconds: float) -> list[float]:
    chance = random.Random(7)
    now, found = 1000.0, []
    while (now := now + chance.expovariate(rate)) < 1000.0 + seconds:
        found.append(now)
    return found


@pytest.mark.parametrize("rate", [1, 50])
def test_few_messages_are_never_kept_waiting(rate: float) -> None:
    lane = Lane(0.001)
    lane.run(poisson(rate, 60))
    assert max(lane.waited) <= 0.001 + 1e-9


def test_many_messages_share_a_batch_and_wait_no_longer_than_that() -> None:
    lane = Lane(0.003)
    arrivals = poisson(500, 60)
    lane.run(arrivals)
    apart = [later - earlier for earlier, later in pairwise(lane.began)]
    assert min(apart[-1000:]) >= 0.02 - 1e-9
    assert 8 < len(arrivals) / len(lane.began) < 12
    assert max(lane.waited[-1000:]) <= 0.02 + 1e-9


def test_batches_that_take_longer_follow_each_other() -> None:
    lane = Lane(0.05)
    lane.run(poisson(2000, 10))
    apart = [later - earlier for earlier, later in pairwise(lane.began)]
    assert apart[-100:] == pytest.approx([0.05] * 100)


def test_when_it_is_quiet_again_nobody_waits() -> None:
    lane = Lane(0.001)
    lane.run([*poisson(1000, 5), 1010.0, 1010.005])
    assert lane.waited[-2:] == pytest.approx([0.0, 0.0])
