"""The control plane: the Dagster code location.

`definitions.py` is the composition root; `defs/` has a room per layer of the lake and one each for the
streams, their guards, and data quality. Nothing here starts Spark; streams run as processes of their own.
"""
