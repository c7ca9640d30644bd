import numpy as np
import pytest

from i2v_jax.input import transforms
from i2v_jax.pixels import from_levels


@pytest.fixture
def frames(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


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


def bilinear(image: np.ndarray, side: int) -> np.ndarray:
    """Half-pixel centers, no averaging: the weights of each output row and column, in float64."""

    def weights(length: int) -> np.ndarray:
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(length)))

    return np.einsum("ih,jw,hwc->ijc", weights(image.shape[0]), weights(image.shape[1]), image.astype(float))


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (90, 160), (20, 31)])
def test_the_release_resizes_without_averaging(shape: tuple[int, int], rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    resized = transforms.fit(image[None], 32, "resize", kind="release")[0]
    assert np.abs(resized - bilinear(image, 32)).max() < 0.75  # rounded to bytes, with weights of 11 bits


def test_at_a_quarter_of_the_size_the_release_takes_the_middle_pixels(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    middle = image.reshape(4, 4, 4, 4, 3)[:, 1:3, :, 1:3].astype(float).mean((1, 3))
    assert np.abs(transforms.fit(image[None], 4, "resize", kind="release")[0] - middle).max() <= 0.5
    assert np.abs(transforms.fit(image[None], 4, "resize")[0] - middle).max() > 5  # averages areas


def test_a_square_is_cut_out_of_the_margin(frames: np.ndarray) -> None:
    whole = transforms.fit(frames, 28, "resize")
    offsets = [(share, top) for share, top in ((0.0, 0), (0.5, 8), (0.999, 16), (1.0, 16))]
    for (down, top), (right, left) in zip(offsets, offsets[::-1], strict=True):
        cut = transforms.fit(frames, 12, "resize", (down, right), margin=16)
        assert np.array_equal(cut, whole[:, top : top + 12, left : left + 12])


def test_frames_are_reduced_while_decoding_only_where_they_are_averaged() -> None:
    assert transforms.least_size(64, "area") == 64
    assert transforms.least_size(64, "release") == 0
