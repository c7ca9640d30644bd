"""I3D of 400 actions, with the keys of the PyTorch port that the authors log FVD with."""

import torch
import torch.nn.functional as F
from torch import nn

# Output channels of branch_0, of both units of branch_1 and of branch_2, and of branch_3.
_MIXED = {
    "mixed_3b": (64, (96, 128), (16, 32), 32),
    "mixed_3c": (128, (128, 192), (32, 96), 64),
    "mixed_4b": (192, (96, 208), (16, 48), 64),
    "mixed_4c": (160, (112, 224), (24, 64), 64),
    "mixed_4d": (128, (128, 256), (24, 64), 64),
    "mixed_4e": (112, (144, 288), (32, 64), 64),
    "mixed_4f": (256, (160, 320), (32, 128), 128),
    "mixed_5b": (256, (160, 320), (32, 128), 128),
    "mixed_5c": (384, (192, 384), (48, 128), 128),
}


def pad_same(x: torch.Tensor, window: tuple[int, int, int], stride: tuple[int, int, int]) -> torch.Tensor:
    """Zeros around [B, C, T, H, W] such that ceil(size / stride) windows fit; the odd one goes behind."""
    pads: list[int] = []
    for size, width, step in zip(reversed(x.shape[2:]), reversed(window), reversed(stride), strict=True):
        total = max((-(-size // step) - 1) * step + width - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, features: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.window, self.stride = (size,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(channels, features, size, stride, bias=False)
        self.batch3d = nn.BatchNorm3d(features, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.batch3d(self.conv3d(pad_same(x, self.window, self.stride))))


class MaxPool(nn.Module):
    """Its inputs are not negative, so that padding with zeros changes no maximum."""

    def __init__(self, window: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool3d(pad_same(x, self.window, self.stride), self.window, self.stride)


class Mixed(nn.Module):
    def __init__(self, channels: int, plain: int, first: tuple[int, int], second: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.branch_0 = Unit(channels, plain)
        self.branch_1 = nn.Sequential(Unit(channels, first[0]), Unit(*first, size=3))
        self.branch_2 = nn.Sequential(Unit(channels, second[0]), Unit(*second, size=3))
        self.branch_3 = nn.Sequential(MaxPool((3, 3, 3), (1, 1, 1)), Unit(channels, pooled))
        self.features = plain + first[1] + second[1] + pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in (self.branch_0, self.branch_1, self.branch_2, self.branch_3)], 1)


class Classifier(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3d(x)


class I3D(nn.Module):
    """Clips [B, 3, T, 224, 224] -> logits [B, 400], the features of FVD."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.pool_1 = MaxPool((1, 3, 3), (1, 2, 2))
        self.conv3d_2b_1x1 = Unit(64, 64)
        self.conv3d_2c_3x3 = Unit(64, 192, 3)
        self.pool_2 = MaxPool((1, 3, 3), (1, 2, 2))
        self.pool_3 = MaxPool((3, 3, 3), (2, 2, 2))
        self.pool_4 = MaxPool((2, 2, 2), (2, 2, 2))
        channels = 192
        for name, widths in _MIXED.items():
            block = Mixed(channels, *widths)
            setattr(self, name, block)
            channels = block.features
        self.conv3d_0c_1x1 = Classifier(channels, 400)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        x = self.pool_1(self.conv3d_1a_7x7(video))
        x = self.pool_2(self.conv3d_2c_3x3(self.conv3d_2b_1x1(x)))
        pools = {"mixed_4b": self.pool_3, "mixed_5b": self.pool_4}
        for name in _MIXED:
            x = getattr(self, name)(pools[name](x) if name in pools else x)
        x = F.avg_pool3d(x, (2, *x.shape[3:]), 1)
        return self.conv3d_0c_1x1(x).flatten(2).mean(2)
