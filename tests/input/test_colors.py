import colorsys
import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from i2v_jax.input.colors import Jitter


class FixedDraws:
    """Draws the end of every interval, upper where `share` is 1, and a given order."""

    def __init__(self, share: float, order: Sequence[int] = ()):
        self.share, self.order = share, order

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share

    def permutation(self, count: int) -> Sequence[int]:
        assert len(self.order) == count
        return self.order


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["affine", "kornia"])
def test_no_jitter_changes_nothing(frames: np.ndarray, kind: str) -> None:
    assert np.array_equal(Jitter(kind=kind)(frames, np.random.default_rng(0)), frames)


def test_brightness_scales_values() -> None:
    matrix = Jitter(brightness=0.5).matrix(FixedDraws(1.0), mean_luma=100.0)
    assert matrix @ [10, 20, 30, 1] == pytest.approx([15, 30, 45], rel=1e-5)


def test_contrast_moves_values_away_from_the_mean_luma() -> None:
    matrix = Jitter(contrast=0.5).matrix(FixedDraws(0.0), mean_luma=100.0)
    assert matrix @ [100, 100, 200, 1] == pytest.approx([100, 100, 150], rel=1e-5)


def test_saturation_zero_is_gray() -> None:
    matrix = Jitter(saturation=1.0).matrix(FixedDraws(0.0), mean_luma=0.0)
    luma = 0.299 * 200 + 0.587 * 40 + 0.114 * 90
    assert matrix @ [200, 40, 90, 1] == pytest.approx([luma] * 3, rel=1e-4)


def test_hue_turns_colors_and_keeps_luma_and_gray() -> None:
    matrix = Jitter(hue=0.1).matrix(FixedDraws(1.0), mean_luma=0.0)
    assert matrix @ [90, 90, 90, 1] == pytest.approx([90] * 3, rel=1e-3)
    before = np.array([180.0, 80.0, 60.0])
    after = matrix[:, :3] @ before
    assert after @ [0.299, 0.587, 0.114] == pytest.approx(before @ [0.299, 0.587, 0.114], rel=1e-3)
    turn = colorsys.rgb_to_hsv(*after / 255)[0] - colorsys.rgb_to_hsv(*before / 255)[0]
    assert 0.03 < abs((turn + 0.5) % 1 - 0.5) < 0.2


def test_hue_may_turn_further_in_one_direction() -> None:
    def turns(jitter: Jitter) -> list[float]:
        red = np.full((1, 1, 1, 3), (255, 0, 0), np.uint8)
        hues = [colorsys.rgb_to_hsv(*jitter(red, FixedDraws(end, (3, 0, 1, 2)))[0, 0, 0] / 255)[0] for end in (0, 1)]
        return [(hue + 0.5) % 1 - 0.5 for hue in hues]

    assert turns(Jitter(hue=0.15, kind="kornia")) == pytest.approx([-0.15, 0.15], abs=1e-3)
    assert turns(Jitter(hue=0.15, hue_forward=0.3, kind="kornia")) == pytest.approx([-0.15, 0.3], abs=1e-3)
    forward, backward = turns(Jitter(hue=0.15, hue_forward=0.3))  # in YIQ, which turns the other way, by other angles
    assert backward == pytest.approx(-0.15, abs=0.05)
    assert forward == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("kind", ["affine", "kornia"])
def test_jitter_is_the_same_for_all_frames(frames: np.ndarray, kind: str) -> None:
    changed = Jitter(0.3, 0.3, 0.3, 0.15, kind=kind)(np.stack([frames[0], frames[0]]), np.random.default_rng(0))
    assert np.array_equal(changed[0], changed[1])
    assert not np.array_equal(changed[0], frames[0])


def kornia(pixel: np.ndarray, share: float, order: Sequence[int]) -> np.ndarray:
    """The formulas of kornia 0.5.0 for one pixel in [0, 1], in float64, with colorsys for HSV."""
    at_end = 2 * share - 1  # of every interval: -1 or 1

    def in_hsv(rgb: np.ndarray, factor: float, turn: float) -> np.ndarray:
        hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
        return np.array(colorsys.hsv_to_rgb((hue + turn) % 1.0, min(saturation * factor, 1.0), value))

    changes = (
        lambda rgb: np.clip(rgb + 0.3 * at_end, 0, 1),
        lambda rgb: np.clip(rgb * (1 + 0.3 * at_end), 0, 1),
        lambda rgb: in_hsv(rgb, 1 + 0.3 * at_end, 0.0),
        lambda rgb: in_hsv(rgb, 1.0, 0.15 * at_end),
    )
    for index in order:
        pixel = changes[index](pixel)
    return pixel


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_jitter_of_kornia(share: float) -> None:
    """In every order, for random colors and those at the edges of HSV's sectors, up to the rounding to bytes."""
    edges = np.array(list(itertools.product((0, 1, 127, 255), repeat=3)), np.uint8)
    clip = np.concatenate([edges, np.random.default_rng(0).integers(0, 256, (32, 3), dtype=np.uint8)])[None, None]
    jitter = Jitter(0.3, 0.3, 0.3, 0.15, kind="kornia")
    for order in itertools.permutations(range(4)):
        changed = jitter(clip, FixedDraws(share, order))
        expected = np.array([kornia(pixel / 255, share, order) for pixel in clip[0, 0]])
        assert np.abs(changed[0, 0] - 255 * expected).max() < 0.51, order


def test_the_order_of_kornias_changes_matters(frames: np.ndarray) -> None:
    jitter = Jitter(0.3, 0.3, 0.3, 0.15, kind="kornia")
    orders = [np.random.default_rng(seed).permutation(4) for seed in range(8)]
    changed = {jitter(frames, FixedDraws(1.0, order)).tobytes() for order in orders}
    assert len(changed) > 2
