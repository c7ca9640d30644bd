"""The Python examples of sampling run as they are printed, on work directories of untrained networks."""

import contextlib
import pathlib

import numpy as np
import pytest
from PIL import Image

from i2v_jax.configs import plants, sky
from tests.docs.markdown import Example, snippets
from tests.sampling.random_run import write_run

EXAMPLES = [example for example in snippets() if "load_generator" in example.text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("snippets")
    write_run(folder / "RUN", sky.get_config("demo,runlocal"))
    write_run(folder / "PLANTS", plants.get_config("demo,runlocal"))
    write_run(folder / "MANY", plants.get_config("model=cinn,demo,runlocal"))
    for name in ("a.jpg", "a.png"):
        Image.fromarray(np.full((40, 40, 3), 100, np.uint8)).save(folder / name)
    return folder


def test_every_page_about_sampling_has_one() -> None:
    assert {example.where.partition(":")[0] for example in EXAMPLES} == {
        "README.md",
        "docs/sampling.md",
        "docs/poke.md",
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.where)
def test_an_example_runs(example: Example, folder: pathlib.Path) -> None:
    names: dict = {}
    with contextlib.chdir(folder):
        exec(example.text, names)
    assert names["videos"].dtype == np.float32
    assert names["videos"].shape[-3:] == (32, 32, 3)
