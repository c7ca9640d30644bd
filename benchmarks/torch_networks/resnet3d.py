"""3D ResNet-18, as the video encoder q(z | X) and as the temporal discriminator. Videos are [B, 3, T, H, W]."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

NORM_GROUPS = 16


def group_norm(channels: int, *, affine: bool = True) -> nn.GroupNorm:
    """Returns a group norm with the most groups, up to `NORM_GROUPS`, that divide the channels."""
    groups = next(groups for groups in range(min(NORM_GROUPS, channels), 0, -1) if channels % groups == 0)
    return nn.GroupNorm(groups, channels, affine=affine)


def conv3x3x3(in_channels: int, out_channels: int, stride: tuple[int, int, int], spectral: bool) -> nn.Module:
    conv = nn.Conv3d(in_channels, out_channels, 3, stride, 1, bias=False)
    return spectral_norm(conv) if spectral else conv


class BasicBlock(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, stride: tuple[int, int, int], *, shortcut: bool, spectral: bool
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3x3(in_channels, out_channels, stride, spectral)
        self.bn1 = group_norm(out_channels)
        self.conv2 = conv3x3x3(out_channels, out_channels, (1, 1, 1), spectral)
        self.bn2 = group_norm(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if shortcut:
            self.downsample = nn.Sequential(
                conv3x3x3(in_channels, out_channels, stride, spectral), group_norm(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.downsample(x))


class ResNet18(nn.Module):
    """Stem and four stages of two basic blocks each."""

    def __init__(
        self,
        channels: Sequence[int],
        stride_t: Sequence[int],
        stride_s: Sequence[int],
        *,
        stem_stride: tuple[int, int, int],
        max_pool: bool,
        discriminator: bool,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, channels[0], (3, 7, 7), stem_stride, (1, 3, 3), bias=False)
        self.norm1 = group_norm(channels[0])
        self.maxpool = nn.MaxPool3d(3, (1, 2, 2), 1) if max_pool else nn.Identity()
        self.layer = nn.ModuleList()
        for stage in range(4):
            fan_in, fan_out, t, s = channels[stage], channels[stage + 1], stride_t[stage], stride_s[stage]
            # Only in the discriminator does a stride in time require a shortcut convolution.
            shortcut = fan_in != fan_out or s != 1 or (discriminator and t != 1)
            first = BasicBlock(fan_in, fan_out, (t, s, s), shortcut=shortcut, spectral=discriminator)
            second = BasicBlock(fan_out, fan_out, (1, 1, 1), shortcut=False, spectral=False)
            self.layer.append(nn.Sequential(first, second))

    def features(self, video: Tensor) -> list[Tensor]:
        h = self.maxpool(F.relu(self.norm1(self.conv1(video))))
        maps = []
        for stage in self.layer:
            h = stage(h)
            maps.append(h)
        return maps


class VideoEncoder(ResNet18):
    """Video [B, 3, 16, H, W] -> posterior mean and log-variance, [B, z_dim] each."""

    def __init__(
        self,
        channels: Sequence[int],
        stride_t: Sequence[int],
        stride_s: Sequence[int],
        z_dim: int = 64,
        max_pool: bool = False,
    ) -> None:
        super().__init__(channels, stride_t, stride_s, stem_stride=(2, 2, 2), max_pool=max_pool, discriminator=False)
        self.conv_mu = nn.Conv2d(channels[-1], z_dim, 4)
        self.conv_var = nn.Conv2d(channels[-1], z_dim, 4)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(video)[-1].squeeze(2)
        return self.conv_mu(h).flatten(1), self.conv_var(h).flatten(1)


class TemporalDiscriminator(ResNet18):
    """Video [B, 3, T, H, W] -> logits [B, 1] and the outputs of the four stages."""

    def __init__(
        self, channels: Sequence[int], stride_t: Sequence[int], stride_s: Sequence[int], max_pool: bool = True
    ) -> None:
        super().__init__(channels, stride_t, stride_s, stem_stride=(1, 2, 2), max_pool=max_pool, discriminator=True)
        self.fc = nn.Linear(channels[-1], 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.orthogonal_(getattr(module, "weight_orig", module.weight))

    def forward(self, video: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = self.features(video)
        pooled = F.avg_pool3d(maps[-1], (1, 4, 4))
        return self.fc(pooled.flatten(1)), maps
