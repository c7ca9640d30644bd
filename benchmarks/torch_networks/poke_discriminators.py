"""The poke model's discriminators of single frames and of clips [B, 3, T, H, W]."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from .resnet3d import BasicBlock, group_norm


class PokePatchDiscriminator(nn.Module):
    """Images [B, 3, H, W] -> one logit per patch [B, 1, h, w] and the outputs of the normalized layers."""

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        channels = [width * min(2**index, 8) for index in range(layers + 1)]
        self.in_conv = nn.Conv2d(3, width, 4, 2, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(channels[index], channels[index + 1], 4, 2 if index < layers - 1 else 1, 1)
            for index in range(layers)
        )
        self.out_conv = nn.Conv2d(channels[-1], 1, 4, 1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, maps = F.leaky_relu(self.in_conv(images), 0.2), []
        for layer in self.layers:
            x = F.leaky_relu(F.instance_norm(layer(x)), 0.2)
            maps.append(x)
        return self.out_conv(x), maps


class PokeTemporalDiscriminator(nn.Module):
    """Videos -> one logit per patch [B, 1, h, w] and the outputs of all stages."""

    def __init__(self, frames: int, width: int = 32) -> None:
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv3d(3, 2 * width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False))
        self.gn1 = group_norm(2 * width)
        self.layer1 = stage(2 * width, width, (1, 1, 1))
        self.layers = nn.ModuleList()
        channels = width
        while frames > 1:
            halvings = len(self.layers)
            widened, s = width * (8 if halvings else 4), 2 if halvings < 2 else 1
            self.layers.append(stage(channels, widened, (2, s, s)))
            channels, frames = widened, -(-frames // 2)
        self.final = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, video: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = F.max_pool3d(F.relu(self.gn1(self.conv1(video))), 3, (1, 2, 2), 1)
        maps = []
        for layer in (self.layer1, *self.layers):
            x = layer(x)
            maps.append(x)
        return self.final(x[:, :, 0]), maps


def stage(in_channels: int, out_channels: int, stride: tuple[int, int, int]) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride, shortcut=True, spectral=True)
    return nn.Sequential(first, BasicBlock(out_channels, out_channels, (1, 1, 1), shortcut=False, spectral=True))
