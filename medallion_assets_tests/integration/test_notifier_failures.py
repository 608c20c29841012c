"""Nothing is lost, and repeats carry the same key: providers that are down, slow or refuse, and a killed worker."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.integration import notifying
from medallion_assets_tests.integration.receivers import Answer, http_receiver
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.throwaway import own_database


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield notifying.with_notifier(settings, lease_seconds=3.0, timeout_seconds=1.0)


@pytest.fixture(autouse=True)
def _clean(server: Settings) -> None:
    notifying.clean(server)


def hooks(settings: Settings, port: int, *names: str) -> None:
    """Webhooks of these names on one receiver, each on a path of its own."""
    lines = [f"  {name}: {{url: 'http://127.0.0.1:{port}/{name}?token=s3cret'}}" for name in names]
    notifying.write_recipients(settings, "\n".join(["webhook:", *lines, ""]))
    for name in names:
        notifying.add_route(settings, "webhook", name)


def expected_keys(settings: Settings) -> set[str]:
    """One key a row."""
    return {f"outbox-{row['outbox_id']}" for row in notifying.rows(settings)}


def test_what_a_provider_missed_arrives_when_it_is_back(server: Settings) -> None:
    (port,) = free_ports(1)
    hooks(server, port, "core")
    with notifying.worker(server):
        for _ in range(20):
            notifying.alert(server)
        notifying.wait_for(lambda: all(row["last_error"] for row in notifying.rows(server)))
        assert {row["last_error"] for row in notifying.rows(server)} == {"Connection refused"}
        with http_receiver(port) as receiver:
            notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 20}, 40)
            assert sorted(receiver.keys()) == sorted(expected_keys(server))
    notifying.say(f"provider down, then up: {len(receiver.requests)} of 20 delivered, each once")


def test_a_slow_provider_is_cut_off_and_tried_again_with_the_same_key(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        receiver.answer = lambda _: Answer(delay=2.0 if len(receiver.requests) == 1 else 0.0)
        hooks(server, receiver.port, "core")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.rows(server)[0]["last_error"] is not None)
        assert notifying.rows(server)[0]["last_error"] == "no answer within 1 s"
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    assert receiver.keys() == [*expected_keys(server)] * 2


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_refusal_for_good_is_dead_at_once_without_the_address(server: Settings, status: int) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        receiver.answer = lambda _: Answer(status=status)
        hooks(server, receiver.port, "core")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"dead": 1})
    (row,) = notifying.rows(server)
    assert row["last_error"].startswith(f"HTTP {status}")
    assert "s3cret" not in str(row)
    assert len(receiver.requests) == 1


def test_too_many_requests_waits_as_long_as_asked(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        times: list[float] = []

        def answer(_: object) -> Answer:
            times.append(time.monotonic())
            return Answer(status=429, headers={"Retry-After": "3"}) if len(times) == 1 else Answer()

        receiver.answer = answer
        hooks(server, receiver.port, "core")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    assert times[1] - times[0] >= 3.0


def test_half_of_the_recipients_failing_touches_only_their_rows(server: Settings) -> None:
    names = [f"r{number}" for number in range(6)]
    with http_receiver() as receiver, notifying.worker(server):
        receiver.answer = lambda request: Answer(status=503) if int(request.path[2]) % 2 else Answer()
        hooks(server, receiver.port, *names)
        for _ in range(10):
            notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 30, "pending": 30})
        sent = {row["recipient"] for row in notifying.rows(server) if row["status"] == "sent"}
        assert sent == {"r0", "r2", "r4"}
        receiver.answer = lambda _: Answer()
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 60}, 60)
    assert set(receiver.keys()) == expected_keys(server)
    well = [request for request in receiver.requests if request.path[2] in "024"]
    assert len(well) == 30
    notifying.say(f"half of the recipients failing: 60 of 60 delivered in {len(receiver.requests)} requests")


def test_a_hanging_recipient_does_not_hold_up_the_others(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        receiver.answer = lambda request: Answer(delay=3.0 if request.path.startswith("/slow") else 0.0)
        hooks(server, receiver.port, "slow", "swift")
        for _ in range(10):
            notifying.alert(server)
        started = time.monotonic()
        notifying.wait_for(lambda: notifying.statuses(server).get("sent") == 10, 10)
        assert time.monotonic() - started < 5


def start(settings: Settings) -> "subprocess.Popen[bytes]":
    """`medallion notify run` as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "medallion_services", "notify", "run"],
        env=stack_environment(settings),
        cwd=PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_worker_killed_while_sending_loses_nothing_and_repeats_with_the_same_key(server: Settings) -> None:
    with http_receiver() as receiver:
        hooks(server, receiver.port, "core", "other")
        receiver.answer = lambda _: Answer(delay=0.6)
        first = start(server)
        try:
            for _ in range(20):
                notifying.alert(server)
            notifying.wait_for(lambda: len(receiver.requests) >= 6, 30)
        finally:
            os.kill(first.pid, signal.SIGKILL)
            first.communicate()
        time.sleep(0.8)
        before = notifying.statuses(server)
        assert before.get("pending", 0) > 0
        arrived = len(receiver.requests)
        receiver.answer = lambda _: Answer()
        second = start(server)
        try:
            notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 40}, 40)
            second.send_signal(signal.SIGTERM)
            _, log = second.communicate(timeout=30)
            assert second.returncode == 0, log.decode()
        finally:
            second.kill()
            second.communicate()
    keys = Counter(receiver.keys())
    assert set(keys) == expected_keys(server)
    assert arrived > before.get("sent", 0), "nothing was under way when the worker was killed"
    assert sum(keys.values()) > 40
    assert b"s3cret" not in log
    repeated = sum(count > 1 for count in keys.values())
    notifying.say(f"killed while sending: 40 of 40 delivered, {repeated} twice with the same key, 0 lost")


