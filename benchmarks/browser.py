"""Headless Chromium, for the benchmark of the page and for its tests."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing() -> str:
    """Returns which of Playwright and a browser is missing, in words; empty if neither is."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install -e '.[dev]'"
    return "" if _path() else f"no browser here: none of {', '.join(_NAMES)} is on the path"


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """Yields a browser with Playwright's synchronous interface. Its event loop excludes any other in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=_path(), args=_OPTIONS)
        yield browser
        browser.close()


def _path() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)
