"""Faults of what producers send: repeats, disorder, poison, size, tombstones, versions, bursts, wrong clocks."""

from datetime import timedelta

import orjson
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not say what it re-exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from fraud_domain.topics import TRANSACTIONS
from medallion_assets.defs.quality.lake_sql import lake_sql, rows
from medallion_assets.platform import Platform
from medallion_assets_tests.faults.fault import Fault
from medallion_assets_tests.faults.traffic import payment
from medallion_assets_tests.faults.world import World
from medallion_assets_tests.pipeline import database
from medallion_assets_tests.poison import ARRIVED, POISON

_LISTED = "demo-mule-key"


def delivered_again(world: World) -> str:
    """Each payment one to five times, within a batch and in later ones; every one would raise an alert."""
    sent = []
    for number in range(20):
        name = f"again-{number}"
        value = payment(name, f"again-{number}", world.traffic.clock, pix_key=_LISTED)
        sent.append((name, value, world.random.randint(1, 5)))
    for turn in range(5):
        batch = [(name, value) for name, value, times in sent if times > turn]
        world.random.shuffle(batch)
        for name, value in batch:
            world.traffic.put(value, name, name.encode())
        world.traffic.flush()
        world.wait_alert([name for name, _ in batch])
    world.lifted()
    world.settle()
    names = [name for name, _, _ in sent]
    with database(world.settings) as connection:
        row = connection.execute(
            "SELECT count(*) AS n FROM fraud.alerts WHERE subject_kind = 'customer' AND transaction_id = ANY(%s)",
            (names,),
        ).fetchone()
    assert row is not None
    assert row["n"] == len(names), f"{row['n']} alerts for {len(names)} payments"
    return f"{sum(times for _, _, times in sent)} deliveries of {len(sent)} payments, {row['n']} alerts"


def out_of_order(world: World) -> str:
    """The same customers' payments up to two hours late and in any order."""
    clock = world.traffic.clock
    events = [
        (f"disorder-{n}", f"disorder-{n % 5}", clock - timedelta(seconds=world.random.uniform(0, 7200)))
        for n in range(60)
    ]
    for name, customer, moment in events:
        world.traffic.put(payment(name, customer, moment, pix_key=_LISTED), name, customer.encode())
    world.traffic.flush()
    world.lifted()
    world.settle()
    with lake_sql(Platform(world.settings)) as lake:
        found = rows(lake, "SELECT transaction_id FROM silver.late_transactions WHERE transaction_id LIKE 'disorder-%'")
    late = {row[0] for row in found}
    expected = {name for name, _, moment in events if clock - moment > timedelta(minutes=10)}
    assert late == expected, f"late are {len(late)}, should be {len(expected)}"
    return f"{len(events)} payments in disorder, {len(late)} of them late and kept"


def poison(world: World) -> str:
    """Every row of the poison table; each is in quarantine for its own reason."""
    values = [(value, code, field) for value, code, field in POISON.values()]
    world.random.shuffle(values)
    for value, _, _ in values:
        world.traffic.put(value, at=ARRIVED)
    world.traffic.flush()
    world.lifted()
    world.settle()
    with lake_sql(Platform(world.settings)) as lake:
        found = rows(
            lake,
            "SELECT errors[1].code, coalesce(errors[1].field, ''), count(*) FROM silver.quarantine"
            " WHERE kafka_timestamp = ? GROUP BY ALL",
            ARRIVED,
        )
    want: dict[tuple[str, str], int] = {}
    for _, code, field in values:
        want[code, field] = want.get((code, field), 0) + 1
    have = {(code, field): count for code, field, count in found}
    assert have == want, f"wrong reasons: {sorted(set(have.items()) ^ set(want.items()))}"
    return f"{len(values)} kinds of poison, {len({code for _, code, _ in values})} reason codes"


def _reasons(world: World, like: str) -> list[str]:
    with lake_sql(Platform(world.settings)) as lake:
        query = "SELECT reason_code FROM silver.quarantine WHERE starts_with(coalesce(try(decode(value)), ''), ?)"
        return [row[0] for row in rows(lake, query, like)]


def ten_megabytes(world: World) -> str:
    """Refused by the broker as it is set up; where a broker lets it in, it goes to quarantine."""
    value = b'{"ten_megabytes": "' + b"x" * 10_000_000 + b'"}'
    before = world.traffic.acked[TRANSACTIONS]
    world.traffic.put(value)
    world.traffic.flush()
    assert world.traffic.acked[TRANSACTIONS] == before, "a broker with Kafka's default took ten megabytes"
    set_topic(world, "max.message.bytes", "12000000")
    world.traffic.put(value)
    world.traffic.flush()
    assert world.traffic.acked[TRANSACTIONS] == before + 1
    world.lifted()
    world.wait_alert(world.traffic.probe())
    world.settle()
    assert _reasons(world, '{"ten_megabytes"') == ["TOO_LARGE"]
    return f"{len(value):,} bytes: refused by default, then let in"


