"""The contract as JSON Schema files, for producers in other languages; `python -m fraud_domain.schemas` writes them."""

import json
from pathlib import Path

from fraud_domain.contract import SCHEMA_VERSION, AccountEvent, Event, FraudLabel, Transaction, json_schema

DIRECTORY = Path(__file__).resolve().parent


def schema_files() -> dict[str, str]:
    """File name and content of each schema, as they must be in `DIRECTORY`."""
    models: dict[str, type[Event]] = {
        "transaction": Transaction,
        "fraud_label": FraudLabel,
        "account_event": AccountEvent,
    }
    return {
        f"{name}.v{SCHEMA_VERSION}.schema.json": json.dumps(json_schema(model), indent=2, ensure_ascii=False) + "\n"
        for name, model in models.items()
    }
