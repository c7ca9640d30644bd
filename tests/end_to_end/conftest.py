"""Hides pretrained weights that this machine may have."""

import os
import pathlib
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """Yields the folder in which these tests look for pretrained weights. It is empty."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "I2V_JAX_CACHE", str(folder))
        yield folder