def test_two_workers_never_send_one_row_at_once(server: Settings) -> None:
    with http_receiver() as receiver:
        hooks(server, receiver.port, "a", "b", "c")
        receiver.answer = lambda _: Answer(delay=0.01)
        for _ in range(50):
            notifying.alert(server)
        started = time.monotonic()
        with notifying.worker(server) as one, notifying.worker(server) as two:
            notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 150}, 40)
            took = time.monotonic() - started
    assert receiver.most_at_once == 1
    assert Counter(receiver.keys()) == Counter(expected_keys(server))
    assert one.outcomes["sent"] > 0
    assert two.outcomes["sent"] > 0
    shares = f"{one.outcomes['sent']} and {two.outcomes['sent']}"
    notifying.say(f"two workers: 150 of 150 delivered, each once, in {took:.1f} s ({shares})")


def test_what_cannot_be_delivered_ends_as_a_dead_letter(server: Settings) -> None:
    tried = notifying.with_notifier(server, max_attempts=2)
    with http_receiver() as receiver, notifying.worker(tried):
        receiver.answer = lambda _: Answer(status=500)
        hooks(server, receiver.port, "core")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"dead": 1})
    assert len(receiver.requests) == 2


def test_a_database_that_cuts_every_connection_is_waited_for(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        hooks(server, receiver.port, "core")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
        with psycopg.connect(**admin_parameters(server), autocommit=True) as connection:
            cut = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'fraud_notifier'"
            ).fetchone()
        assert cut is not None
        assert cut[0] >= 2
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 2}, 20)
    assert Counter(receiver.keys()) == Counter(expected_keys(server))


def test_a_backlog_of_the_desk_is_settled_in_bulk(server: Settings) -> None:
    notifying.add_route(server, "desk", "team:fraud")
    for _ in range(30):
        notifying.alert(server)
    with notifying.worker(server) as worker:
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 30}, 5)
    assert worker.outcomes == Counter()
