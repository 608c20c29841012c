"""The rules judged on each day of the lake."""
