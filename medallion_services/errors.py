"""The one exception for what a user can put right."""


class UserError(RuntimeError):
    """Something outside the code is wrong; the message says what, and what to do about it.

    The CLI prints it without a stack trace (`medallion_services.cli.app`).
    """
