"""The poke model. Images are [B, 3, H, W] and videos [B, T, 3, H, W] in [-1, 1], poke maps [B, 2, H, W] in pixels.

Module and parameter names are those of the authors' checkpoints, so that their state dicts load as they are.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


def double(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Returns the transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(in_channels, out_channels, 3, 2, 1, output_padding=1)


class ConvBlock(nn.Module):
    """Convolution, instance norm without affine map, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        upsample: bool = False,
        activation: Activation = F.elu,
    ) -> None:
        super().__init__()
        self.conv = (
            double(in_channels, out_channels) if upsample else nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        )
        self.norm = nn.InstanceNorm2d(out_channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, upsample: bool = False) -> None:
        super().__init__()
        activation = F.relu if upsample else F.elu
        self.conv1 = ConvBlock(in_channels, out_channels, upsample=upsample, activation=activation)
        self.conv2 = ConvBlock(out_channels, out_channels, activation=nn.Identity())
        self.res_conv: nn.Module = nn.Identity()
        if upsample or in_channels != out_channels:
            self.res_conv = ConvBlock(in_channels, out_channels, upsample=upsample, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + self.res_conv(x)


class ObjectEncoder(nn.Module):
    """Images -> object states, the deepest first."""

    def __init__(self, widths: Sequence[int], features: int) -> None:
        super().__init__()
        pairs = zip((3, *widths[:-1]), widths, strict=True)
        self.blocks = nn.ModuleList(ConvBlock(fan_in, fan_out, 2) for fan_in, fan_out in pairs)
        self.bottleneck = ResidualBlock(widths[-1], features)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, states = images, []
        for block in self.blocks:
            x = block(x)
            states.append(x)
        return [self.bottleneck(x), *states[::-1]]


class PokeEncoder(nn.Module):
    def __init__(self, widths: Sequence[int], features: int) -> None:
        super().__init__()
        pairs = zip((2, *widths[:-1]), widths, strict=True)
        self.model = nn.Sequential(*(ConvBlock(fan_in, fan_out, 2) for fan_in, fan_out in pairs))
        self.bottleneck = nn.Sequential(ResidualBlock(widths[-1], features), ResidualBlock(features, features))

    def forward(self, poke: Tensor) -> Tensor:
        return self.bottleneck(self.model(poke))


class ConvGRUCell(nn.Module):
    def __init__(self, in_channels: int, features: int, upsample: bool) -> None:
        super().__init__()
        self.reset_gate = nn.Conv2d(in_channels + features, features, 3, padding=1)
        self.update_gate = nn.Conv2d(in_channels + features, features, 3, padding=1)
        self.out_gate = nn.Conv2d(in_channels + features, features, 3, padding=1)
        self.up_gate = double(in_channels, in_channels) if upsample else nn.Identity()

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        x = self.up_gate(x)
        both = torch.cat([x, state], 1)
        update, reset = torch.sigmoid(self.update_gate(both)), torch.sigmoid(self.reset_gate(both))
        candidate = torch.tanh(self.out_gate(torch.cat([x, reset * state], 1)))
        return state * (1 - update) + candidate * update


class Dynamics(nn.Module):
    """States and a latent poke, which acts in every frame, -> the states of the next frame."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        inputs = (channels[0], *channels[:-1])
        self.cells = nn.ModuleList(
            ConvGRUCell(fan_in, width, upsample=index > 1)
            for index, (fan_in, width) in enumerate(zip(inputs, channels, strict=True))
        )

    def forward(self, states: Sequence[Tensor], latent_poke: Tensor) -> list[Tensor]:
        new, x = [], latent_poke
        for cell, state in zip(self.cells, states, strict=True):
            x = cell(x, state)
            new.append(x)
        return new


class FrameDecoder(nn.Module):
    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.in_block = ResidualBlock(channels[0], channels[1])
        widths = (*channels[2:], channels[-1])
        self.blocks = nn.ModuleList(
            ResidualBlock(2 * fan_in, width, upsample=True) for fan_in, width in zip(channels[1:], widths, strict=True)
        )
        self.out_conv = ConvBlock(channels[-1], 3, activation=torch.tanh)
        self.out_conv.norm = nn.Identity()

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        x = self.in_block(states[0])
        for block, state in zip(self.blocks, states[1:], strict=True):
            x = block(torch.cat([x, state], 1))
        return self.out_conv(x)


class PokeModel(nn.Module):
    """Start frames and poke maps -> `frames` frames."""

    def __init__(self, size: int, features: int, min_spatial_size: int, frames: int = 10, narrowest: int = 32) -> None:
        super().__init__()
        stages, self.frames = (size // min_spatial_size).bit_length() - 1, frames
        widths, poke_widths = (
            [min(first * 2**stage, features) for stage in range(stages)]
            for first in (max(narrowest, features // 2**stages), narrowest)
        )
        channels = (features, *widths[::-1])
        self.shape_enc = ObjectEncoder(widths, features)
        self.dynamics_enc = PokeEncoder(poke_widths, features)
        self.fusion_block = Dynamics(channels)
        self.dec = FrameDecoder(channels)

    def roll_out(self, start_frame: Tensor, poke: Tensor) -> list[Tensor]:
        """Returns the object states of all frames, [B * frames, C, h, w] each."""
        states, latent_poke = self.shape_enc(start_frame), self.dynamics_enc(poke)
        steps = []
        for _ in range(self.frames):
            states = self.fusion_block(states, latent_poke)
            steps.append(states)
        return [torch.stack(over_time, 1).flatten(0, 1) for over_time in zip(*steps, strict=True)]

    def forward(self, start_frame: Tensor, poke: Tensor) -> Tensor:
        return self.dec(self.roll_out(start_frame, poke)).unflatten(0, (-1, self.frames))
