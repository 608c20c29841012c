"""Write the schema files anew: `python -m fraud_domain.schemas`."""

from fraud_domain.schemas import DIRECTORY, schema_files

for name, text in schema_files().items():
    (DIRECTORY / name).write_text(text, encoding="utf-8")
