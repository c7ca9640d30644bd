"""One folder of compiled programs for all of these tests: what one has compiled, the next ones load."""

import os
import pathlib
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """Also where pretrained weights would be: the tests find none. JAX_COMPILATION_CACHE_DIR, where set, goes first."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "I2V_JAX_CACHE", str(folder))
        yield folder
