"""`i2v_jax.load(MODEL).show(IMAGE)`: which videos a notebook displays."""

import base64
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

import i2v_jax
from i2v_jax.configs import plants
from i2v_jax.errors import UserError
from i2v_jax.media.videos import iterate_frames
from i2v_jax.notebook import Model
from tests.sampling.random_run import write_run
from tests.serving import stand_ins
from tests.serving.stand_ins import GRAY, SIZE

IMAGE = np.full((SIZE, SIZE, 3), 100, np.uint8)


def model(served) -> Model:
    return Model("toy", served._generator, "resize", "area")


def test_pokes_have_a_video_each() -> None:
    videos = model(stand_ins.pokes()).show(IMAGE, pokes=[(8, 8, 4, 0), np.array([2, 3, 0, 5])])
    assert len(videos) == 2 and videos[0].shape == (5, SIZE, SIZE, 3)
    assert videos[0].mean(axis=(1, 2, 3)) == pytest.approx(GRAY + 0.04 * np.arange(5), abs=1e-5)
    assert videos[1].mean(axis=(1, 2, 3)) == pytest.approx(np.full(5, GRAY), abs=1e-5)
    html = videos._repr_html_()
    assert re.findall("<figcaption.*>(.*)</figcaption>", html) == ["(8, 8) by (4, 0)", "(2, 3) by (0, 5)"]
    assert html.count("<div") == 1


def test_pokes_are_in_pixels_of_the_image() -> None:
    larger = np.full((4 * SIZE, 4 * SIZE, 3), 100, np.uint8)
    videos = model(stand_ins.pokes()).show(larger, pokes=(32, 32, 16, 0))
    assert videos[0].mean(axis=(1, 2, 3)) == pytest.approx(GRAY + 0.04 * np.arange(5), abs=1e-5)


def test_samples_are_side_by_side_in_a_row_for_each_poke(tmp_path: pathlib.Path) -> None:
    shown = model(stand_ins.poke_samples())
    videos = shown.show(IMAGE, pokes=[(8, 8, 4, 0), (8, 8, 0, 4)], num_samples=3, frames=6)
    assert [len(row) for row in videos.rows] == [3, 3]
    assert {video.shape for video in videos} == {(7, SIZE, SIZE, 3)}
    html = videos._repr_html_()
    assert html.count("<div") == 2
    (first, *others) = re.findall('src="data:video/mp4;base64,([^"]+)"', html)
    assert len(others) == 5
    (tmp_path / "first.mp4").write_bytes(base64.b64decode(first))
    assert len(list(iterate_frames(tmp_path / "first.mp4"))) == 7
    again = shown.show(IMAGE, pokes=[(8, 8, 4, 0)], num_samples=2, frames=6)
    assert (again[1] == videos[1]).all()
    other = shown.show(IMAGE, pokes=[(8, 8, 4, 0)], num_samples=2, frames=6, seed=1)
    assert (other[1] != videos[1]).any()


def test_a_control_is_given_by_its_name() -> None:
    shown = model(stand_ins.samples())
    assert "direction=DEGREES" in repr(shown)
    up, down = (shown.show(IMAGE, num_samples=1, direction=angle)[0] for angle in (90, np.float32(270)))
    assert (up != down).any()


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.png", "a.npz"])
def test_videos_become_a_file(name: str, tmp_path: pathlib.Path) -> None:
    videos = model(stand_ins.pokes()).show(IMAGE, pokes=[(8, 8, 4, 0)])
    videos.save(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 100


@pytest.mark.parametrize(
    ("served", "options", "field"),
    [
        (stand_ins.pokes, {"pokes": [(8, 8, 4, 0)], "num_samples": 2}, "num_samples"),
        (stand_ins.pokes, {}, "poke"),
        (stand_ins.pokes, {"pokes": [(8, 8)]}, "poke"),
        (stand_ins.pokes, {"pokes": [(99, 8, 1, 1)]}, "position"),
        (stand_ins.samples, {"pokes": [(8, 8, 4, 0)]}, "poke"),
        (stand_ins.samples, {"endpoint": (1, 2, 3)}, "endpoint"),
        (stand_ins.samples, {"num_samples": 0}, "samples"),
    ],
)
def test_what_the_model_does_not_take_is_refused(served, options, field) -> None:
    with pytest.raises(UserError) as caught:
        model(served()).show(IMAGE, **options)
    assert caught.value.field == field


def test_another_ending_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError):
        model(stand_ins.pokes()).show(IMAGE, pokes=[(8, 8, 4, 0)]).save(tmp_path / "a.webm")


def test_a_trained_model_with_its_examples(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "run", plants.get_config("demo,runlocal"))
    loaded = i2v_jax.load(tmp_path / "run")
    assert len(loaded.examples) == 8 and loaded.examples[0].shape == (32, 32, 3)
    Image.fromarray(loaded.examples[0]).save(tmp_path / "a.png")
    videos = [
        loaded.show(image, pokes=[(10, 12, 3, 0)], frames=1)[0]
        for image in (loaded.examples[0], tmp_path / "a.png", Image.open(tmp_path / "a.png"))
    ]
    assert (videos[0] == videos[1]).all() and (videos[0] == videos[2]).all()
