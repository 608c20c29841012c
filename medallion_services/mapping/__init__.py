"""From anyone's file to the event contract: a mapping in YAML, read by DuckDB, refused row by row."""
