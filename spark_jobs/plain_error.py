"""Errors that are nobody's mistake in the code: a person reads one sentence and knows what to do."""


class PlainError(RuntimeError):
    """The message says what is wrong and what to do; a log gets it without a stack trace."""


def reason_of(error: Exception) -> str:
    """An error in one line, with its kind, by which `classify` of the operations knows what to do."""
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
