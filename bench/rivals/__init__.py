"""The same two rules by engines of other people, beside our own lanes."""
