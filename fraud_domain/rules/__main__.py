"""Write the JSON Schemas for editors anew: `python -m fraud_domain.rules [DIRECTORY]`, by default `rules`."""

import sys
from pathlib import Path

from fraud_domain.rules import lists, schema

directory = Path(sys.argv[1] if len(sys.argv) > 1 else "rules")
(directory / "rules.schema.json").write_text(schema.schema_text(), encoding="utf-8")
(directory / "lists.schema.json").write_text(lists.schema_text(), encoding="utf-8")
