"""The data plane: Spark jobs that fill bronze, silver, gold and the alert tables.

`streaming_*.py` are the continuous streams, each a script for plain `spark-submit`; the modules beside them
hold the transforms (pure `DataFrame -> DataFrame`), the sinks, and the runtime that keeps a stream honest.
Nothing here imports Dagster or the services.
"""
