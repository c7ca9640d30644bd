"""Samples of pokes, with networks whose samples can be worked out by hand."""

import jax
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.sampling.poke_samples import poke_control, sample_pokes
from i2v_jax.tasks.control import POKE
from tests.sampling.stand_ins import SIZE, synthesizer

KEY = jax.random.key(0)


def test_pokes_become_the_control() -> None:
    eta = poke_control(synthesizer("poke"), [[-0.5, 2.5], [1.5, 1.5]], [[1, 0], [0, -2]])
    np.testing.assert_allclose(eta, POKE.encode(np.array([[-0.5, 2.5, 1, 0], [1.5, 1.5, 0, -2]]), SIZE), atol=1e-6)


def test_samples_follow_the_poke_and_differ_by_the_residual() -> None:
    """z = nu + embedding + eta @ (0, 1, 2, ...); the last frame is x0 + 16 z[0] + z[1] / 1000, see `stand_ins`."""
    model, start = synthesizer("poke"), np.full((1, SIZE, SIZE, 3), 0.5, np.float32)
    pokes = ([[0, 1], [2, 3], [2, 3]], [[1, 0], [0, -2], [0, -1]])
    videos = sample_pokes(model, start, *pokes, KEY, 4, temperature=0.0)
    shift = 0.5 + poke_control(model, *pokes) @ np.arange(192.0)
    assert videos.shape == (3, 4, 16, SIZE, SIZE, 3)
    np.testing.assert_allclose(videos[:, :, -1, 0, 0, 0], np.repeat((0.5 + 16.001 * shift)[:, None], 4, 1), rtol=1e-4)
    drawn = sample_pokes(model, start, *pokes, KEY, 4, frames=20)
    assert drawn.shape == (3, 4, 20, SIZE, SIZE, 3)
    spread = (drawn[:, :, 15] - videos[:, :, -1])[..., 0, 0, 0]
    assert len(np.unique(spread.round(2))) == 12
    fewer = sample_pokes(model, start, *pokes, KEY, 2)
    np.testing.assert_allclose(fewer, drawn[:, :2, :16], rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    start = np.zeros((2, SIZE, SIZE, 3))
    with pytest.raises(UserError, match="this model was not trained with pokes"):
        poke_control(synthesizer("direction"), [[1, 1]], [[1, 0]])
    with pytest.raises(UserError, match="position 4,1 is outside the image of 4x4 pixels"):
        poke_control(synthesizer("poke"), [[4, 1]], [[1, 0]])
    with pytest.raises(UserError, match="2 start frames and 3 pokes"):
        sample_pokes(synthesizer("poke"), start, [[1, 1]] * 3, [[1, 0]] * 3, KEY, 1)
    with pytest.raises(UserError, match="controlled by pokes, which are not drawn at random: give one"):
        synthesizer("poke").sample(start, KEY, 1)
