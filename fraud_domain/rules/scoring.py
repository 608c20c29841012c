"""From hits to a score: every typology adds up its own hits, the highest one speaks for the transaction."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from fraud_domain.rules.aggregates import EXACT_CONTEXT
from fraud_domain.rules.model import Catalogue, Combine, Strength, Typology
from fraud_domain.settings import RuleSettings

_CENT = Decimal("0.01")
_HUNDRED = Decimal(100)


def contributions(typology: Typology, weights: Mapping[str, tuple[int, Strength]], cap: Decimal) -> dict[str, Decimal]:
    """Points each hit rule adds to the typology's score, heaviest first, in cents; they sum to the score.

    `noisy_or` lets each rule take its weight's share of what is still missing to 100, `capped_sum` adds the
    weights. Weak hits alone stay below `cap`.
    """
    hits = sorted((rule_id for rule_id in typology.rule_ids if rule_id in weights), key=lambda r: (-weights[r][0], r))
    limit = _HUNDRED if any(weights[rule_id][1] is Strength.STRONG for rule_id in hits) else cap
    exact, shown = Decimal(0), Decimal(0)
    points: dict[str, Decimal] = {}
    for rule_id in hits:
        weight = weights[rule_id][0]
        exact += weight * (_HUNDRED - exact) / _HUNDRED if typology.combine is Combine.NOISY_OR else weight
        total = min(exact.quantize(_CENT, ROUND_HALF_EVEN), limit)
        points[rule_id], shown = total - shown, total
    return points


class Scorer:
    """Scores of hit sets under one catalogue and one set of thresholds; remembers what it computed."""

    def __init__(self, catalogue: Catalogue, settings: RuleSettings) -> None:
        self._typologies = catalogue.typologies
        self._weights = {rule.id: (rule.weight, rule.strength) for rule in catalogue.rules}
        self._settings = settings
        self._cap = Decimal(str(settings.medium_at)) - _CENT
        self._cache: dict[tuple[str, ...], Score] = {}

    def score(self, hits: tuple[str, ...]) -> "Score":
        """The outcome of a set of hit rule ids (ordered, active rules only)."""
        found = self._cache.get(hits)
        if found is None:
            with localcontext(EXACT_CONTEXT):
                found = self._cache[hits] = self._score(hits)
        return found

    def _score(self, hits: tuple[str, ...]) -> "Score":
        weights = {rule_id: self._weights[rule_id] for rule_id in hits}
        points = {t.id: contributions(t, weights, self._cap) for t in self._typologies}
        totals = {name: float(sum(each.values())) for name, each in points.items() if each}
        if not totals:
            return Score(0.0, "none", None, {}, {})
        leading = max(totals, key=lambda name: (totals[name], -_place(self._typologies, name)))
        total = totals[leading]
        added = {rule_id: float(value) for rule_id, value in points[leading].items()}
        return Score(total, self._level(total), leading, totals, added)

    def _level(self, score: float) -> str:
        settings = self._settings
        for level, least in (
            ("critical", settings.critical_at),
            ("high", settings.high_at),
            ("medium", settings.medium_at),
        ):
            if score >= least:
                return level
        return "low" if score > 0 else "none"


class Score:
    """Outcome of one set of hits; shared between decisions, never changed."""

    __slots__ = ("added", "alert", "leading", "level", "total", "totals")

    def __init__(
        self, total: float, level: str, leading: str | None, totals: dict[str, float], added: dict[str, float]
    ) -> None:
        self.total, self.level, self.leading, self.totals, self.added = total, level, leading, totals, added
        self.alert = level not in ("none", "low")


def _place(typologies: tuple[Typology, ...], name: str) -> int:
    return next(index for index, typology in enumerate(typologies) if typology.id == name)
