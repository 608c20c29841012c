"""The live dashboard and the analysts' desk: pages, API, server-sent events.

Imported by commands only when they need it: FastAPI and DuckDB are heavy.
"""
