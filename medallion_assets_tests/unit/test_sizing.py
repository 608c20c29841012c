"""What a rate needs follows from what an event costs, and the page about it shows just that."""

import json

from bench.sizing import COSTS, Costs, need, table
from fraud_domain.settings import PROJECT_ROOT


def test_cores_follow_from_cost_and_partitions_from_cores() -> None:
    costs = Costs(alerts_us=600, lake_us=300, broker_us=60, kafka_bytes=1000, lake_bytes=500)
    found = need(10_000, costs)
    # 10,000 x 600 us are 6 busy cores, which are 60 % of 10.
    assert (found.alert_cores, found.lake_cores, found.broker_cores) == (10, 5, 1)
    assert found.partitions == 10
    assert (found.kafka_gb, found.lake_gb) == (864, 432)


def test_few_events_still_need_a_core_each_and_two_partitions() -> None:
    found = need(1, Costs(alerts_us=600, lake_us=300, broker_us=60, kafka_bytes=1000, lake_bytes=500))
    assert (found.alert_cores, found.lake_cores, found.broker_cores, found.partitions) == (1, 1, 1, 2)


def test_the_page_shows_what_was_measured() -> None:
    measured = json.loads(COSTS.read_text(encoding="utf-8"))
    page = (PROJECT_ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert table(measured) in page
    for lane in measured["lanes"].values():
        assert f"{lane['driver_us']:,.0f} µs" in page
