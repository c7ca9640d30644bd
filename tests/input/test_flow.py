from pathlib import Path

import cv2
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.input import flow, transforms


def clouds(height: int, width: int) -> np.ndarray:
    """Returns a smooth random picture, uint8 [h, w, 3]."""
    noise = np.random.default_rng(0).standard_normal((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 250 * smooth, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (160, 200)])
def test_a_shift_is_recovered(shape: tuple[int, int]) -> None:
    image = clouds(shape[0] + 16, shape[1] + 16)
    first, second = image[8:-8, 8:-8], image[10:-6, 5:-11]  # contents move 3 to the right and 2 up
    found = flow.estimate(first, second)
    assert found.shape == (*shape, 2)
    assert found.dtype == np.float32
    assert found[12:-12, 12:-12].mean((0, 1)) == pytest.approx([3.0, -2.0], abs=0.1)


def test_resizing_keeps_corners_is_exact_on_planes_and_scales_vectors() -> None:
    """A linear function of the position, between the centers of the corner pixels, stays the same at any size."""
    y, x = np.mgrid[:9, :17] / np.array([8.0, 16.0])[:, None, None]
    plane = np.stack([1.0 + 2.0 * x - y, 3.0 * y + 0.5 * x], axis=-1)
    resized = flow.resize(plane, 5, 33)
    y, x = np.mgrid[:5, :33] / np.array([4.0, 32.0])[:, None, None]
    expected = np.stack([(1.0 + 2.0 * x - y) * 33 / 17, (3.0 * y + 0.5 * x) * 5 / 9], axis=-1)
    assert resized == pytest.approx(expected, abs=1e-5)


def test_flow_is_cropped_where_the_frames_are() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 3), dtype=np.uint8)
    positions = np.stack(np.meshgrid(np.arange(30.0), np.arange(20.0)), axis=-1)
    for crop, place in (("center", (0.5, 0.5)), ("random", (0.0, 0.8))):
        found = flow.fit(positions, 20, crop, place).astype(int)
        assert np.array_equal(frames[0][found[..., 1], found[..., 0]], transforms.fit(frames, 20, crop, place)[0])
    assert flow.fit(positions, 10, "resize").shape == (10, 10, 2)


def write_flo(path: Path, values: np.ndarray) -> Path:
    height, width = values.shape[:2]
    head = np.float32(202021.25).tobytes() + np.array([width, height], "<i4").tobytes()
    path.write_bytes(head + values.astype("<f4").tobytes())
    return path


def test_files_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((4, 6, 2)).astype(np.float32)
    np.save(tmp_path / "last.npy", values)
    np.save(tmp_path / "first.npy", values.transpose(2, 0, 1).astype(np.float64))
    write_flo(tmp_path / "a.flo", values)
    for name in ("last.npy", "first.npy", "a.flo"):
        found = flow.read(tmp_path / name)
        assert found.dtype == np.float32
        assert np.array_equal(found, values), name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", np.zeros((4, 6))),
        ("a.npy", np.zeros((4, 6, 3))),
        ("a.npy", np.full((4, 6, 2), np.nan)),
        ("a.npy", np.full((4, 6, 2), "x")),
        ("a.npy", b"no array"),
        ("a.npy", b""),
        ("a.flo", b"no flow file"),
        ("a.flo", np.float32(202021.25).tobytes() + bytes([6, 0, 0, 0, 4, 0, 0, 0, 1])),
        ("a.flo", b""),
        ("a.png", b""),
        ("none.npy", None),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, name: str, content: np.ndarray | bytes) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(UserError) as raised:
        flow.read(path)
    assert (raised.value.field, raised.value.value) == ("file", str(path))
    assert "\n" not in str(raised.value)


def test_a_flow_of_another_shape_than_the_frames_is_refused() -> None:
    for height, width in ((48, 64), (96, 128), (23, 31), (64, 64)):
        flow.check_size(np.zeros((height, width, 2)), 48, 64, Path("a.flo"))
    with pytest.raises(UserError):
        flow.check_size(np.zeros((64, 48, 2)), 48, 64, Path("a.flo"))
