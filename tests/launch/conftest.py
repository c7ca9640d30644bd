"""A work directory for all tests of this folder."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from i2v_jax.configs import sky
from tests.sampling.random_run import write_run


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with `run`, two images (`a.png`, and the gray odd-sized `b.png`), and `clip`, a folder of 18 frames."""
    folder = tmp_path_factory.mktemp("synthesis")
    write_run(folder / "run", sky.get_config("demo,runlocal"))
    noise = np.random.default_rng(0).integers(0, 255, (18, 40, 37, 3), np.uint8)
    (folder / "clip").mkdir()
    for index, frame in enumerate(noise):
        Image.fromarray(frame).save(folder / "clip" / f"frame{index}.png")
    Image.fromarray(noise[0]).save(folder / "a.png")
    Image.fromarray(noise[0, ..., 0]).save(folder / "b.png")
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    return folder
