"""A PyTorch DataLoader that reads folders of PNG frames with OpenCV and augments them with the operations of kornia.

It does what the cINN's release does with kornia 0.5.0: resize (bilinear, no averaging), flip, and jitter of brightness,
contrast, saturation and hue in a random order, one draw per clip.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional


class Clips(torch.utils.data.Dataset):
    """Clips of 17 frames that start anywhere in a video; every item is a random one."""

    def __init__(self, root: Path, size: int, frames: int, jitter: dict[str, float]) -> None:
        self.videos = sorted(root.iterdir())
        self.counts = [len(list(video.iterdir())) for video in self.videos]
        self.size, self.frames, self.jitter = size, frames, jitter

    def __len__(self) -> int:
        return 2**20

    def __getitem__(self, item: int) -> torch.Tensor:
        """Returns float32 [T, 3, size, size] in [-1, 1]."""
        rng = np.random.default_rng(item)
        video = int(rng.integers(len(self.videos)))
        start = int(rng.integers(self.counts[video] - self.frames + 1))
        read = []
        for number in range(start, start + self.frames):
            frame = cv2.imread(str(self.videos[video] / f"{number:04d}.png"))
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            read.append(torch.from_numpy(rgb).permute(2, 0, 1).float() / 255)
        clip = torch.stack(read)
        if clip.shape[-1] != self.size:
            clip = functional.interpolate(clip, (self.size, self.size), mode="bilinear", align_corners=False)
        if rng.random() < 0.5:
            clip = clip.flip(-1)
        return (self._jitter(clip, rng) - 0.5) / 0.5

    def _jitter(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        added = rng.uniform(-self.jitter["brightness"], self.jitter["brightness"])
        contrast, saturation = (1 + rng.uniform(-self.jitter[n], self.jitter[n]) for n in ("contrast", "saturation"))
        turn = rng.uniform(-self.jitter["hue"], self.jitter["hue"])

        def change_saturation(x: torch.Tensor) -> torch.Tensor:
            hue, sat, value = _to_hsv(x)
            return _to_rgb(hue, (sat * saturation).clamp(0, 1), value)

        def change_hue(x: torch.Tensor) -> torch.Tensor:
            hue, sat, value = _to_hsv(x)
            return _to_rgb((hue + turn) % 1, sat, value)

        changes = (
            lambda x: (x + added).clamp(0, 1),
            lambda x: (x * contrast).clamp(0, 1),
            change_saturation,
            change_hue,
        )
        for index in rng.permutation(4):
            clip = changes[index](clip)
        return clip


def _to_hsv(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns hue, saturation and value in [0, 1] of RGB [T, 3, h, w], computed as kornia 0.5.0 does."""
    value, place = x.max(-3)
    spread = value - x.min(-3).values
    saturation = spread / (value + 1e-6)
    safe = torch.where(spread == 0, torch.ones_like(spread), spread)
    rest = (value.unsqueeze(-3) - x).unbind(-3)
    hues = torch.stack([rest[2] - rest[1], 2 * safe + rest[0] - rest[2], 4 * safe + rest[1] - rest[0]], -3)
    hue = torch.gather(hues, -3, place.unsqueeze(-3)).squeeze(-3) / safe
    return (hue / 6) % 1, saturation, value


def _to_rgb(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    sector = torch.floor(hue * 6) % 6
    part = (hue * 6) % 6 - sector
    p, q, t = value * (1 - saturation), value * (1 - part * saturation), value * (1 - (1 - part) * saturation)
    table = (value, q, p, p, t, value, t, value, value, q, p, p, p, p, t, value, value, q)
    index = torch.stack([sector, sector + 6, sector + 12], -3).long()
    return torch.gather(torch.stack(table, -3), -3, index)


def loader(clips: Clips, batch_size: int, workers: int) -> torch.utils.data.DataLoader:
    """Returns a loader of random clips."""
    return torch.utils.data.DataLoader(clips, batch_size, num_workers=workers, shuffle=False, drop_last=True)
