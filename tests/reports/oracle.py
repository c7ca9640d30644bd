"""A generator that draws the true sky, moving in the requested direction plus a known angle."""

import dataclasses
import functools

import numpy as np

from i2v_jax.evaluation import sky_measurements
from i2v_jax.input.procedural import sky
from i2v_jax.sampling.cinn import CinnGenerator
from tests.sampling import stand_ins

SIZE, COUNT = 32, 8


@functools.cache
def _scenes() -> np.ndarray:
    """Returns the start frames of all clips, which tell which scene a frame shows."""
    return sky_measurements.held_out(COUNT, SIZE).video[:, 0]


class Oracle(CinnGenerator):
    """Draws the true sky, moving in the requested direction plus `off` degrees."""

    off = 0.0

    def _redraw(self, start_frames: np.ndarray, control: np.ndarray) -> np.ndarray:
        videos = []
        for frame, eta in zip(start_frames, control, strict=True):
            index = int(np.abs(_scenes() - frame).mean(axis=(1, 2, 3)).argmin())
            motion = sky.Motion(10 * int(np.argmax(eta)) + 5 + self.off, 0.025)
            drawn = sky.render("test", index, SIZE, range(1, 17), motion)
            videos.append(drawn.astype(np.float32) / 127.5 - 1)
        return np.stack(videos)

    def generate(self, start_frames, rng, num_samples, *, control=None, **_):
        eta = sky_measurements.encode_directions(np.full(len(start_frames), 45.0)) if control is None else control
        videos = self._redraw(np.asarray(start_frames), np.asarray(eta))
        return np.repeat(videos[:, None], num_samples, axis=1)

    def encode_motion(self, video, control=None):
        return np.zeros((len(video), 2))

    def transfer(self, motion, start_frames, control=None, frames=16):
        count = max(len(start_frames), len(control))
        frames, eta = (np.broadcast_to(array, (count, *array.shape[1:])) for array in (start_frames, control))
        return self._redraw(frames, eta)

    def reconstruct(self, video):
        return video[:, 1:] + 0.2  # 20 dB


def oracle(off: float) -> CinnGenerator:
    base = stand_ins.generator("direction")
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    shifted = type("Shifted", (Oracle,), {"off": off})
    return shifted(**{**fields, "size": SIZE})
