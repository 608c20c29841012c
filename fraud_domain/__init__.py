"""The language of the house: contract, tables, streams, rules and settings.

Pure Python. Nothing here imports Spark, Dagster or a client library, and nothing touches a file, a
socket or a clock at import. Every other package may import this one; this one imports none of them.
"""
