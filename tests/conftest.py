"""Eight virtual CPU devices for all tests, the compiler settings of the entry points, and a browser."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

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


@pytest.fixture(scope="module", autouse=True)
def compiled_programs():
    """Forgotten after each file: those of all tests together do not fit into the memory of a small machine."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="module")
def chromium():
    """A headless browser, see `benchmarks.browser.launched`."""
    if words := browser.missing():
        pytest.skip(words)
    with browser.launched() as running:
        yield running