def set_topic(world: World, name: str, value: str) -> None:
    """Change one setting of the topic of transactions."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, TRANSACTIONS, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": world.settings.kafka_bootstrap})
    for outcome in admin.incremental_alter_configs([resource]).values():
        outcome.result(30)


def tombstones(world: World) -> str:
    """Messages without a value, among good ones of the same customer."""
    before = _empty(world)
    for _ in range(5):
        world.traffic.put(None, key=b"probe-1")
        world.traffic.probe()
    world.lifted()
    world.settle()
    found = _empty(world) - before
    assert found == 5, f"{found} of 5 tombstones are in quarantine"
    return "5 tombstones"


def _empty(world: World) -> int:
    with lake_sql(Platform(world.settings)) as lake:
        found = rows(lake, "SELECT count(*) FROM silver.quarantine WHERE reason_code = 'EMPTY_MESSAGE'")
    return int(found[0][0])


def next_version(world: World) -> str:
    """A producer that is ahead: new fields are let through, a new schema version waits in quarantine."""
    clock = world.traffic.clock
    for number in range(5):
        name = f"ahead-{number}"
        more = orjson.loads(payment(name, "ahead", clock, pix_key=_LISTED)) | {"a_new_field": {"deep": [number]}}
        world.traffic.put(orjson.dumps(more), name, b"ahead")
        value = b'{"schema_version": 2, ' + payment(f"v2-{number}", "ahead", clock, pix_key=_LISTED)[1:]
        world.traffic.put(value, key=b"ahead")
    world.traffic.flush()
    world.lifted()
    world.wait_alert([f"ahead-{number}" for number in range(5)])
    world.settle()
    assert _reasons(world, '{"schema_version": 2') == ["UNSUPPORTED_VERSION"] * 5
    return "5 messages with a new field, 5 of schema version 2"


def burst(world: World) -> str:
    """Twenty times the traffic at once."""
    count = world.traffic.send(900, rate=2.0)
    world.lifted()
    took = world.wait_alert(world.traffic.probe())
    return f"{count} messages at once, the alert behind them after {took:.0f} s"


def wrong_clocks(world: World) -> str:
    """Producers whose clocks are an hour off: behind is late, ahead is refused, and nobody else is touched."""
    # In whole milliseconds, as Kafka's timestamps are.
    clock = world.traffic.clock.replace(microsecond=world.traffic.clock.microsecond // 1000 * 1000)
    for number in range(5):
        behind, ahead = f"behind-{number}", f"ahead-of-time-{number}"
        world.traffic.put(payment(behind, "clock", clock - timedelta(hours=1), pix_key=_LISTED), behind, b"clock")
        value = b'{"clock": 1, ' + payment(ahead, "clock", clock + timedelta(hours=1), pix_key=_LISTED)[1:]
        world.traffic.put(value, key=b"clock")
        world.traffic.probe()
    world.lifted()
    world.settle()
    assert _reasons(world, '{"clock": 1') == ["TIME_IN_FUTURE"] * 5
    with lake_sql(Platform(world.settings)) as lake:
        query = "SELECT min(lateness_seconds) FROM silver.late_transactions WHERE transaction_id LIKE 'behind-%'"
        late = rows(lake, query)
        negative = rows(lake, "SELECT count(*) FROM silver.late_transactions WHERE lateness_seconds < 0")
    assert late[0][0] >= 3600
    assert negative == [(0,)]
    return "5 payments an hour behind, 5 an hour ahead"


_QUARANTINE = "In quarantine, each for its own reason; good messages beside them are judged"
FAULTS = (
    Fault("M1", "Delivered one to five times, within and across batches", "One alert each", delivered_again),
    Fault("M2", "Up to two hours late and in any order", "Late rows are marked and kept", out_of_order),
    Fault("M3", "The poison table", _QUARANTINE, poison),
    Fault("M4", "A message of ten megabytes", "Refused by the broker, or in quarantine", ten_megabytes),
    Fault("M5", "Tombstones", _QUARANTINE, tombstones),
    Fault("M6", "The next schema version in mid-stream", "Quarantined until we understand it", next_version),
    Fault("M7", "A burst of twenty times the traffic", "Later, and all of it", burst),
    Fault("C1", "Clocks of producers an hour behind and ahead", "Behind is late, ahead is refused", wrong_clocks),
)
