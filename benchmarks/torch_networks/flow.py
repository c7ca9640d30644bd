"""The conditional flow between the video latent z and the residual, conditioned on the image embedding."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.9


class ActNorm(nn.Module):
    """Per-channel affine map; the first training batch sets it to whiten itself. Inputs [B, C] or [B, C, H, W]."""

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.register_buffer("initialized", torch.tensor(0, dtype=torch.uint8))
        self.ready = (
            False  # as `initialized`, which takes a GPU a synchronization to read and torch.compile a new graph
        )

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        values = x.transpose(0, 1).flatten(1)
        self.loc.copy_(-values.mean(1).view_as(self.loc))
        self.scale.copy_(1.0 / (values.std(1).view_as(self.scale) + 1e-6))
        self.initialized.fill_(1)

    def _parameters_like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return self.loc.view(shape), self.scale.view(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.training and not self.ready:
            if not self.initialized:
                self.initialize(x)
            self.ready = True
        loc, scale = self._parameters_like(x)
        positions = x[0, 0].numel()
        log_det = positions * self.scale.abs().log().sum()
        return scale * (x + loc), log_det.expand(x.shape[0])

    def reverse(self, y: Tensor) -> Tensor:
        loc, scale = self._parameters_like(y)
        return y / scale - loc


class MLP(nn.Module):
    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int, hidden_depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(in_dim, hidden_dim), nn.LeakyReLU(0.01)]
        for _ in range(hidden_depth):
            layers += [nn.Linear(hidden_dim, hidden_dim), nn.LeakyReLU(0.01)]
        layers.append(nn.Linear(hidden_dim, out_dim))
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class DoubleCoupling(nn.Module):
    """Two affine couplings, the halves swapped in between. With `condition_only`, s and t see the condition alone."""

    def __init__(self, dim: int, condition_dim: int, hidden_dim: int, hidden_depth: int, condition_only: bool) -> None:
        super().__init__()
        self.condition_only = condition_only
        in_dim = condition_dim if condition_only else dim // 2 + condition_dim
        self.s = nn.ModuleList([MLP(in_dim, dim // 2, hidden_dim, hidden_depth) for _ in range(2)])
        self.t = nn.ModuleList([MLP(in_dim, dim // 2, hidden_dim, hidden_depth) for _ in range(2)])

    def _scale_shift(self, index: int, kept: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        inputs = condition if self.condition_only else torch.cat([kept, condition], dim=1)
        return self.s[index](inputs), self.t[index](inputs)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.chunk(2, dim=1)
        scale, shift = self._scale_shift(0, first, condition)
        second = second * scale.exp() + shift
        log_det = scale.sum(1)
        scale, shift = self._scale_shift(1, second, condition)
        first = first * scale.exp() + shift
        return torch.cat([second, first], dim=1), log_det + scale.sum(1)

    def reverse(self, y: Tensor, condition: Tensor) -> Tensor:
        second, first = y.chunk(2, dim=1)
        scale, shift = self._scale_shift(1, second, condition)
        first = (first - shift) * torch.exp(-scale)
        scale, shift = self._scale_shift(0, first, condition)
        second = (second - shift) * torch.exp(-scale)
        return torch.cat([first, second], dim=1)


class Shuffle(nn.Module):
    forward_shuffle_idx: Tensor
    backward_shuffle_idx: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        order = torch.randperm(dim)
        self.register_buffer("forward_shuffle_idx", order)
        self.register_buffer("backward_shuffle_idx", order.argsort())

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.forward_shuffle_idx]

    def reverse(self, y: Tensor) -> Tensor:
        return y[:, self.backward_shuffle_idx]


class FlowBlock(nn.Module):
    def __init__(self, dim: int, condition_dim: int, hidden_dim: int, hidden_depth: int, condition_only: bool) -> None:
        super().__init__()
        self.norm_layer = ActNorm(dim)
        self.coupling = DoubleCoupling(dim, condition_dim, hidden_dim, hidden_depth, condition_only)
        self.shuffle = Shuffle(dim)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        x, log_det = self.norm_layer(x)
        # As in the authors' release, the log-determinant omits this activation.
        x = F.leaky_relu(x, NEGATIVE_SLOPE)
        x, coupling_log_det = self.coupling(x, condition)
        return self.shuffle(x), log_det + coupling_log_det

    def reverse(self, y: Tensor, condition: Tensor) -> Tensor:
        y = self.coupling.reverse(self.shuffle.reverse(y), condition)
        return self.norm_layer.reverse(F.leaky_relu(y, 1.0 / NEGATIVE_SLOPE))


class ConditionalFlow(nn.Module):
    """z [B, z_dim] <-> residual [B, z_dim], given a condition [B, condition_dim]."""

    def __init__(
        self,
        z_dim: int,
        condition_dim: int,
        *,
        control: bool = False,
        n_flows: int = 20,
        hidden_dim: int = 512,
        hidden_depth: int = 2,
    ) -> None:
        super().__init__()
        self.sub_layers = nn.ModuleList(
            FlowBlock(z_dim, condition_dim, hidden_dim, hidden_depth, condition_only=control and index % 4 != 0)
            for index in range(n_flows)
        )

    def forward(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the residual of z and the log-determinant [B]."""
        log_det = z.new_zeros(z.shape[0])
        for block in self.sub_layers:
            z, block_log_det = block(z, condition)
            log_det = log_det + block_log_det
        return z, log_det

    def reverse(self, residual: Tensor, condition: Tensor) -> Tensor:
        for block in reversed(self.sub_layers):
            residual = block.reverse(residual, condition)
        return residual


def flow_loss(residual: Tensor, log_det: Tensor) -> Tensor:
    """Returns the negative log-likelihood under N(0, 1), without its constant, averaged over the batch."""
    return (0.5 * residual.square().sum(1)).mean() - log_det.mean()
