"""How an application of ours says something on its log, and how that is told from what engines write there."""

from datetime import datetime


def log_line(moment: datetime, message: str) -> str:
    """A message with its time, UTC."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ} {message}"


def message_in(line: str) -> str | None:
    """The message of a line that `log_line` made; None of any other."""
    if line[:2] != "20" or "Z " not in line:
        return None
    return line.split("Z ", 1)[1].strip()
