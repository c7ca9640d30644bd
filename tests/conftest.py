"""Eight virtual CPU devices for all tests, the compiler settings of the entry points, and a browser."""

import gc
import os
import shutil

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

from i2v_jax.distributed import runtime

runtime.configure_platform()
jax.config.update("jax_num_cpu_devices", 8)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs():
    """Forgotten after each file: those of all tests together do not fit into the memory of a small machine."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="module")
def chromium():
    """A headless browser of Playwright's synchronous interface, whose event loop lets no other run in this thread."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(_BROWSERS)} is on the path")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=_BROWSER_OPTIONS)
        yield browser
        browser.close()
