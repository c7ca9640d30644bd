"""Clips of every stage come out of the tiny copies of the data sets, with the configuration of each data set."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from i2v_jax.config import stage_data
from i2v_jax.config_files import load
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.registry import data_set, open_split
from i2v_jax.input.pipeline import make_pipeline
from tests.data import raw_copies
from tests.data.conftest import Prepare
from tests.end_to_end import runs
from tests.input.helpers import numbered_frames, write_frames
from tests.launch.synthesis import launch


def _textures(folder: Path) -> None:
    for name in ("train/a", "train/b", "eval/c"):
        write_frames(folder / "fire" / name, numbered_frames(20, 36, 64), suffix=".jpg")


def _actors(folder: Path) -> None:
    raw_copies.human36m(folder, archive_name="{}.tgz")


@dataclasses.dataclass(frozen=True)
class Case:
    """A tiny copy, and how it is prepared and trained on."""

    name: str
    config: str
    write: Callable[[Path], None]
    every: int = 1
    flow_distance: int = 0


CASES = [
    Case("bair", "bair:", raw_copies.bair),
    Case("iper", "iper:", functools.partial(raw_copies.iper, names=("006_1_1", "008_1_2", "019_2_1"))),
    Case("landscape", "landscape:", raw_copies.landscape),
    Case("dtdb_fire", "dtdb:texture=fire,", _textures),
    Case("poking_plants", "poking_plants:", raw_copies.poking_plants, flow_distance=10),
    Case("taichi", "taichi:", raw_copies.taichi, flow_distance=20),
    Case(
        "human36m",
        "human36m:",
        functools.partial(raw_copies.human36m, archive_name="{}.tgz"),
        every=8,
        flow_distance=10,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_stage_gets_clips(tmp_path: Path, prepared: Prepare, case: Case) -> None:
    case.write(tmp_path / "raw")
    known = data_set(case.name)
    assert isinstance(known, PreparedDataSet)
    prepared(known.builder, min_frames=3, every=case.every)
    small = ["data.workers=0", f"data.dir={tmp_path / 'out'}"]
    config = load(f"{case.config}preset=release", small + (["data.poke.flow=dis"] if case.flow_distance else []))
    for stage in config.stages:
        data = stage_data(config, stage)
        for split in ("train", "eval"):
            source = open_split(data, split)
            pipeline = make_pipeline(source, data, batch_size=1, seed=0, train=split == "train")
            batches = pipeline.iterator()
            video = next(batches)["video"]
            batches.close()
            assert video.shape[0] == 1 and video.shape[2:] == (data.size, data.size, 3)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_stage_trains(tmp_path: Path, case: Case) -> None:
    """From the download to a trained model by the commands of a user, a few steps of every stage."""
    case.write(tmp_path / "raw")
    folders = [f"--raw_dir={tmp_path / 'raw'}", f"--data_dir={tmp_path / 'out'}", "--min_frames=3"]
    flow = ["--flow=dis", f"--flow_distance={case.flow_distance}", "--flow_motion=0"] if case.flow_distance else []
    done = launch("launch.prepare", f"--dataset={case.name}", f"--every={case.every}", *folders, *flow)
    assert done.returncode == 0, done.stderr
    stages = ("poke",) if case.flow_distance else ("video_vae", "image_ae")
    perceptual = " ".join(f"{stage}.loss.perceptual_network=laplacian" for stage in stages)
    runs.train(f"{case.config}size=64,runlocal {perceptual} data.dir={tmp_path / 'out'}", tmp_path / "run")
