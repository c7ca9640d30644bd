"""Masks by GrabCut, and how they are stored and used."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from i2v_jax.input import masks, pokes, transforms
from tests.input.helpers import flow_of


def person(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns an upright figure before a smooth background, uint8 [size, size, 3], and its mask."""
    rng = np.random.default_rng(seed)
    ground, clothes = (
        cv2.GaussianBlur(rng.random((size, size, 3)).astype(np.float32), (0, 0), size / width) for width in (10, 30)
    )
    shape = np.zeros((size, size), np.uint8)
    cv2.ellipse(shape, (size // 2, size // 2), (size // 8, 2 * size // 5), 0, 0, 360, 1, -1)
    frame = np.where(shape[..., None] > 0, 200 + 200 * (clothes - 0.5), 90 + 200 * (ground - 0.5))
    return np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8), shape


@pytest.mark.parametrize(("size", "segmented"), [(64, 0), (128, 64)])
def test_grabcut_finds_an_upright_figure_again_and_again(size: int, segmented: int) -> None:
    frame, shape = person(size)
    found = masks.grabcut(frame, 3 * size // 64, segmented)
    assert (found.shape, found.dtype) == (shape.shape, np.int32)
    assert (found & shape).sum() > 0.9 * (found | shape).sum()
    assert np.array_equal(found, masks.grabcut(frame, 3 * size // 64, segmented))


@pytest.mark.parametrize("frame", [np.zeros((16, 16, 3), np.uint8), np.full((40, 24, 3), 9, np.uint8)])
def test_grabcut_of_a_frame_without_an_object(frame: np.ndarray) -> None:
    assert set(np.unique(masks.grabcut(frame, 3))) <= {0, 1}


def test_stored_masks_are_read_and_cropped_as_frames_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 2, (3, 20, 30))
    store = masks.MaskStore(tmp_path, {"train": 8})
    store.path(7).parent.mkdir(parents=True)
    np.save(store.path(7), np.stack([masks.to_record(mask) for mask in stored]))
    assert np.array_equal(store.read(7, 2), stored[2])
    frames = np.repeat(stored[..., None], 3, -1).astype(np.uint8)
    for crop, place in (("center", (0.5, 0.5)), ("random", (0.0, 0.8))):
        found = masks.fit(store.read(7, 1), 20, crop, place)
        assert np.array_equal(found, transforms.fit(frames, 20, crop, place)[1, ..., 0])


def test_candidates_are_on_the_object_first() -> None:
    """The background moves further than the object, by an error of the flow: it is poked only without a mask."""
    amplitude, mask = np.zeros((20, 20)), np.zeros((20, 20), np.int32)
    amplitude[3:6, 3:6], amplitude[12:15, 12:15], mask[11:16, 11:16] = 8.0, 4.0, 1
    without, within = (pokes.foreground(flow_of(amplitude), 2, chosen) for chosen in (None, mask))
    assert without.min() == 3
    assert {tuple(pixel) for pixel in within} == {(x, y) for x in range(12, 15) for y in range(12, 15)}
    mask[:] = 0
    assert np.array_equal(pokes.foreground(flow_of(amplitude), 2, mask), pokes.foreground(flow_of(amplitude), 2))


def test_what_a_background_poke_copies_is_one_deviation_above_the_mean() -> None:
    amplitude = np.zeros(400)
    amplitude[:8], amplitude[8:30] = 4.0, 2.0
    flow = flow_of(amplitude.reshape(20, 20))
    drawn = {float(pokes.draw_poke(flow, 0, True, np.random.default_rng(seed)).displacement[0]) for seed in range(30)}
    assert drawn == {2.0, 4.0}
