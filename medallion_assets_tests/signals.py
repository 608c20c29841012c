"""A test run takes the signals of an ordinary process, however it was started."""

import signal


def heed_signals() -> None:
    """Give SIGINT and SIGTERM their usual meaning where whoever started this process had them ignored.

    A shell script ignores SIGINT in what it puts into the background, Dagster copies SIGINT's handler to SIGTERM after
    every run, and processes that a test starts inherit what is ignored: they would end by SIGKILL only.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
