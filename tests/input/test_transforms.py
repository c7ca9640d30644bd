import colorsys

import numpy as np
import pytest

from i2v_jax.input import transforms
from i2v_jax.pixels import from_levels

NO_JITTER = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


@pytest.fixture
def frames(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class FixedDraws:
    """Draws the end of every interval, upper where `share` is 1."""

    def __init__(self, share: float):
        self.share = share

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share


def test_to_float_maps_the_ends_of_the_range() -> None:
    assert from_levels(np.array([0, 255], np.uint8)) == pytest.approx([-1.0, 1.0], abs=1e-6)
    assert from_levels(np.zeros(1, np.uint8)).dtype == np.float32


def test_shrinking_averages_areas() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2] = 200
    assert np.all(transforms.fit(image[None], 4, "resize") == 100)


def test_crops_cut_squares_where_they_should(frames: np.ndarray) -> None:
    assert np.array_equal(transforms.fit(frames, 12, "center"), frames[:, :, 4:16])
    assert np.array_equal(transforms.fit(frames, 12, "random", (0.0, 0.0)), frames[:, :, :12])
    assert np.array_equal(transforms.fit(frames, 12, "random", (0.0, 1.0)), frames[:, :, 8:])
    assert transforms.fit(frames, 12, "resize").shape == (3, 12, 12, 3)


def test_no_jitter_changes_nothing(frames: np.ndarray) -> None:
    assert np.array_equal(transforms.jitter(frames, NO_JITTER, np.random.default_rng(0)), frames)


def test_brightness_scales_values() -> None:
    matrix = transforms.jitter_matrix(NO_JITTER | {"brightness": 0.5}, FixedDraws(1.0), mean_luma=100.0)
    assert matrix @ [10, 20, 30, 1] == pytest.approx([15, 30, 45], rel=1e-5)


def test_contrast_moves_values_away_from_the_mean_luma() -> None:
    matrix = transforms.jitter_matrix(NO_JITTER | {"contrast": 0.5}, FixedDraws(0.0), mean_luma=100.0)
    assert matrix @ [100, 100, 200, 1] == pytest.approx([100, 100, 150], rel=1e-5)


def test_saturation_zero_is_gray() -> None:
    matrix = transforms.jitter_matrix(NO_JITTER | {"saturation": 1.0}, FixedDraws(0.0), mean_luma=0.0)
    luma = 0.299 * 200 + 0.587 * 40 + 0.114 * 90
    assert matrix @ [200, 40, 90, 1] == pytest.approx([luma] * 3, rel=1e-4)


def test_hue_turns_colors_and_keeps_luma_and_gray() -> None:
    matrix = transforms.jitter_matrix(NO_JITTER | {"hue": 0.1}, FixedDraws(1.0), mean_luma=0.0)
    assert matrix @ [90, 90, 90, 1] == pytest.approx([90] * 3, rel=1e-3)
    before = np.array([180.0, 80.0, 60.0])
    after = matrix[:, :3] @ before
    assert after @ [0.299, 0.587, 0.114] == pytest.approx(before @ [0.299, 0.587, 0.114], rel=1e-3)
    turn = colorsys.rgb_to_hsv(*after / 255)[0] - colorsys.rgb_to_hsv(*before / 255)[0]
    assert 0.03 < abs((turn + 0.5) % 1 - 0.5) < 0.2


def test_jitter_is_the_same_for_all_frames(rng: np.random.Generator) -> None:
    frame = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    strength = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.15}
    changed = transforms.jitter(np.stack([frame, frame]), strength, rng)
    assert np.array_equal(changed[0], changed[1])
    assert not np.array_equal(changed[0], frame)
