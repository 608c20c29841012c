"""The engine: the rules about one kind of subject, compiled, and any number of subjects' histories."""

from bisect import bisect_left
from decimal import getcontext, setcontext
from typing import Any

from fraud_domain.rules.aggregates import EXACT_CONTEXT, Row
from fraud_domain.rules.decision import Decision, Reason
from fraud_domain.rules.durations import DAY, format_duration
from fraud_domain.rules.history import History
from fraud_domain.rules.layout import CARD_TOKEN, row_builder
from fraud_domain.rules.model import Catalogue, Rule, Status, Subject
from fraud_domain.rules.program import build_program
from fraud_domain.rules.scoring import Scorer
from fraud_domain.rules.vocabulary import DERIVED, ORIGIN_FIELDS, Origin
from fraud_domain.settings import RuleSettings

Event = dict[str, Any]
_Hit = tuple[int, int, Any, Any, str]


class Engine:
    """Decides transactions. Compile once, then one call per event; not to be shared between threads."""

    def __init__(self, catalogue: Catalogue, settings: RuleSettings, subject: Subject = Subject.CUSTOMER) -> None:
        self.catalogue = catalogue
        self.subject = subject
        self._subject_field = subject.field
        self._rules = tuple(rule for rule in catalogue.rules if rule.evaluated and rule.key.subject is subject)
        self._windows = tuple(format_duration(rule.window) for rule in self._rules)
        self.origins = catalogue.origins(subject)
        self.program = build_program(self._rules, busy=subject is not Subject.CUSTOMER)
        self._evaluate = self.program.evaluate
        self._row = row_builder(self.program.layout)
        self._stored = self.program.layout.stored
        # Of its own: a history tells by it which engine it was with last.
        self.fields = tuple([*self.program.layout.stored_names])
        self._scorer = Scorer(catalogue, settings)
        self._version = catalogue.version
        self._max_age = settings.history_days * DAY
        self._limit = settings.history_limit
        self._context = EXACT_CONTEXT.copy()

    @property
    def inputs(self) -> frozenset[str]:
        """Contract fields that it reads of a transaction, those behind derived fields included."""
        names = {*self.program.layout.names, "customer_id", self._subject_field}
        derived = [DERIVED[name] for name in names if name in DERIVED]
        return frozenset(names - DERIVED.keys()).union(*(each.inputs for each in derived))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules it evaluates."""
        return self._rules

    def new_history(self) -> History:
        """An empty history for one customer, or another subject."""
        return History(self.fields)

    def decide(self, history: History, event: Event) -> Decision | None:
        """Judge `event` against the events of `history` that sort before it, then remember it.

        `event` holds contract fields: `amount` a Decimal, `event_time` integer epoch microseconds, optional
        fields None or absent. None means that `transaction_id` is in the history already: a duplicate.

        Raises:
            KeyError: a required contract field is absent.
        """
        if event["transaction_id"] in history.ids:
            return None
        if history.fields is not self.fields:
            history.arrange(self.fields)
        row = self._row(event)
        hits: list[_Hit] = []
        abstained: list[str] = []
        previous = getcontext()
        setcontext(self._context)
        try:
            self._run(history, row, hits, abstained)
            history.add(row[: self._stored], self._max_age, self._limit)
        finally:
            setcontext(previous)
        if hits:
            return self._with_hits(history, event, hits, abstained)
        return Decision(
            row[1], event["customer_id"], 0.0, "none", None, False, (), tuple(abstained), (), self._version, {},
            self.subject, event[self._subject_field],
        )  # fmt: skip

    def note(self, history: History, origin: Origin, event: Event) -> bool:
        """Remember a label or an account event of the subject; False when it is known already.

        `event` holds the fields of `ORIGIN_FIELDS[origin]`, `event_time` as epoch microseconds.
        """
        return history.note(origin, tuple(event.get(name) for name in ORIGIN_FIELDS[origin]), self._max_age)

    def _run(self, history: History, row: Row, hits: list[_Hit], abstained: list[str]) -> None:
        times, rows = history.times, history.rows
        card_times, card_rows = history.card(row[CARD_TOKEN])
        notes = history.notes(row[0])
        if not times or row[0] > times[-1]:
            before, card_before = len(rows), len(card_rows)
        else:
            position = row[:2]
            before, card_before = bisect_left(rows, position), bisect_left(card_rows, position)
        self._evaluate(row, times, rows, before, card_times, card_rows, card_before, *notes, history, hits, abstained)

    def _with_hits(self, history: History, event: Event, hits: list[_Hit], abstained: list[str]) -> Decision:
        rules = self._rules
        score = self._scorer.score(tuple(rules[hit[0]].id for hit in hits if rules[hit[0]].status is Status.ACTIVE))
        reasons: list[Reason] = []
        shadow: list[Reason] = []
        for index, count, observed, threshold, text in hits:
            rule = rules[index]
            reason = Reason(
                rule.id,
                rule.version_hash,
                rule.title,
                text,
                observed,
                threshold,
                self._windows[index],
                rule.weight,
                score.added.get(rule.id, 0.0),
                count,
            )
            (reasons if rule.status is Status.ACTIVE else shadow).append(reason)
        reasons.sort(key=lambda reason: (-reason.contribution, -reason.weight, reason.rule_id))
        period = self._period(event["event_time"], reasons)
        alert = score.alert
        if alert and self.subject is not Subject.CUSTOMER and score.leading:
            alert = history.raise_once(score.leading, period)
        return Decision(
            event["transaction_id"],
            event["customer_id"],
            score.total,
            score.level,
            score.leading,
            alert,
            tuple(reasons),
            tuple(abstained),
            tuple(shadow),
            self._version,
            dict(score.totals),
            self.subject,
            event[self._subject_field],
            period,
        )

    def _period(self, event_time: int, reasons: list[Reason]) -> int:
        """Number of the leading rule's window that `event_time` falls into; 0 for customers."""
        if self.subject is Subject.CUSTOMER or not reasons:
            return 0
        return event_time // self.catalogue.rule(reasons[0].rule_id).window
