"""The fraud rules: language, catalogue, and the engine that decides transactions.

```python
catalogue = load_catalogue(Path("rules"))
engine = Engine(catalogue, settings.rules)
history = engine.new_history()              # one per customer
decision = engine.decide(history, event)    # None for a duplicate
blob = history.dump()                       # History.load(blob) continues where it ended
```
"""

from fraud_domain.rules.decision import Decision, Reason, alert_id
from fraud_domain.rules.engine import Engine
from fraud_domain.rules.errors import ExpressionError, Problem, RuleError
from fraud_domain.rules.fixtures import FixtureFailure, check_fixtures
from fraud_domain.rules.history import History, HistoryFormatError
from fraud_domain.rules.loader import load_catalogue, load_texts, read_texts
from fraud_domain.rules.model import Catalogue, Key, Rule, Status, Strength, Subject, Typology
from fraud_domain.rules.vocabulary import ORIGIN_FIELDS, Origin

__all__ = [
    "ORIGIN_FIELDS",
    "Catalogue",
    "Decision",
    "Engine",
    "ExpressionError",
    "FixtureFailure",
    "History",
    "HistoryFormatError",
    "Key",
    "Origin",
    "Problem",
    "Reason",
    "Rule",
    "RuleError",
    "Status",
    "Strength",
    "Subject",
    "Typology",
    "alert_id",
    "check_fixtures",
    "load_catalogue",
    "load_texts",
    "read_texts",
]
