"""Print the JSON Schema of a rule file: `python -m fraud_domain.rules > rules/rules.schema.json`."""

from fraud_domain.rules.schema import schema_text

print(schema_text(), end="")
