"""What a rule set did, in numbers: SQL over decisions and truth, and `ranking` over its results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from fraud_domain.rules import Catalogue, Status
from medallion_services.backtest.ranking import (
    DAY_US,
    CardDay,
    auc,
    average_precision,
    card_precision,
    curve,
    median,
    share,
    wilson,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is counted: transactions with `since_us <= event_time < until_us`, `budget` alerts or cards a day."""

    since_us: int
    until_us: int
    budget: int
    label_delay_us: int


def prepare(connection: duckdb.DuckDBPyConnection, events: Path, truth: Path, frame: Frame) -> None:
    """Make the table `tx`: every transaction once, with its day, card, truth, and whether it is counted.

    A card is the card token, or the customer where no card was used. What no label calls fraud counts as honest.
    """
    connection.read_parquet(str(events)).create_view("events")
    connection.read_parquet(str(truth)).create_view("truth")
    connection.execute(
        "CREATE TABLE tx AS SELECT e.transaction_id, e.event_time, e.event_time // $day AS day, "
        "coalesce(e.card_token, e.customer_id) AS card, CAST(e.amount AS DECIMAL(18, 4)) AS amount, e.currency, "
        "coalesce(t.fraud, false) AS fraud, t.fraud IS NOT NULL AS labelled, "
        "e.event_time >= $since AND e.event_time < $until AS counted FROM events e LEFT JOIN "
        "(SELECT transaction_id, bool_or(fraud) AS fraud FROM truth GROUP BY ALL) t USING (transaction_id) "
        "QUALIFY row_number() OVER (PARTITION BY e.transaction_id ORDER BY e.event_time, e._line) = 1",
        {"day": DAY_US, "since": frame.since_us, "until": frame.until_us},
    )


