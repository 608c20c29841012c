"""Rules on history, judged by labels, without side effects."""
