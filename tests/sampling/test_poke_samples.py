"""Samples of pokes, with networks whose samples can be worked out by hand."""

import jax
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.tasks.control import POKE
from tests.sampling.stand_ins import SIZE, generator

KEY = jax.random.key(0)


def test_pokes_become_the_control() -> None:
    eta = generator("poke").encode_pokes([[-0.5, 2.5], [1.5, 1.5]], [[1, 0], [0, -2]])
    np.testing.assert_allclose(eta, POKE.encode(np.array([[-0.5, 2.5, 1, 0], [1.5, 1.5, 0, -2]]), SIZE), atol=1e-6)


def test_samples_follow_the_poke_and_differ_by_the_residual() -> None:
    """z = nu + embedding + eta @ (0, 1, 2, ...); the last frame is x0 + 16 z[0] + z[1] / 1000, see `stand_ins`."""
    model, start = generator("poke"), np.full((3, SIZE, SIZE, 3), 0.5, np.float32)
    eta = model.encode_pokes([[0, 1], [2, 3], [2, 3]], [[1, 0], [0, -2], [0, -1]])
    videos = model.generate(start, KEY, 4, control=eta, temperature=0.0)
    shift = 0.5 + eta @ np.arange(192.0)
    assert videos.shape == (3, 4, 16, SIZE, SIZE, 3)
    np.testing.assert_allclose(videos[:, :, -1, 0, 0, 0], np.repeat((0.5 + 16.001 * shift)[:, None], 4, 1), rtol=1e-4)
    drawn = model.generate(start, KEY, 4, control=eta, frames=20)
    assert drawn.shape == (3, 4, 20, SIZE, SIZE, 3)
    spread = (drawn[:, :, 15] - videos[:, :, -1])[..., 0, 0, 0]
    assert len(np.unique(spread.round(2))) == 12
    fewer = model.generate(start, KEY, 2, control=eta)
    np.testing.assert_allclose(fewer, drawn[:, :2, :16], rtol=1e-5)


def test_pokes_are_not_drawn_at_random() -> None:
    with pytest.raises(UserError):
        generator("poke").generate(np.zeros((2, SIZE, SIZE, 3)), KEY, 1)
