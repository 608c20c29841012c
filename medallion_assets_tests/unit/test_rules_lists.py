"""Lists that people keep: an entry ends by the clock of the event, and mistakes are told with their place."""

import pytest

from fraud_domain.rules import Catalogue, Engine, RuleError, load_texts
from fraud_domain.settings import RuleSettings
from medallion_assets_tests.unit.test_rules_language import FILE

LISTS = """\
lists:
  - id: bad
    purpose: block
    owner: t
    description: d
    entries:
      - {value: d-1, until: "2026-06-01T00:00:00Z", reason: r}
      - {value: d-2, reason: r}
"""
RULE = (
    FILE.replace("parameters: {limit: 2}", 'parameters: {limit: 0, bad: "list:bad"}')
    .replace("payments > limit\n", "payments > limit and device_id in bad\n", 1)
    .replace("profile: x", "profile: online")
)
RULE = RULE.replace("event: {}", "event: {device_id: d-2}", 1)
BEFORE, AFTER = 1_780_271_999_999_999, 1_780_272_000_000_000
"""The last microsecond of May 2026, UTC, and the first of June."""


def catalogue(lists: str = LISTS, rule: str = RULE) -> Catalogue:
    return load_texts({"rules/lab.yaml": rule, "rules/lists.yaml": lists})


def hits(device: str | None, moment: int) -> bool:
    engine = Engine(catalogue(), RuleSettings())
    event = {
        "transaction_id": "t", "customer_id": "c", "event_time": moment, "amount": 5, "currency": "BRL",
        "type": "PIX", "channel": "POS", "status": "APPROVED", "device_id": device,
    }  # fmt: skip
    decision = engine.decide(engine.new_history(), event)
    assert decision is not None
    return decision.alert


@pytest.mark.parametrize(
    ("device", "moment", "hit"),
    [("d-1", BEFORE, True), ("d-1", AFTER, False), ("d-2", AFTER, True), ("d-3", BEFORE, False), (None, AFTER, False)],
)
def test_an_entry_counts_until_its_end_by_event_time(device: str | None, moment: int, hit: bool) -> None:
    assert hits(device, moment) == hit


def test_a_list_is_part_of_the_version_its_reasons_are_not() -> None:
    assert catalogue(LISTS.replace("d-2", "d-9")).version != catalogue().version
    assert catalogue(LISTS.replace("reason: r", "reason: other")).version == catalogue().version


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("purpose: block", "purpose: deny", "rules/lists.yaml:3: lists.0.purpose: Input should be 'allow'"),
        ("2026-06-01T00:00:00Z", "soon", "rules/lists.yaml:7: until 'soon' is not a time"),
        (
            "2026-06-01T00:00:00Z",
            "2026-06-01T00:00:00",
            "rules/lists.yaml:7: until '2026-06-01T00:00:00' has no offset",
        ),
        ("- id: bad", "- id: worse", "there is no list 'bad' in lists.yaml; there are: worse"),
    ],
)
def test_a_mistake_in_a_list_is_reported_with_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        catalogue(LISTS.replace(old, new))
    assert any(message in str(problem) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("device_id in bad", "amount in bad", "a list holds texts, not a number"),
        ("count, include_current", "count, where: device_id in bad, include_current", "'condition' and 'applies' only"),
    ],
)
def test_a_list_is_asked_for_texts_of_the_judged_transaction_only(old: str, new: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        catalogue(rule=RULE.replace(old, new))
    assert any(message in str(problem) for problem in caught.value.problems)
