"""VGG features, and the distances built on them: LPIPS and the poke paper's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

VGG16_WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
VGG19_WIDTHS = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4)
# Indices of VGG16's layers after which LPIPS reads a feature map: relu1_2, 2_2, 3_3, 4_3, 5_3.
SLICE_ENDS = (4, 9, 16, 23, 30)
# Indices of VGG19's layers that the poke paper's distance reads: relu1_2, 2_2, 3_2, 4_2, 5_2.
VGG19_LAYERS = (3, 8, 13, 22, 31)
NORM_EPS = 1e-10


def vgg_layers(widths: Sequence[int | str]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return layers


class VGG(nn.Module):
    """Images -> the output of every ReLU, by the index of its layer."""

    def __init__(self, widths: Sequence[int | str]) -> None:
        super().__init__()
        self.features = nn.Sequential(*vgg_layers(widths))

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        outputs = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                outputs[index] = x
        return outputs


class VGG16(VGG):
    def __init__(self) -> None:
        super().__init__(VGG16_WIDTHS)


class VGG19(VGG):
    def __init__(self) -> None:
        super().__init__(VGG19_WIDTHS)


class SlicedVGG16(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = vgg_layers(VGG16_WIDTHS)
        start = 0
        for number, end in enumerate(SLICE_ENDS, 1):
            part = nn.Sequential()
            for index in range(start, end):
                part.add_module(str(index), layers[index])
            setattr(self, f"slice{number}", part)
            start = end

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number in range(1, len(SLICE_ENDS) + 1):
            x = getattr(self, f"slice{number}")(x)
            maps.append(x)
        return maps


class ScalingLayer(nn.Module):
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


class LinearHead(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def unit_normalize(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + NORM_EPS)


class LPIPS(nn.Module):
    """Perceptual distance [B] of two batches of images [B, 3, H, W] in [-1, 1]. Use it frozen, in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scaling_layer = ScalingLayer()
        self.net = SlicedVGG16()
        for index, channels in enumerate((64, 128, 256, 512, 512)):
            setattr(self, f"lin{index}", LinearHead(channels))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        maps_a = self.net(self.scaling_layer(a))
        maps_b = self.net(self.scaling_layer(b))
        distance = a.new_zeros(a.shape[0])
        for index, (x, y) in enumerate(zip(maps_a, maps_b, strict=True)):
            difference = (unit_normalize(x) - unit_normalize(y)).square()
            distance = distance + getattr(self, f"lin{index}")(difference).mean((1, 2, 3))
        return distance


class VGGDistance(nn.Module):
    """Distance [B] of images [B, 3, H, W] in [-1, 1]: L1 of normalized pixels and VGG19 features. Use it frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.scaling_layer = ScalingLayer()
        self.vgg = VGG19()
        self.vgg.features = self.vgg.features[: VGG19_LAYERS[-1] + 1]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = self.scaling_layer(a), self.scaling_layer(b)
        maps_a, maps_b = self.vgg(a), self.vgg(b)
        pairs = [(a, b), *((maps_a[layer], maps_b[layer]) for layer in VGG19_LAYERS)]
        return torch.stack([(x - y).abs().mean((1, 2, 3)) for x, y in pairs]).sum(0)
