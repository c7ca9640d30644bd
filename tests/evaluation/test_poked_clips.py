"""Pokes of a user's clips: a square that moves over a still background, and a video without motion."""

import dataclasses

import cv2
import numpy as np
import pytest

from i2v_jax.configs import folder as folder_config
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.errors import UserError
from i2v_jax.evaluation import poke_measurements
from i2v_jax.evaluation.poked_clips import held_out
from i2v_jax.sampling.poke import PokeGenerator
from tests.evaluation.test_poke_measurements import _psnr
from tests.input.helpers import write_frames
from tests.sampling.test_poke import stand_in

SIZE, FRAMES, SPEED = 64, 5, 0.75


def texture(rng: np.random.Generator, side: int) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal((side, side, 3)).astype(np.float32), (0, 0), 2.0)
    return np.clip(128 + 400 * noise, 0, 255)


def moving(seed: int, speed: float, count: int) -> np.ndarray:
    """uint8 [count, 64, 64, 3]: a square of 24 pixels goes to the right."""
    rng = np.random.default_rng(seed)
    ground, square = texture(rng, SIZE), texture(rng, 24)
    frames = np.repeat(ground[None], count, axis=0)
    for index, frame in enumerate(frames):
        left = 8 + round(speed * index)
        frame[20:44, left : left + 24] = square
    return frames.astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    """Returns data settings of a poke model, clips of every second frame of two moving videos and a still one."""
    root = tmp_path_factory.mktemp("clips")
    for name, speed in (("test/a", SPEED), ("test/b", SPEED), ("test/still", 0.0), ("train/c", SPEED)):
        write_frames(root / "raw" / name, moving(len(name), speed, 2 * FRAMES - 1))
    splits = SplitOptions(eval_fraction=0.0, test_fraction=0.0, seed=0)
    stored = StoreOptions(jpeg_quality=100, min_frames=3)
    prepare(Folder, root / "raw", root / "out", options=stored, split_options=splits, workers=1)
    config = folder_config.get_config(f"model=poke,size={SIZE}")
    config.data.dir, config.data.frames, config.data.frame_stride = str(root / "out"), FRAMES, 2
    return config.data


class Still(PokeGenerator):
    """Nothing ever moves."""

    def respond(self, start_frames, positions, displacements, frames=None):
        return np.repeat(np.asarray(start_frames)[:, None], frames, axis=1)


class Moved(Still):
    """Moves the whole picture by the poke."""

    def respond(self, start_frames, positions, displacements, frames=None):
        video = super().respond(start_frames, positions, displacements, frames)
        for clip, shift in zip(video, np.asarray(displacements), strict=True):
            for index, frame in enumerate(clip, 1):
                frame[:] = poke_measurements.translated(frame, index / frames * shift)
        return video


def model(kind: type[PokeGenerator]) -> PokeGenerator:
    base = stand_in(size=SIZE, frames=FRAMES - 1)
    return kind(**{field.name: getattr(base, field.name) for field in dataclasses.fields(base)})


def test_clips_of_a_folder_are_poked_where_they_move(data) -> None:
    clips = held_out(data, 8)
    assert clips.video.shape == (2, FRAMES, SIZE, SIZE, 3)  # each once; nothing to measure in the still one
    way = SPEED * 2 * (FRAMES - 1)
    np.testing.assert_allclose(clips.displacement, [[way, 0]] * 2, atol=0.6)
    assert (np.abs(clips.position - [20, 32]) <= 13).all()  # on the square
    assert (np.abs(clips.background - [26, 32]) > 12).any(axis=1).all()  # beside its way
    assert np.array_equal(clips.model_displacement, clips.displacement)
    restless = data.copy_and_resolve_references()
    restless.poke.min_motion = 99.0
    with pytest.raises(UserError) as raised:
        held_out(restless, 8)
    assert (raised.value.field, raised.value.value) == ("data.poke.min_motion", 99.0)


def test_models_of_a_folder_are_measured_as_those_of_plants(data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poke_measurements, "_metrics", lambda: {"psnr_db": _psnr})  # nothing to compile
    clips = held_out(data, 8)
    still, moved = (poke_measurements.measure(model(kind), clips).numbers for kind in (Still, Moved))
    assert still["clips"] == 2
    assert still["target_error_model"] == still["target_error_still"] == pytest.approx(6, abs=0.6)
    assert still["target_error_truth"] < 1.0
    assert still["background_motion_model"] == 0
    assert moved["target_error_model"] == moved["target_error_translation"] < 1.0
    assert moved["background_motion_model"] == moved["background_motion_translation"] > 3
    assert still["psnr_db_model"] == still["psnr_db_still"] > moved["psnr_db_model"]


def test_models_of_impulses_are_told_impulses(data) -> None:
    plain = held_out(data, 8)
    impulses = data.copy_and_resolve_references()
    impulses.poke.update(normalize="impulse", largest_flow=0.2)
    clips = held_out(impulses, 8)
    assert np.array_equal(clips.displacement, plain.displacement)
    lengths = np.hypot(*clips.model_displacement.T)
    assert ((lengths > 0) & (lengths <= 1 + 1e-6)).all()
    np.testing.assert_allclose(clips.model_displacement / lengths[:, None], [[1, 0]] * 2, atol=0.05)
    seen = []

    class Impulses(Still):
        def respond(self, start_frames, positions, displacements, frames=None):
            seen.append(np.asarray(displacements))
            return super().respond(start_frames, positions, displacements, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poke_measurements, "_metrics", dict)
        poke_measurements.measure(model(Impulses), clips)
    assert [np.array_equal(given, clips.model_displacement) for given in seen] == [
        True,
        True,
    ]  # of the foreground, of the background


def test_only_plants_are_compared_at_two_lengths(data) -> None:
    longer = data.copy_and_resolve_references()
    longer.frames = 17
    with pytest.raises(UserError) as raised:
        poke_measurements._check_beside(model(Still), SIZE, longer)
    assert (raised.value.field, raised.value.value) == ("beside", 5)
