"""Where clips are poked, and what an augmentation does to a poke."""

import numpy as np
import pytest

from i2v_jax.input import flow as optical_flow
from i2v_jax.input import pokes, transforms
from i2v_jax.input.procedural import plants
from tests.input.helpers import flow_of


def test_foreground_is_what_moves_most() -> None:
    amplitude = np.zeros((20, 20))
    amplitude[5:8, 6:9] = 4.0  # 9 of 196 pixels inside the border: far above mean + 2 deviations
    amplitude[0, 0] = 100.0  # outside the border: not seen
    found = {tuple(pixel) for pixel in pokes.foreground(flow_of(amplitude), 3)}
    assert found == {(x, y) for x in range(6, 9) for y in range(5, 8)}


@pytest.mark.parametrize(("share", "deviations"), [(0.05, 2), (0.3, 1), (0.6, 0)])
def test_thresholds_fall_until_pixels_are_found(share: float, deviations: int) -> None:
    """A map of zeros and ones with a share p of ones has the mean p and the deviation sqrt(p (1 - p))."""
    amplitude = np.zeros(400)
    amplitude[: int(400 * share)] = 2.0
    normalized = amplitude / 2
    limits = [normalized.mean() + k * normalized.std() for k in (2, 1, 0)]
    assert [limit < 1 for limit in limits].index(True) == 2 - deviations
    assert len(pokes.foreground(flow_of(amplitude.reshape(20, 20)), 0)) == int(400 * share)


def test_uniform_motion_leaves_every_pixel() -> None:
    assert len(pokes.foreground(flow_of(np.ones((8, 8))), 1)) == 36


def test_background_is_outside_the_mask_or_what_moves_least() -> None:
    amplitude = np.arange(400.0).reshape(20, 20)
    still = pokes.background(flow_of(amplitude), 0)
    assert {tuple(p) for p in still} == {(x, 0) for x in range(20)}  # 5 %
    mask = np.ones((20, 20), np.int32)
    mask[10, 4] = 0
    assert pokes.background(flow_of(amplitude), 0, mask).tolist() == [[4, 10]]
    assert len(pokes.background(flow_of(amplitude), 0, np.ones((20, 20), np.int32))) == 20


def test_background_keeps_clear_of_objects_where_there_is_room() -> None:
    mask = np.zeros((20, 20), np.int32)
    mask[:, 9:11] = 7
    columns = {x for x, _ in pokes.background(flow_of(np.ones((20, 20))), 3, mask)}
    assert columns == {3, 4, 5, 14, 15, 16}  # three pixels lie between them and both object and edge
    mask[:, 3:17] = 7
    mask[5, 6] = 0
    assert pokes.background(flow_of(np.ones((20, 20))), 3, mask).tolist() == [[6, 5]]


def test_background_pokes_copy_a_displacement_of_the_foreground() -> None:
    amplitude = np.zeros((20, 20))
    amplitude[8:11, 8:11] = 5.0
    for seed in range(10):
        poke = pokes.draw_poke(flow_of(amplitude), 3, True, np.random.default_rng(seed))
        assert poke.displacement.tolist() == [5.0, 0.0]
        assert amplitude[poke.position[1], poke.position[0]] == 0


def test_the_poke_is_a_square() -> None:
    poke = pokes.poke_map((5, 2), np.array([1.5, -2.0]), 8, 3)
    assert poke[1:4, 4:7].reshape(-1, 2).tolist() == [[1.5, -2.0]] * 9
    assert np.count_nonzero(poke) == 18
    flow = np.random.default_rng(0).standard_normal((8, 8, 2)).astype(np.float32)
    patch = pokes.poke_map((5, 2), flow[2, 5], 8, 3, flow)
    assert np.array_equal(patch[1:4, 4:7], flow[1:4, 4:7])
    assert np.count_nonzero(patch) == 18


@pytest.mark.parametrize("angle", [np.pi / 2, 0.2])
def test_rotation_turns_positions_and_vectors(angle: float) -> None:
    """A point at p goes to R (p - c) + c + s, its displacement f to R f, with R = [[cos, -sin], [sin, cos]]."""
    size, point, vector = 33, np.array([20.0, 14.0]), np.array([3.0, 1.0])
    geometry = transforms.Geometry(angle, (2 / size, -1 / size))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    blob = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 8.0)
    moved = geometry.flow((blob[..., None] * vector).astype(np.float32))
    weight = np.hypot(moved[..., 0], moved[..., 1])
    center = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert center == pytest.approx(rotation @ (point - 16) + 16 + [2, -1], abs=0.02)
    assert moved.sum((0, 1)) / weight.sum() * np.hypot(*vector) == pytest.approx(rotation @ vector, abs=1e-4)
    frame = np.repeat((255 * blob)[None, ..., None], 3, -1).astype(np.uint8)
    brightness = geometry.pixels(frame)[0, ..., 0].astype(float)
    assert np.array([(brightness * x).sum(), (brightness * y).sum()]) / brightness.sum() == pytest.approx(
        center, abs=0.05
    )


def test_what_is_mirrored_at_the_border_moves_the_other_way() -> None:
    flow = np.full((9, 9, 2), [2.0, 1.0], np.float32)
    shifted = transforms.Geometry(0.0, (3 / 9, 0.0)).flow(flow)
    assert shifted[:, :3].reshape(-1, 2).tolist() == [[-2.0, 1.0]] * 27
    assert shifted[:, 3:].reshape(-1, 2).tolist() == [[2.0, 1.0]] * 54


def test_nothing_changes_without_rotation_and_shift() -> None:
    still = transforms.Geometry(0.0, (0.0, 0.0))
    flow = np.random.default_rng(0).standard_normal((8, 8, 2)).astype(np.float32)
    labels = np.arange(64, dtype=np.int32).reshape(8, 8)
    assert np.array_equal(still.flow(flow), flow)
    assert np.array_equal(still.labels(labels), labels)


def test_the_release_shifts_by_whole_pixels() -> None:
    """From -n to n - 1 pixels with n = int(5 % of 64), without mixing pixels."""
    rng = np.random.default_rng(0)
    drawn = [transforms.draw_geometry(0.0, 0.05, rng, whole_pixels=64) for _ in range(200)]
    assert {round(64 * shift) for geometry in drawn for shift in geometry.shift} == {-3, -2, -1, 0, 1, 2}
    frames = rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    for geometry in drawn[:20]:
        x, y = (round(64 * shift) for shift in geometry.shift)
        padded = np.pad(frames, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
        assert np.array_equal(geometry.pixels(frames), padded[:, 3 - y : 67 - y, 3 - x : 67 - x])
    turned = transforms.draw_geometry(15.0, 0.05, rng, whole_pixels=64).pixels(frames)
    assert {*map(tuple, turned.reshape(-1, 3))} <= {*map(tuple, frames.reshape(-1, 3))}


def test_augmented_flow_is_the_flow_of_the_augmented_frames() -> None:
    errors, lengths = [], []
    for index in range(6):
        frames = plants.render("train", index, 128, [0, 10])
        geometry = transforms.draw_geometry(15.0, 0.1, np.random.default_rng(index))
        changed = geometry.pixels(frames)
        expected = geometry.flow(plants.plants_flow("train", index, 128))
        found = optical_flow.estimate(*changed)
        region = np.hypot(expected[..., 0], expected[..., 1]) > 3.0
        region[:16], region[-16:], region[:, :16], region[:, -16:] = False, False, False, False
        errors.append(np.hypot(*(found - expected)[region].T).mean())
        lengths.append(np.hypot(*expected[region].T).mean())
    assert np.mean(errors) < 0.5 * np.mean(lengths)
