"""The conditioning image autoencoder: ResNet-50 encoder, BigGAN-style class-conditional decoder.

Module and parameter names are those of the authors' checkpoints, so that their state dicts load as they are.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_CLASSES = 1000
CLASS_EMBEDDING_DIM = 128
EPS = 1e-4  # of the decoder's batch norms and spectral norms

# Per image size: size of each chunk of the code after the first, and the channel multiplier after each block.
CHUNK = {64: 10, 128: 20}
WIDTHS = {64: (16, 8, 4, 1), 128: (16, 8, 4, 2, 1)}


def make_norm(norm: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "bn" else nn.InstanceNorm2d(channels)


class Bottleneck(nn.Module):
    def __init__(self, in_channels: int, width: int, stride: int, norm: str) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = make_norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = make_norm(norm, width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = make_norm(norm, out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), make_norm(norm, out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.relu(self.bn3(self.conv3(h)) + self.downsample(x))


class DenseHead(nn.Module):
    """The 1x1 convolution that stands in for ResNet's fully connected layer."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.sub_layers = nn.ModuleList([nn.Conv2d(in_channels, out_channels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        return self.sub_layers[0](x)


class ResNet50(nn.Module):
    def __init__(self, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = make_norm(norm, 64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        in_channels = 64
        for index, (width, depth) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)):
            blocks = []
            for block in range(depth):
                stride = 2 if block == 0 and index > 0 else 1
                blocks.append(Bottleneck(in_channels, width, stride, norm))
                in_channels = 4 * width
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = DenseHead(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x))


class ImageEncoder(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] -> posterior mean and log-variance, [B, z_dim] each."""

    def __init__(self, z_dim: int, norm: str) -> None:
        super().__init__()
        self.model = ResNet50(2 * z_dim, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.model(x).flatten(1).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 10.0)


class SpectralNorm(nn.Module):
    """Divides a layer's weight by its spectral norm, estimated by one power iteration from a `u` that never changes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        weight = module.weight
        del module.weight
        module.weight_bar = nn.Parameter(weight.detach())
        module.register_buffer("weight_u", F.normalize(torch.randn(weight.shape[0]), dim=0))
        # Part of the checkpoints, never read: the iteration starts from u.
        module.register_buffer("weight_v", torch.zeros(weight.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.module.weight_bar
        matrix = weight.flatten(1)
        with torch.no_grad():
            v = matrix.t() @ self.module.weight_u
            v = v / (v.norm() + EPS)
            u = matrix @ v
            u = u / (u.norm() + EPS)
        self.module.weight = weight / torch.dot(u, matrix @ v)
        return self.module(x)


class ConditionalBatchNorm(nn.Module):
    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=EPS, affine=False)
        self.gamma_embed = SpectralNorm(nn.Linear(condition_dim, channels, bias=False))
        self.beta_embed = SpectralNorm(nn.Linear(condition_dim, channels, bias=False))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gamma = 1.0 + self.gamma_embed(condition)[:, :, None, None]
        beta = self.beta_embed(condition)[:, :, None, None]
        return self.bn(x) * gamma + beta


class GeneratorBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.conv0 = SpectralNorm(nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.conv1 = SpectralNorm(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.conv_sc = SpectralNorm(nn.Conv2d(in_channels, out_channels, 1))
        self.HyperBN = ConditionalBatchNorm(in_channels, condition_dim)
        self.HyperBN_1 = ConditionalBatchNorm(out_channels, condition_dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.HyperBN(x, condition))
        h = self.conv0(F.interpolate(h, scale_factor=2))
        h = self.conv1(F.relu(self.HyperBN_1(h, condition)))
        return h + self.conv_sc(F.interpolate(x, scale_factor=2))


class SelfAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = SpectralNorm(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.phi = SpectralNorm(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.g = SpectralNorm(nn.Conv2d(channels, channels // 2, 1, bias=False))
        self.o_conv = SpectralNorm(nn.Conv2d(channels // 2, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2).flatten(2)
        value = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        attended = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.o_conv(attended)


class BigGANGenerator(nn.Module):
    def __init__(self, image_size: int, z_dim: int, base_channels: int = 96) -> None:
        super().__init__()
        widths = WIDTHS[image_size]
        self.chunk = CHUNK[image_size]
        condition_dim = CLASS_EMBEDDING_DIM + self.chunk
        channels = 16 * base_channels
        self.linear = nn.Linear(NUM_CLASSES, CLASS_EMBEDDING_DIM, bias=False)
        self.G_linear = SpectralNorm(nn.Linear(z_dim - len(widths) * self.chunk, 4 * 4 * channels))
        self.GBlock = nn.ModuleList()
        for width in widths:
            self.GBlock.append(GeneratorBlock(channels, width * base_channels, condition_dim))
            channels = width * base_channels
        # The 64x64 checkpoints carry the attention's parameters too, though nothing uses them.
        self.attention = SelfAttention(2 * base_channels)
        self.attention_before = 4 if image_size == 128 else None
        self.ScaledCrossReplicaBN = nn.BatchNorm2d(channels, eps=EPS)
        self.colorize = SpectralNorm(nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, z: Tensor, class_probabilities: Tensor) -> Tensor:
        first = z.shape[1] - len(self.GBlock) * self.chunk
        codes = z[:, first:].split(self.chunk, dim=1)
        embedding = self.linear(class_probabilities)
        # The first map is laid out (H, W, C).
        h = self.G_linear(z[:, :first]).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        for index, (block, code) in enumerate(zip(self.GBlock, codes, strict=True)):
            if index == self.attention_before:
                h = self.attention(h)
            h = block(h, torch.cat([code, embedding], dim=1))
        return torch.tanh(self.colorize(F.relu(self.ScaledCrossReplicaBN(h))))


class ClassMLP(nn.Module):
    """Latent code -> distribution over the generator's classes."""

    def __init__(self, z_dim: int, hidden_dim: int = 2000) -> None:
        super().__init__()
        dims = (z_dim, hidden_dim, hidden_dim, hidden_dim, NUM_CLASSES)
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(dims):
            layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(0.01)]
        self.main = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        return torch.softmax(self.main(z), dim=1)


class ImageDecoder(nn.Module):
    """Latent code [B, z_dim] -> images [B, 3, H, W] in [-1, 1]."""

    def __init__(self, image_size: int, z_dim: int) -> None:
        super().__init__()
        self.map_to_class_embedding = ClassMLP(z_dim)
        self.decoder = BigGANGenerator(image_size, z_dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(z, self.map_to_class_embedding(z))


class ImageAutoencoder(nn.Module):
    def __init__(self, image_size: int, z_dim: int, norm: str) -> None:
        super().__init__()
        self.encoder = ImageEncoder(z_dim, norm)
        self.decoder = ImageDecoder(image_size, z_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the reconstruction of a posterior sample, the posterior mean and the log-variance."""
        mean, logvar = self.encoder(image)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        return self.decoder(z), mean, logvar
