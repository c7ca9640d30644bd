"""The spatial patch discriminator."""

from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from .flow import ActNorm


class ActNorm2d(ActNorm):
    """ActNorm as a plain layer, without the log-determinant."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class PatchDiscriminator(nn.Module):
    """Images [B, 3, H, W] -> one logit per patch [B, 1, h, w]."""

    def __init__(self, in_channels: int = 3, ndf: int = 64, n_layers: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels = ndf
        for index in range(1, n_layers + 1):
            widened = ndf * min(2**index, 8)
            stride = 1 if index == n_layers else 2
            layers += [nn.Conv2d(channels, widened, 4, stride, 1), ActNorm2d(widened), nn.LeakyReLU(0.2)]
            channels = widened
        layers.append(nn.Conv2d(channels, 1, 4, 1, 1))
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                layers[index] = spectral_norm(layer)
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.main(images)
