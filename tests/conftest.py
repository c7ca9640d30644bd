"""Sets up JAX for all tests: eight virtual CPU devices, one folder of compiled programs, quick compilation."""

import gc
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# All workers and all commands that tests start share what they compile, with the next run, too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".cache" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import pytest

from benchmarks import browser
from i2v_jax.distributed import runtime
from tests import compiling

runtime.configure_platform()
jax.config.update("jax_num_cpu_devices", 8)
with pytest.MonkeyPatch.context() as _patch:
    _patch.setenv("XLA_FLAGS", compiling.environment()["XLA_FLAGS"])
    jax.devices()  # reads the flags, once


def pytest_collection_modifyitems(items):
    """Starts with the longest jobs, so that no worker waits for one at the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs():
    """Forgets the programs after each file: those of all tests do not fit into the memory of a small machine."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="module")
def chromium():
    """Yields a headless browser, see `benchmarks.browser.launched`."""
    if words := browser.missing():
        pytest.skip(words)
    with browser.launched() as running:
        yield running
