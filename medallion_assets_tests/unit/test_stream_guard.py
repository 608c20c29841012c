"""What the guard of a Spark application decides, and what it does on a real (in-memory) Dagster instance."""

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import dagster as dg
import psutil
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, JobFailureData
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from hypothesis import given
from hypothesis import strategies as st

from fraud_domain.settings import Layout, Settings
from fraud_domain.streams import applications
from medallion_assets.defs.streams.decide import (
    Beat,
    Decision,
    Desired,
    Kind,
    Limits,
    RunInFlight,
    decide,
    in_turn,
    pause_after,
)
from medallion_assets.defs.streams.guard import (
    IN_FLIGHT,
    fail_run,
    guard_sensor,
    recent_failures,
    runs_in_flight,
    with_process,
)
from medallion_assets.defs.streams.supervisor import GENERATION_TAG, WHY_TAG, job_name, supervisor_job
from medallion_assets_tests.fakes import FakePlatform

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LIMITS = Limits(stale_after=timedelta(seconds=60))
LONG_AGO = NOW - timedelta(days=1)


def seconds_ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def wanted(running: bool = True, generation: int = 1, changed_at: datetime = LONG_AGO) -> Desired:
    return Desired(running, generation, "maintenance", changed_at)


def run(age: float, status: str = "STARTED", generation: int = 1) -> RunInFlight:
    return RunInFlight("run-1", status, seconds_ago(age), generation)


def beat(age: float, state: str = "running", run_id: str = "run-1", stream: str = "bronze", gone: bool = False) -> Beat:
    return Beat(stream, run_id, state, seconds_ago(age), "host", 4711, gone)


@dataclass(frozen=True)
class Scene:
    """One row of the table: what the guard sees, and what it must do."""

    name: str
    kind: Kind
    says: str
    desired: Desired = field(default_factory=wanted)
    runs: tuple[RunInFlight, ...] = ()
    beats: tuple[Beat, ...] = ()
    failures: tuple[datetime, ...] = ()


