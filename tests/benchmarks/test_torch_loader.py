"""The DataLoader that the input pipeline is compared with delivers the frames, and its colors are those of kornia."""

import colorsys
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import torch_loader  # noqa: E402
from tests.input.helpers import numbered_frames  # noqa: E402

_STILL = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)


def test_clips_are_the_frames(tmp_path: pathlib.Path) -> None:
    from PIL import Image

    (tmp_path / "a").mkdir()
    for number, frame in enumerate(numbered_frames(20, 16, 16)):
        Image.fromarray(frame).save(tmp_path / "a" / f"{number:04d}.png")
    for item in range(5):
        clip = torch_loader.Clips(tmp_path, 8, 17, _STILL)[item]
        assert clip.shape == (17, 3, 8, 8)
        numbers = np.rint((clip.numpy() + 1) * 127.5 / 6).mean((1, 2, 3)).astype(int)
        assert numbers.tolist() == list(range(numbers[0], numbers[0] + 17))


def test_colors_turn_as_in_the_standard_library() -> None:
    pixels = torch.rand((50, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    hue, saturation, value = torch_loader._to_hsv(pixels)
    for row, (r, g, b) in enumerate(pixels[:, :, 0, 0].tolist()):
        found = (hue[row].item(), saturation[row].item(), value[row].item())
        assert found == pytest.approx(colorsys.rgb_to_hsv(r, g, b), abs=1e-4)
    np.testing.assert_allclose(torch_loader._to_rgb(hue, saturation, value), pixels, atol=1e-4)
