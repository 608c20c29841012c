"""The embedded stack: real PostgreSQL, Kafka and Dagster processes on one machine, without containers."""
