"""Measurements and page of a stand-in generator that draws the true plants, moved by the poke."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest

from i2v_jax.configs import plants as plants_config
from i2v_jax.evaluation import poke_measurements
from i2v_jax.evaluation.poked_clips import held_out
from i2v_jax.input.procedural import plants
from i2v_jax.reports import plants_demo
from i2v_jax.reports.page import write_page
from i2v_jax.sampling.poke import PokeGenerator
from tests.sampling.test_poke import stand_in

SIZE, COUNT = 64, 4
SHORT = 0.5


def data_of_plants(frames=11, breeze=0.0):
    """`COUNT` test clips of `SIZE` pixels."""
    data = plants_config.get_config(f"size={SIZE}").data
    data.num_clips.test, data.frames, data.breeze = COUNT, frames, breeze
    return data


class Oracle(PokeGenerator):
    """Draws the true response to `share` of the poke's displacement."""

    share = 1.0

    def _answers(self, start_frames, pokes, frames):
        known = held_out(data_of_plants(), COUNT).video[:, 0]
        videos = []
        for frame, (x, y, *shift) in zip(
            np.broadcast_to(start_frames, (len(pokes), SIZE, SIZE, 3)), pokes, strict=True
        ):
            index = int(np.abs(known - frame).mean(axis=(1, 2, 3)).argmin())
            pulled = tuple(self.share * np.asarray(shift, np.float64))
            drawn = plants.respond("test", index, (x, y), pulled, size=SIZE, times=range(1, 11))
            videos.append(drawn.astype(np.float32) / 127.5 - 1)
        return np.stack(videos)

    def structure(self, start_frame, position, seed=0, count=0):
        return np.random.default_rng(0).random((SIZE, SIZE)).astype(np.float32)


def oracle(share):
    base = stand_in(size=SIZE, frames=10)
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    return type("Shared", (Oracle,), {"share": share})(**fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("plants")
    (folder / "plants" / "poke").mkdir(parents=True)
    lines = [{"step": step, "perceptual": 1 / step} for step in (10, 20)]
    (folder / "plants" / "poke" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_page(folder, {"plants": plants_demo.report(oracle(SHORT), data_of_plants(), folder / "plants", clips=COUNT)})
    return folder


def test_the_target_error_is_what_the_motion_falls_short_of(folder: pathlib.Path) -> None:
    numbers = json.loads((folder / "numbers.json").read_text())["plants"]
    clips = held_out(data_of_plants(), COUNT)
    lengths = np.hypot(*clips.displacement.T)
    assert numbers["target_error_still"] == pytest.approx(lengths.mean(), abs=1e-3)
    assert numbers["target_error_truth"] < 0.8
    assert abs(numbers["target_error_model"] - SHORT * lengths.mean()) < 0.8
    assert numbers["target_error_translation"] < 0.5  # the whole picture goes there
    assert numbers["background_motion_model"] == 0
    assert numbers["background_motion_translation"] > 0.5 * lengths.mean()
    assert numbers["psnr_db_model"] > numbers["psnr_db_still"] > numbers["psnr_db_translation"]
    assert {"psnr_db", "ssim"} < numbers["per_frame"].keys()
    assert all(len(curve) == 10 for by_name in numbers["per_frame"].values() for curve in by_name.values())


def test_the_page_stands_alone(folder: pathlib.Path) -> None:
    page = (folder / "index.html").read_text()
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 8 + 4 + 4 + 4 + 4
    for file in files:
        assert (folder / file).stat().st_size > 0
    assert not re.search(r"https?:|//[a-z]", page)
    assert page.count("<svg") == 3 + 1  # PSNR, SSIM and the Laplacian distance by frame, and the one loss of the log


def test_a_frame_is_translated_as_a_whole() -> None:
    frame = np.zeros((8, 8, 3), np.float32)
    frame[3, 4] = 1
    moved = poke_measurements.translated(frame, np.array([1.5, -2.0]))
    np.testing.assert_allclose(moved[1, 5:7, 0], 0.5)
    assert moved.sum() == pytest.approx(3)
