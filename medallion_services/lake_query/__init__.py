"""The lake in SQL without Spark: every Delta table as `layer.table`, and named questions as views."""
