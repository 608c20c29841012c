"""A real Chromium for the tests of pages."""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """The browser of this machine: CHROMIUM names it, else the usual names on the path."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A started browser; the test is skipped, loudly, when the machine has none."""
    path = chromium()
    if path is None:
        reason = "NO CHROMIUM: the pages were NOT tested. Install chromium, or name one in CHROMIUM."
        warnings.warn(reason, stacklevel=2)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
