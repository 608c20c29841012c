"""Errors that are nobody's mistake in the code: a person reads one sentence and knows what to do."""


class PlainError(RuntimeError):
    """The message says what is wrong and what to do; a log gets it without a stack trace."""