def load_decisions(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    """Make the table `scored`: one row per counted transaction with a hit, over all kinds of subject."""
    connection.execute("DROP TABLE IF EXISTS scored")
    connection.read_parquet([str(file) for file in files]).create_view("decided", replace=True)
    connection.execute(
        "CREATE TABLE scored AS SELECT transaction_id, any_value(event_time) AS event_time, any_value(day) AS day, "
        "any_value(card) AS card, any_value(fraud) AS fraud, max(score) AS score, bool_or(alert) AS alert, "
        "list_distinct(flatten(list(hits))) AS hits, list_distinct(flatten(list(shadow))) AS shadow "
        "FROM decided JOIN tx USING (transaction_id) WHERE counted GROUP BY transaction_id"
    )


def totals(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Counts that do not depend on rules."""
    names = ("transactions", "labelled", "frauds", "cards", "compromised_cards", "first", "last")
    row = _rows(
        connection,
        "SELECT count(*), count(*) FILTER (labelled), count(*) FILTER (fraud), count(DISTINCT card), "
        "count(DISTINCT card) FILTER (fraud), min(event_time), max(event_time) FROM tx WHERE counted",
    )[0]
    return dict(zip(names, row, strict=True))


def overall(connection: duckdb.DuckDBPyConnection, frame: Frame) -> dict[str, Any]:
    """How good the whole rule set is."""
    frauds, rows = _rows(connection, "SELECT count(*) FILTER (fraud), count(*) FROM tx WHERE counted")[0]
    alerts, caught = _rows(connection, "SELECT count(*) FILTER (alert), count(*) FILTER (alert AND fraud) FROM scored")[
        0
    ]
    groups = score_groups(connection, frauds, rows)
    shown, right = _rows(
        connection,
        "SELECT count(*), count(*) FILTER (fraud) FROM (SELECT fraud FROM scored WHERE score > 0 QUALIFY "
        "row_number() OVER (PARTITION BY day ORDER BY score DESC, event_time, transaction_id) <= ?)",
        frame.budget,
    )[0]
    days = _rows(connection, "SELECT count(DISTINCT day) FROM tx WHERE counted")[0][0]
    cards = card_precision(_card_days(connection, frame), frame.budget)
    return {
        "alerts": alerts,
        "alerts_per_day": share(alerts, days),
        "precision": share(caught, alerts),
        "precision_interval": wilson(caught, alerts),
        "recall": share(caught, frauds),
        "recall_interval": wilson(caught, frauds),
        "false_positive_ratio": share(alerts - caught, caught),
        "budget": frame.budget,
        "days": days,
        "budget_precision": share(right, shown),
        "budget_precision_interval": wilson(right, shown),
        "budget_recall": share(right, frauds),
        "average_precision": average_precision(groups),
        "auc": auc(groups),
        "card_precision": cards.precision,
        "card_precision_best_possible": cards.best,
        "card_recall": cards.recall,
        "cards_found": cards.found,
        "cards_compromised": cards.compromised,
        "value": _value(connection),
        **_delay(connection),
        "curve": curve(groups),
        "daily": _daily(connection),
    }


def score_groups(connection: duckdb.DuckDBPyConnection, frauds: int, rows: int) -> list[tuple[float, int, int]]:
    """(score, frauds, others), highest first; transactions without a hit score 0."""
    found = _rows(
        connection,
        "SELECT score, count(*) FILTER (fraud), count(*) FILTER (NOT fraud) FROM scored WHERE score > 0 "
        "GROUP BY score ORDER BY score DESC",
    )
    hit_frauds, hit_others = sum(row[1] for row in found), sum(row[2] for row in found)
    return [*((row[0], row[1], row[2]) for row in found), (0.0, frauds - hit_frauds, rows - frauds - hit_others)]


def _card_days(connection: duckdb.DuckDBPyConnection, frame: Frame) -> Any:
    """Cards by day as `card_precision` wants them; a label tells of a card `label_delay_us` after the fraud."""
    query = (
        "SELECT t.day, t.card, max(coalesce(s.score, 0)), bool_or(t.fraud), any_value(k.known) FROM tx t "
        "LEFT JOIN scored s USING (transaction_id) LEFT JOIN (SELECT card, "
        "(min(event_time) + $delay + $day - 1) // $day AS known FROM tx WHERE fraud GROUP BY card) k "
        "ON k.card = t.card WHERE t.counted GROUP BY t.day, t.card ORDER BY t.day, t.card"
    )
    cursor = connection.cursor()
    cursor.execute(query, {"delay": frame.label_delay_us, "day": DAY_US})
    while block := cursor.fetchmany(10_000):
        for row in block:
            yield CardDay(*row)


def _value(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, float | None]]:
    """Fraudulent money by currency, and how much of it had an alert; refunds and checks of zero are no loss."""
    rows = _rows(
        connection,
        "SELECT t.currency, sum(t.amount), sum(t.amount) FILTER (s.alert) FROM tx t LEFT JOIN scored s "
        "USING (transaction_id) WHERE t.counted AND t.fraud AND t.amount > 0 GROUP BY t.currency ORDER BY t.currency",
    )
    return {
        currency: {
            "fraud": float(total),
            "caught": float(caught or 0),
            "share": share(float(caught or 0), float(total)),
        }
        for currency, total, caught in rows
    }


def _delay(connection: duckdb.DuckDBPyConnection) -> dict[str, float | int | None]:
    """From a card's first fraud to its first alert from then on."""
    rows = _rows(
        connection,
        "WITH bad AS (SELECT card, min(event_time) AS begun FROM tx WHERE counted AND fraud GROUP BY card), "
        "told AS (SELECT b.card, b.begun, min(s.event_time) AS told FROM bad b LEFT JOIN scored s "
        "ON s.card = b.card AND s.alert AND s.event_time >= b.begun GROUP BY ALL), "
        "before AS (SELECT d.card, count(*) AS frauds FROM told d JOIN tx ON tx.card = d.card AND tx.fraud "
        "AND tx.counted AND tx.event_time < d.told GROUP BY d.card) "
        "SELECT (told - begun) / 1e6, coalesce(frauds, 0) FROM told LEFT JOIN before USING (card)",
    )
    seconds = [row[0] for row in rows if row[0] is not None]
    return {
        "cards_alerted": len(seconds),
        "detection_delay_median_seconds": median(seconds),
        "frauds_before_detection_mean": share(sum(row[1] for row in rows if row[0] is not None), len(seconds)),
    }


def _daily(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """(day, alerts, alerts on fraud, frauds) of every day."""
    return _rows(
        connection,
        "SELECT t.day, count(*) FILTER (s.alert), count(*) FILTER (s.alert AND t.fraud), count(*) FILTER (t.fraud) "
        "FROM tx t LEFT JOIN scored s USING (transaction_id) WHERE t.counted GROUP BY t.day ORDER BY t.day",
    )


def per_rule(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, abstained: dict[str, int], decided: dict[str, int]
) -> list[dict[str, Any]]:
    """Each evaluated rule by itself.

    Args:
        abstained: by rule, how often it lacked history; over all events, also those before the counted ones.
        decided: by kind of subject, how many decisions there were.
    """
    frauds = _rows(connection, "SELECT count(*) FROM tx WHERE counted AND fraud")[0][0]
    found = {}
    for column in ("hits", "shadow"):
        for row in _rows(
            connection,
            f"SELECT rule, count(*), count(*) FILTER (fraud), count(*) FILTER (alert), "  # noqa: S608
            f"count(*) FILTER (alert AND fraud), count(*) FILTER (alert AND fraud AND len(hits) = 1) FROM "
            f"(SELECT unnest({column}) AS rule, fraud, alert, hits FROM scored) GROUP BY rule",
        ):
            found[row[0]] = row[1:]
    rules = []
    for index, rule in enumerate(catalogue.rules):
        if not rule.evaluated:
            continue
        hits, right, alerts, caught, alone = found.get(index, (0, 0, 0, 0, 0))
        if rule.status is Status.SHADOW:
            alerts = caught = alone = 0
        rules.append(
            {
                "rule_id": rule.id,
                "title": rule.title,
                "typology": rule.typology,
                "status": rule.status.value,
                "hits": hits,
                "alerts": alerts,
                "precision": share(right, hits),
                "precision_interval": wilson(right, hits),
                "alert_precision": share(caught, alerts),
                "recall": share(right, frauds),
                "incremental_frauds": alone,
                "incremental_recall": share(alone, frauds),
                "false_positive_ratio": share(hits - right, right),
                "abstained": share(abstained.get(rule.id, 0), decided.get(rule.key.subject.value, 0)),
                "dormant": hits == 0,
            }
        )
    return rules


def overlaps(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Pairs of rules that hit the same transactions: how many, and the Jaccard index."""
    rows = _rows(
        connection,
        "WITH one AS (SELECT transaction_id, unnest(list_concat(hits, shadow)) AS rule FROM scored), "
        "alone AS (SELECT rule, count(*) AS n FROM one GROUP BY rule), "
        "pairs AS (SELECT a.rule AS a, b.rule AS b, count(*) AS n FROM one a JOIN one b USING (transaction_id) "
        "WHERE a.rule < b.rule GROUP BY ALL) "
        "SELECT p.a, p.b, p.n, p.n / (x.n + y.n - p.n) FROM pairs p "
        "JOIN alone x ON x.rule = p.a JOIN alone y ON y.rule = p.b ORDER BY 1, 2",
    )
    rules = catalogue.rules
    return [{"a": rules[a].id, "b": rules[b].id, "both": both, "jaccard": jaccard} for a, b, both, jaccard in rows]


def _rows(connection: duckdb.DuckDBPyConnection, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query, list(parameters)).fetchall()
