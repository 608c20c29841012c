"""The alert lane without Spark: one process that consumes, judges, keeps its state in SQLite and tells people.

It makes the decisions of `streaming_to_postgres.py`, by the same engine, contract, sink and decision log. What Spark
gives that one, a state that goes with the offsets and batches that outlive a crash, `store.py` gives this one.
"""
