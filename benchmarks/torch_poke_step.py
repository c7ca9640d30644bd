"""One training step of the poke model in plain eager PyTorch: videos [B, 3, 1 + T, H, W], poke maps [B, 2, H, W]."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .torch_networks import PokeModel, PokePatchDiscriminator, PokeTemporalDiscriminator, VGGDistance
from .torch_steps import Losses, apply_gradients, as_frames


@dataclass(frozen=True)
class PokeWeights:
    """Weights of the terms; the defaults are the authors'."""

    perceptual: float = 5.0
    latent: float = 0.1
    spatial: float = 1.0
    temporal: float = 5.0
    feature_matching: float = 10.0
    spatial_penalty: float = 1e-4
    temporal_penalty: float = 0.1


def as_videos(frames: Tensor, count: int) -> Tensor:
    """Returns frames [B*T, C, H, W] as videos [B, C, T, H, W]."""
    return frames.unflatten(0, (-1, count)).transpose(1, 2)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def penalized_hinge(discriminator: nn.Module, real: Tensor, fake: Tensor, weight: float) -> Tensor:
    """Returns the hinge loss plus `weight` times the batch mean of the squared norm of d sum(logits) / d real."""
    real = real.detach().requires_grad_(True)
    fake_logits, _ = discriminator(fake)
    real_logits, _ = discriminator(real)
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return hinge(real_logits, fake_logits) + weight * gradient.square().sum() / real.shape[0]


class PokeStep:
    """The autoencoder of single frames, then the dynamics; later both discriminators too."""

    def __init__(
        self,
        *,
        model: PokeModel,
        temporal: PokeTemporalDiscriminator,
        patch: PokePatchDiscriminator,
        distance: VGGDistance,
        weights: PokeWeights,
        spatial_frames: int = 16,
    ) -> None:
        self.model, self.temporal, self.patch = model, temporal, patch
        self.distance = distance.eval().requires_grad_(False)
        self.weights, self.spatial_frames = weights, spatial_frames

        def adam(*modules: nn.Module) -> torch.optim.Adam:
            parameters = [parameter for module in modules for parameter in module.parameters()]
            return torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.99))

        self.static_optimizer = adam(model.shape_enc, model.dec)
        self.dynamic_optimizer = adam(model.dynamics_enc, model.fusion_block, model.dec)
        self.discriminator_optimizer = adam(temporal, patch)

    def static_loss(self, image: Tensor) -> Tensor:
        return self.distance(self.model.dec(self.model.shape_enc(image)), image).mean()

    def dynamic_losses(self, video: Tensor, poke: Tensor) -> tuple[Losses, Tensor]:
        """Returns the terms and the frames of the roll-out [B*T, 3, H, W]."""
        target = as_frames(video[:, :, 1:])
        states = self.model.roll_out(video[:, :, 0], poke)
        frames = self.model.dec(states)
        with torch.no_grad():
            true_states = self.model.shape_enc(target)
        perceptual = self.distance(frames, target).mean()
        latent = torch.stack([F.mse_loss(a, b) for a, b in zip(states, true_states, strict=True)]).mean()
        total = self.weights.perceptual * perceptual + self.weights.latent * latent
        return {"perceptual": perceptual, "latent": latent, "loss": total}, frames

    def adversarial_loss(self, target: Tensor, frames: Tensor) -> Tensor:
        with torch.no_grad():
            _, real_maps = self.temporal(target)
        logits, maps = self.temporal(as_videos(frames, target.shape[2]))
        patch_logits, _ = self.patch(self.draw(frames))
        matching = torch.stack([F.l1_loss(a, b) for a, b in zip(maps, real_maps, strict=True)]).mean()
        weights = self.weights
        return (
            -weights.spatial * patch_logits.mean()
            - weights.temporal * logits.mean()
            + weights.feature_matching * matching
        )

    def discriminators_loss(self, target: Tensor, start_frame: Tensor, poke: Tensor) -> Tensor:
        with torch.no_grad():
            frames = self.model.dec(self.model.roll_out(start_frame, poke))
        temporal = penalized_hinge(
            self.temporal, target, as_videos(frames, target.shape[2]), self.weights.temporal_penalty
        )
        real, fake = self.draw(as_frames(target)), self.draw(frames)
        return temporal + penalized_hinge(self.patch, real, fake, self.weights.spatial_penalty)

    def draw(self, frames: Tensor) -> Tensor:
        return frames[torch.randint(len(frames), (self.spatial_frames,), device=frames.device)]

    def __call__(self, video: Tensor, poke: Tensor, adversarial: bool) -> Losses:
        static = self.static_loss(video[:, :, 0])
        apply_gradients(self.static_optimizer, static)
        # The dynamics' step needs no gradients for these parameters.
        frozen = (self.model.shape_enc, self.temporal, self.patch)
        for module in frozen:
            module.requires_grad_(False)
        losses, frames = self.dynamic_losses(video, poke)
        total, target = losses["loss"], video[:, :, 1:]
        if adversarial:
            total = total + self.adversarial_loss(target, frames)
        apply_gradients(self.dynamic_optimizer, total)
        for module in frozen:
            module.requires_grad_(True)
        if adversarial:
            losses["discriminators"] = self.discriminators_loss(target, video[:, :, 0], poke)
            apply_gradients(self.discriminator_optimizer, losses["discriminators"])
        return {name: value.detach() for name, value in {"static": static, **losses}.items()}
