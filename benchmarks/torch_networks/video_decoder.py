"""The video decoder p(X | x0, z). Start frames are [B, 3, H, W], videos [B, 3, T, H, W], in [-1, 1]."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from benchmarks.torch_networks.resnet3d import group_norm

SPADE_WIDTH = 128


def leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class Spade(nn.Module):
    """Group norm whose scale and shift are maps computed from the start frame, the same for every time step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, affine=False)
        self.conv = nn.Conv2d(3, SPADE_WIDTH, 3, padding=1)
        self.conv_gamma = nn.Conv2d(SPADE_WIDTH, channels, 3, padding=1)
        self.conv_beta = nn.Conv2d(SPADE_WIDTH, channels, 3, padding=1)

    def forward(self, x: Tensor, start_frame: Tensor) -> Tensor:
        frame = F.interpolate(start_frame, size=x.shape[-2:], mode="bilinear", align_corners=True)
        h = leaky_relu(self.conv(frame))
        gamma, beta = self.conv_gamma(h).unsqueeze(2), self.conv_beta(h).unsqueeze(2)
        return self.norm(x) * (1.0 + gamma) + beta


class AdaIN(nn.Module):
    def __init__(self, channels: int, z_dim: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm3d(channels)
        self.linear = nn.Linear(z_dim, 2 * channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        gamma, beta = self.linear(z)[:, :, None, None, None].chunk(2, dim=1)
        return gamma * self.norm(x) + beta


class ShortcutNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = group_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x)


class VideoBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, z_dim: int) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.conv_0 = spectral_norm(nn.Conv3d(in_channels, middle, 3, padding=1))
        self.conv_1 = spectral_norm(nn.Conv3d(middle, out_channels, 3, padding=1))
        self.norm_0 = Spade(in_channels)
        self.norm_1 = AdaIN(middle, z_dim)
        self.learned_shortcut = in_channels != out_channels
        if self.learned_shortcut:
            self.norm_s = ShortcutNorm(in_channels)
            self.conv_s = spectral_norm(nn.Conv3d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor, z: Tensor, start_frame: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x)) if self.learned_shortcut else x
        h = self.conv_0(leaky_relu(self.norm_0(x, start_frame)))
        h = self.conv_1(leaky_relu(self.norm_1(h, z)))
        return shortcut + h


class VideoDecoder(nn.Module):
    def __init__(
        self,
        channel_factor: int,
        z_dim: int = 64,
        upsample_s: Sequence[int] = (2, 1),
        upsample_t: Sequence[int] = (2, 1),
    ) -> None:
        super().__init__()
        nf = channel_factor
        self.upsample_factors = [
            *[(2, 2)] * 3,
            (upsample_t[0], upsample_s[0]),
            (upsample_t[1], upsample_s[1]),
        ]
        self.fc = nn.Linear(z_dim, 4 * 4 * 16 * nf)
        self.head_0 = VideoBlock(16 * nf, 16 * nf, z_dim)
        self.g_0 = VideoBlock(16 * nf, 16 * nf, z_dim)
        self.g_1 = VideoBlock(16 * nf, 8 * nf, z_dim)
        self.g_2 = VideoBlock(8 * nf, 4 * nf, z_dim)
        self.g_3 = VideoBlock(4 * nf, 2 * nf, z_dim)
        self.g_4 = VideoBlock(2 * nf, nf, z_dim)
        self.conv_img = nn.Conv3d(nf, 3, 3, padding=1)

    def forward(self, start_frame: Tensor, z: Tensor) -> Tensor:
        h = self.head_0(self.fc(z).unflatten(1, (-1, 1, 4, 4)), z, start_frame)
        blocks = (self.g_0, self.g_1, self.g_2, self.g_3, self.g_4)
        for block, (time, space) in zip(blocks, self.upsample_factors, strict=True):
            if (time, space) != (1, 1):
                h = F.interpolate(h, scale_factor=(time, space, space))
            h = block(h, z, start_frame)
        return torch.tanh(self.conv_img(leaky_relu(h)))
