"""The measurements, on synthesizers that are perfect or know nothing."""

import dataclasses

import numpy as np
import pytest

from i2v_jax.input import sky
from i2v_jax.report import measurements
from i2v_jax.sampling.synthesizer import VideoSynthesizer
from tests.sampling import stand_ins

SIZE, COUNT = 32, 8


@pytest.fixture(scope="module")
def clips() -> measurements.HeldOut:
    return measurements.held_out(COUNT, SIZE)


class Oracle(VideoSynthesizer):
    """Draws the true sky again, moving where it is asked to, plus `off` degrees."""

    off = 0.0

    def _redraw(self, start_frames: np.ndarray, control: np.ndarray) -> np.ndarray:
        known = measurements.held_out(COUNT, SIZE).video[:, 0]
        videos = []
        for frame, eta in zip(start_frames, control, strict=True):
            index = int(np.abs(known - frame).mean(axis=(1, 2, 3)).argmin())
            motion = sky.Motion(10 * int(np.argmax(eta)) + 5 + self.off, 0.025)
            drawn = sky.render("test", index, SIZE, range(1, 17), motion)
            videos.append(drawn.astype(np.float32) / 127.5 - 1)
        return np.stack(videos)

    def sample(self, start_frames, rng, num_samples, *, control=None, **_):
        eta = measurements.encode_directions(np.full(len(start_frames), 45.0)) if control is None else control
        videos = self._redraw(np.asarray(start_frames), np.asarray(eta))
        return np.repeat(videos[:, None], num_samples, axis=1)

    def residual(self, video, control=None):
        return np.zeros((len(video), 2))

    def transfer(self, residual, start_frames, control=None, frames=16):
        return self._redraw(start_frames, control)

    def reconstruct(self, video):
        return video[:, 1:] + 0.2  # 20 dB


def _oracle(off: float) -> VideoSynthesizer:
    base = stand_ins.synthesizer("direction")
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    oracle = type("Shifted", (Oracle,), {"off": off})
    return oracle(**{**fields, "size": SIZE})


def test_held_out_clips_are_those_of_the_sky(clips: measurements.HeldOut) -> None:
    assert clips.video.shape == (COUNT, 17, SIZE, SIZE, 3)
    assert clips.video.min() >= -1
    assert clips.video.max() <= 1
    bins = clips.control.argmax(axis=1)
    assert np.abs(measurements.angular_errors(clips.degrees, 10 * bins + 5)).max() <= 5


@pytest.mark.parametrize("off", [0.0, 60.0])
def test_errors_are_what_the_motion_is_off_by(clips: measurements.HeldOut, off: float) -> None:
    clips = dataclasses.replace(clips, video=clips.video * 0.9)  # room for the reconstruction's shift
    numbers = measurements.measure(_oracle(off), clips)
    assert numbers["estimator_error_degrees"] < 2
    assert abs(numbers["control_error_degrees"] - off) < 3
    assert abs(numbers["recontrol_error_degrees"] - off) < 3
    # What is asked for is the middle of the clip's bin, up to 5 degrees from its true direction.
    assert abs(numbers["transfer_error_degrees"] - off) < 6
    assert numbers["reconstruction_psnr_db"] == pytest.approx(20, abs=1e-3)
    assert numbers["copied_start_frame_psnr_db"] < numbers["reconstruction_psnr_db"] + 10
    assert numbers["free_samples_spread_degrees"] < 2  # all in one direction
    assert numbers["data_spread_degrees"] > 60


def test_circular_deviation() -> None:
    assert measurements.circular_deviation(np.array([350.0, 350.0])) == pytest.approx(0, abs=1e-3)
    # Two directions 2a apart have R = cos a.
    expected = np.degrees(np.sqrt(-2 * np.log(np.cos(np.radians(20)))))
    assert measurements.circular_deviation(np.array([350.0, 30.0])) == pytest.approx(expected)
    assert measurements.circular_deviation(np.arange(0, 360, 10.0)) > 300
