"""Names of rules and typologies for people, from the rule files in force."""

import logging
from dataclasses import dataclass

from fraud_domain.rules import RuleError, load_catalogue
from fraud_domain.settings import Settings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuleCard:
    """What the board says about a rule beside its figures."""

    rule_id: str
    title: str
    typology: str
    status: str
    weight: int
    owner: str
    rate_band: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Names:
    """The rules and typologies of one catalogue."""

    version: str
    rules: dict[str, RuleCard]
    typologies: dict[str, str]


def load_names(settings: Settings) -> Names:
    """Read the rule files; takes a second, so it is done in a thread and kept.

    Files that somebody is editing must not take the desk away from everybody: then rules go by their ids.
    """
    try:
        catalogue = load_catalogue(settings.rules.directory)
    except RuleError as error:
        _LOG.warning("the rule files cannot be read, rules are shown by id: %s", error)
        return Names("unknown", {}, {})
    rules = {
        rule.id: RuleCard(
            rule.id, rule.title, rule.typology, rule.status.value, rule.weight, rule.owner, rule.rate_band
        )
        for rule in catalogue.rules
    }
    return Names(catalogue.version, rules, {each.id: each.title for each in catalogue.typologies})