SCENES = (
    Scene("nothing ever ran", Kind.START, "no run and no driver"),
    Scene("last driver stopped cleanly", Kind.START, "no run and no driver", beats=(beat(1, "stopped"),)),
    Scene("last driver failed", Kind.START, "trying again", beats=(beat(1, "failed"),), failures=(seconds_ago(6),)),
    Scene("driver died long ago", Kind.START, "no run and no driver", beats=(beat(3600),)),
    Scene("all streams beat", Kind.HEALTHY, "oldest beat 9 s ago", runs=(run(500),), beats=(beat(9), beat(2))),
    Scene("young run, no beat yet", Kind.STARTING, "run STARTED", runs=(run(20),)),
    Scene(
        "driver up, first batch under way",
        Kind.STARTING,
        "first batches",
        runs=(run(60),),
        beats=(beat(1, "starting"),),
    ),
    Scene("queued run", Kind.STARTING, "run QUEUED", runs=(run(20, "QUEUED"),)),
    Scene(
        "young run, beats of its predecessor", Kind.STARTING, "run", runs=(run(20),), beats=(beat(900, run_id="old"),)
    ),
    Scene("run, but wanted stopped", Kind.STOP, "maintenance", desired=wanted(False), runs=(run(500),)),
    Scene("no run, wanted stopped", Kind.IDLE, "maintenance", desired=wanted(False)),
    Scene("stopped wins over failures", Kind.IDLE, "on purpose", desired=wanted(False), failures=(seconds_ago(900),)),
    Scene("orphan of a killed worker", Kind.WAIT_ORPHAN, "pid 4711 on host", beats=(beat(3),)),
    Scene("orphan that is starting", Kind.WAIT_ORPHAN, "without a run", beats=(beat(3, "starting"),)),
    Scene("zombie that never beat", Kind.FAIL_ZOMBIE, "no heartbeat ever", runs=(run(200),)),
    Scene(
        "zombie after a full crash", Kind.FAIL_ZOMBIE, "no heartbeat of bronze", runs=(run(9000),), beats=(beat(600),)
    ),
    Scene(
        "one hung stream among healthy ones",
        Kind.FAIL_ZOMBIE,
        "no heartbeat of silver",
        runs=(run(9000),),
        beats=(beat(1), beat(61, stream="silver")),
    ),
    Scene(
        "orphan of another run does not make this one healthy",
        Kind.FAIL_ZOMBIE,
        "no heartbeat ever",
        runs=(run(9000),),
        beats=(beat(1, run_id="other"),),
    ),
    Scene(
        "all was killed: a run that is young, and nobody behind it",
        Kind.FAIL_ZOMBIE,
        "the driver of bronze (pid 4711) is gone, its last beat was 10 s ago",
        runs=(run(40),),
        beats=(beat(10, gone=True), beat(10, stream="silver", gone=True)),
    ),
    Scene(
        "killed while it started",
        Kind.FAIL_ZOMBIE,
        "is gone",
        runs=(run(40),),
        beats=(beat(10, "starting", gone=True),),
    ),
    Scene("just died: its run hears it first", Kind.HEALTHY, "", runs=(run(40),), beats=(beat(9, gone=True),)),
    Scene(
        "ended as asked: its run says so", Kind.HEALTHY, "", runs=(run(40),), beats=(beat(20, "stopped", gone=True),)
    ),
    Scene("the dead are not waited for", Kind.START, "no run and no driver", beats=(beat(10, gone=True),)),
    Scene(
        "restart asked for by generation",
        Kind.STOP,
        "restart asked for",
        desired=wanted(generation=2),
        runs=(run(500),),
        beats=(beat(1),),
    ),
    Scene("first failure", Kind.START, "trying again after 1", failures=(seconds_ago(0),)),
    Scene("just failed again", Kind.BACK_OFF, "next try in 4 s", failures=tuple(map(seconds_ago, (2, 40)))),
    Scene("pause over", Kind.START, "trying again after 2", failures=tuple(map(seconds_ago, (6, 40)))),
    Scene("third failure waits longer", Kind.BACK_OFF, "3 failure(s)", failures=tuple(map(seconds_ago, (9, 40, 60)))),
    Scene(
        "gives up", Kind.CIRCUIT_OPEN, "9 failures in a row", failures=tuple(seconds_ago(9000 + n) for n in range(9))
    ),
    Scene(
        "a person restarts after the circuit opened",
        Kind.START,
        "no run and no driver",
        desired=wanted(generation=2, changed_at=seconds_ago(10)),
        failures=tuple(seconds_ago(20 + n) for n in range(9)),
    ),
    Scene(
        "failures since the restart count again",
        Kind.BACK_OFF,
        "2 failure(s)",
        desired=wanted(generation=2, changed_at=seconds_ago(10)),
        failures=(seconds_ago(1), seconds_ago(6), *(seconds_ago(20 + n) for n in range(9))),
    ),
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_guard_decides(scene: Scene) -> None:
    decision = decide(NOW, scene.desired, scene.runs, scene.beats, scene.failures, LIMITS)
    assert decision.kind is scene.kind
    assert scene.says in decision.reason
    concerns_run = {Kind.STOP, Kind.FAIL_ZOMBIE, Kind.HEALTHY, Kind.STARTING}
    assert decision.run_id == ("run-1" if scene.kind in concerns_run else None)


def test_every_kind_of_decision_is_in_the_table() -> None:
    assert {scene.kind for scene in SCENES} | {Kind.WAIT_TURN} == set(Kind)


@pytest.mark.parametrize("ahead", Kind)
def test_the_lake_waits_only_for_an_alert_lane_that_is_about_to_run(ahead: Kind) -> None:
    start, other = Decision(Kind.START, "no run"), Decision(Kind.HEALTHY, "fine")
    waits = in_turn(start, Decision(ahead, "first batches under way"), "alerts")
    if ahead in (Kind.START, Kind.STARTING):
        assert waits == Decision(Kind.WAIT_TURN, "after alerts, which is at: first batches under way")
    else:
        assert waits == start
    assert in_turn(other, Decision(ahead, ""), "alerts") == other


def test_pause_doubles_and_is_capped() -> None:
    pauses = [pause_after(failures, LIMITS).total_seconds() for failures in range(1, 11)]
    assert pauses == [0, 5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert pause_after(10_000, LIMITS) == LIMITS.longest_pause


_ages = st.floats(min_value=-5, max_value=100_000)
_desired = st.builds(wanted, st.booleans(), st.integers(0, 3), _ages.map(seconds_ago))
_runs = st.builds(run, _ages, st.sampled_from([status.value for status in IN_FLIGHT]), st.integers(0, 3))
_beats = st.builds(
    beat,
    _ages,
    st.sampled_from(["starting", "running", "stopped", "failed"]),
    st.sampled_from(["run-1", "run-0"]),
    gone=st.booleans(),
)
_failures = st.lists(_ages.map(seconds_ago), max_size=12).map(lambda found: sorted(found, reverse=True))


@given(_desired, st.lists(_runs, max_size=3), st.lists(_beats, max_size=4), _failures)
def test_nothing_starts_beside_a_run_or_a_living_driver(
    desired: Desired, runs: list[RunInFlight], beats: list[Beat], failures: list[datetime]
) -> None:
    decision = decide(NOW, desired, runs, beats, failures, LIMITS)
    fresh = [b for b in beats if b.state in {"starting", "running"} and NOW - b.at < LIMITS.stale_after]
    alive = [b for b in fresh if not b.gone]
    if runs or alive or not desired.running:
        assert decision.kind is not Kind.START
    assert decision.reason
    if decision.run_id:
        assert decision.run_id == runs[0].run_id


@given(_desired, _failures)
def test_a_person_who_restarts_is_obeyed_at_once(desired: Desired, failures: list[datetime]) -> None:
    newest = Desired(True, desired.generation, "", NOW)
    past = [f for f in failures if f <= NOW]
    assert decide(NOW, newest, [], [], past, LIMITS).kind is Kind.START


LAKE = next(a for a in applications(Layout.TWO) if a.name == "lake")
JOB = job_name(LAKE)
SUPERVISOR = supervisor_job(LAKE)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def make_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus | None = None,
    tags: dict[str, str] | None = None,
    job: str = JOB,
) -> dg.DagsterRun:
    """A run of a job as the code server would have made it."""
    location = GrpcServerCodeLocationOrigin(host="localhost", port=1)
    origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin(job)
    made: dg.DagsterRun = create_run_for_test(
        instance, job_name=job, status=status, tags=tags, remote_job_origin=origin
    )
    return made


def happened(instance: dg.DagsterInstance, run_id: str, kind: DagsterEventType, at: datetime) -> None:
    """Tell the run storage what happened to a run, and when."""
    data = JobFailureData(None, None) if kind is DagsterEventType.PIPELINE_FAILURE else None
    event = DagsterEvent(kind.value, JOB, event_specific_data=data)
    instance.run_storage.handle_run_event(run_id, event, at)


def ended(instance: dg.DagsterInstance, kind: DagsterEventType, after: timedelta, at: datetime = NOW) -> None:
    """A run that ended at `at` after it had run for `after`."""
    run_id = make_run(instance).run_id
    happened(instance, run_id, DagsterEventType.PIPELINE_START, at - after)
    happened(instance, run_id, kind, at)


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_every_unfinished_status_counts_as_in_flight(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    created = make_run(instance, status=status, tags={GENERATION_TAG: "3"})
    make_run(instance, job="another_job", status=status)
    (found,) = runs_in_flight(instance, JOB)
    assert (found.run_id, found.status, found.generation) == (created.run_id, status.value, 3)
    assert abs((datetime.now(UTC) - found.since).total_seconds()) < 30


def test_in_flight_covers_all_that_dagster_calls_unfinished() -> None:
    finished = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    unused = {dg.DagsterRunStatus.MANAGED}
    assert {s.value for s in dg.DagsterRunStatus if s.value != "SUSPENDED"} == {
        s.value for s in {*IN_FLIGHT, *finished, *unused}
    }


def test_finished_runs_are_not_in_flight(instance: dg.DagsterInstance) -> None:
    for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        make_run(instance, status=status)
    assert runs_in_flight(instance, JOB) == []


def test_failures_are_counted_from_storage_newest_first(instance: dg.DagsterInstance) -> None:
    times = [NOW - timedelta(minutes=n) for n in (3, 2, 1)]
    for at in times:
        ended(instance, DagsterEventType.PIPELINE_FAILURE, timedelta(seconds=20), at)
    make_run(instance, status=dg.DagsterRunStatus.QUEUED)
    assert recent_failures(instance, JOB) == times[::-1]


@pytest.mark.parametrize("good", [DagsterEventType.PIPELINE_SUCCESS, DagsterEventType.PIPELINE_CANCELED])
def test_good_run_forgives_the_failures_before_it(instance: dg.DagsterInstance, good: DagsterEventType) -> None:
    ended(instance, DagsterEventType.PIPELINE_FAILURE, timedelta(seconds=20))
    ended(instance, good, timedelta(seconds=20))
    ended(instance, DagsterEventType.PIPELINE_FAILURE, timedelta(seconds=20))
    assert len(recent_failures(instance, JOB)) == 1


def test_run_that_lived_long_counts_once_and_forgives_the_failures_before_it(instance: dg.DagsterInstance) -> None:
    ended(instance, DagsterEventType.PIPELINE_FAILURE, timedelta(seconds=20))
    ended(instance, DagsterEventType.PIPELINE_FAILURE, timedelta(hours=2))
    assert len(recent_failures(instance, JOB)) == 1


def tick(instance: dg.DagsterInstance, desired: Desired, *beats: Beat) -> dg.RunRequest | dg.SkipReason:
    """One tick of the guard of the lake's streams."""
    platform = FakePlatform(Settings(), desired, beats)
    sensor = guard_sensor(LAKE, SUPERVISOR)
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        (answer,) = list(cast(Iterator[dg.RunRequest | dg.SkipReason], sensor(context)))
    return answer


@pytest.fixture
def canceled(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that were asked to end; the in-memory launcher itself cannot end any."""
    asked: list[str] = []

    def cancel(run_id: str) -> bool:
        asked.append(run_id)
        return True

    monkeypatch.setattr(instance.run_coordinator, "cancel_run", cancel)
    return asked


def test_first_tick_asks_for_a_run_that_says_why(instance: dg.DagsterInstance) -> None:
    answer = tick(instance, wanted(generation=7))
    assert isinstance(answer, dg.RunRequest)
    assert answer.tags[GENERATION_TAG] == "7"
    assert "no run and no driver" in answer.tags[WHY_TAG]


def test_queued_run_is_enough(instance: dg.DagsterInstance) -> None:
    make_run(instance, status=dg.DagsterRunStatus.QUEUED, tags={GENERATION_TAG: "1"})
    answer = tick(instance, wanted())
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message is not None
    assert answer.skip_message.startswith("starting: ")


def test_beats_of_other_applications_are_not_this_ones(instance: dg.DagsterInstance) -> None:
    alive = Beat("alerts", "r", "running", datetime.now(UTC), "host", 1)
    assert isinstance(tick(instance, wanted(), alive), dg.RunRequest)


def test_living_orphan_is_waited_for_and_named(instance: dg.DagsterInstance) -> None:
    answer = tick(instance, wanted(), Beat("silver", "gone", "running", datetime.now(UTC), "host", 99))
    assert isinstance(answer, dg.SkipReason)
    assert "pid 99" in str(answer.skip_message)


def test_a_process_of_this_host_that_ended_is_known_to_be_gone() -> None:
    minute = timedelta(minutes=1)
    ended = subprocess.Popen(["true"])
    ended.wait()
    me, now = os.getpid(), datetime.now(UTC)

    def gone(pid: int, at: datetime = now, host: str = socket.gethostname()) -> bool:
        return with_process(Beat("bronze", "r", "running", at, host, pid), minute).gone

    assert gone(ended.pid)
    assert not gone(ended.pid, host="another")
    assert not gone(me)
    born = datetime.fromtimestamp(psutil.Process(me).create_time(), UTC)
    assert gone(me, born - timedelta(seconds=61)), "another process of the same number"
    assert not gone(me, born - timedelta(seconds=59)), "clocks may differ"


def test_stop_asks_the_run_to_end_and_says_who_wants_it(instance: dg.DagsterInstance, canceled: list[str]) -> None:
    started = make_run(instance, status=dg.DagsterRunStatus.STARTED)
    answer = tick(instance, wanted(False))
    assert canceled == [started.run_id]
    assert "maintenance" in str(cast(dg.SkipReason, answer).skip_message)


def test_zombie_is_failed_and_the_next_tick_starts_its_successor(
    instance: dg.DagsterInstance, canceled: list[str]
) -> None:
    zombie = make_run(instance, status=dg.DagsterRunStatus.STARTED, tags={GENERATION_TAG: "1"})
    long_silent = Beat("bronze", zombie.run_id, "running", datetime.now(UTC) - timedelta(hours=1), "host", 1)
    create_time = datetime.now(UTC) - timedelta(hours=2)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # only SQL storages have it
        connection.exec_driver_sql("UPDATE runs SET create_timestamp = ?", (create_time.replace(tzinfo=None),))
    tick(instance, wanted(), long_silent)
    assert canceled == [zombie.run_id]
    assert instance.get_run_by_id(zombie.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert isinstance(tick(instance, wanted(changed_at=datetime.now(UTC)), long_silent), dg.RunRequest)


def test_zombie_is_failed_even_when_its_worker_cannot_be_reached(instance: dg.DagsterInstance) -> None:
    zombie = make_run(instance, status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(Exception, match="Termination not supported"):
        fail_run(instance, zombie.run_id, "gone")
    assert runs_in_flight(instance, JOB) == []


def test_finished_run_is_left_as_it_ended(instance: dg.DagsterInstance, canceled: list[str]) -> None:
    done = make_run(instance, status=dg.DagsterRunStatus.SUCCESS)
    fail_run(instance, done.run_id, "too late")
    fail_run(instance, "no-such-run", "unknown")
    assert canceled == []
    assert instance.get_run_by_id(done.run_id).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]


def test_a_stop_for_a_while_says_until_when() -> None:
    desired = Desired(False, 1, "new disk", LONG_AGO, NOW + timedelta(hours=2))
    decision = decide(NOW, desired, [], [], [], LIMITS)
    assert decision.kind is Kind.IDLE
    assert decision.reason == "stopped on purpose until 2026-03-04 14:00 UTC: new disk"


def kind(*, runs: tuple[RunInFlight, ...] = (), beats: tuple[Beat, ...] = (), failures: tuple[float, ...] = ()) -> Kind:
    return decide(NOW, wanted(), runs, beats, [seconds_ago(age) for age in failures], LIMITS).kind


def test_patience_ends_at_its_limit_and_not_before() -> None:
    assert kind(runs=(run(9000),), beats=(beat(59.9),)) is Kind.HEALTHY
    assert kind(runs=(run(9000),), beats=(beat(60),)) is Kind.FAIL_ZOMBIE
    assert kind(beats=(beat(59.9),)) is Kind.WAIT_ORPHAN
    assert kind(beats=(beat(60),)) is Kind.START
    assert kind(runs=(run(149.9),)) is Kind.STARTING
    assert kind(runs=(run(150),)) is Kind.FAIL_ZOMBIE
    assert kind(failures=(0,)) is Kind.START
    assert kind(failures=(4.9, 30)) is Kind.BACK_OFF
    assert kind(failures=(5, 30)) is Kind.START


def test_what_a_guard_says_can_be_acted_on() -> None:
    def says(desired: Desired, *runs: RunInFlight, beats: tuple[Beat, ...] = (), failures: int = 0) -> str:
        ended = [seconds_ago(9000 + number) for number in range(failures)]
        return decide(NOW, desired, runs, beats, ended, LIMITS).reason

    for why, said in (("", "no reason given"), ("new disk", "new disk")):
        stopped, newer = Desired(False, 1, why, LONG_AGO), Desired(True, 2, why, LONG_AGO)
        assert says(stopped, run(500)) == f"wanted stopped: {said}"
        assert says(stopped) == f"stopped on purpose: {said}"
        assert says(newer, run(500)) == f"restart asked for: {said}"
    assert says(wanted()) == "no run and no driver: starting"
    assert says(wanted(), run(500), beats=(beat(0),)) == "healthy: oldest beat 0 s ago"
    assert says(wanted(), beats=(beat(3),)) == (
        "a driver without a run still writes bronze (pid 4711 on host, beat 3 s ago); it stops itself, a successor"
        " starts after that"
    )
    assert says(wanted(), failures=9) == (
        "9 failures in a row, last 9000 s ago: not trying again. See the last run's error, mend the cause, then"
        " `medallion streams restart`"
    )
