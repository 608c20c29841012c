"""Print the JSON Schema of a rule file: `python -m fraud_domain.rules > rules/rules.schema.json`."""

import sys

from fraud_domain.rules.schema import schema_text

sys.stdout.write(schema_text())
