"""One training step of each stage in plain eager PyTorch, the other side of the training benchmarks.

Videos are [B, 3, 17, H, W] (start frame, then the 16 frames that follow it), images [B, 3, H, W], both in [-1, 1].
Modules are used as they come: move them to a device and choose train or eval mode before.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .torch_networks import (
    LPIPS,
    ConditionalFlow,
    ImageAutoencoder,
    ImageEncoder,
    PatchDiscriminator,
    TemporalDiscriminator,
    VideoDecoder,
    VideoEncoder,
    flow_loss,
)

Losses = dict[str, Tensor]


def adam(*modules: nn.Module) -> torch.optim.Adam:
    """Returns the optimizer of stage 1: weight decay is L2 added to the gradient."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-5)


def apply_gradients(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def sample_posterior(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    return mean + noise * torch.exp(0.5 * logvar)


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """Returns KL(posterior || N(0, 1)) in nats, summed over z, averaged over the batch."""
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).sum(1).mean()


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())


def gradient_penalty(logits: Tensor, video: Tensor) -> Tensor:
    """Returns the batch mean of the squared norm of d mean(logits) / d video."""
    (gradient,) = torch.autograd.grad(logits.mean(), video, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


@dataclass(frozen=True)
class VideoWeights:
    """Weights of the terms of stage 1; the defaults are BAIR's."""

    recon: float = 10.0
    percep: float = 30.0
    kl: float = 1e-5
    coup_s: float = 1.0
    coup_t: float = 1.0
    fmap_t: float = 10.0
    gp: float = 10.0


@dataclass(frozen=True)
class Generated:
    """A target video, its reconstruction [B, 3, 16, H, W] and the posterior [B, z_dim] it came from."""

    target: Tensor
    fake: Tensor
    mean: Tensor
    logvar: Tensor


@dataclass(frozen=True)
class Crop:
    """What the discriminators see: a window in time, and some of the B*16 frames."""

    window: slice
    frame_indices: Tensor

    def clip(self, video: Tensor) -> Tensor:
        return video[:, :, self.window]

    def frames(self, video: Tensor) -> Tensor:
        return as_frames(video)[self.frame_indices]


def as_frames(video: Tensor) -> Tensor:
    """Returns videos [B, C, T, H, W] as frames [B*T, C, H, W]."""
    return video.transpose(1, 2).flatten(0, 1)


def random_crop(target: Tensor, num_frames: int, length: int = 12) -> Crop:
    batch, frames = target.shape[0], target.shape[2]
    start = int(torch.randint(frames - length + 1, ()))
    return Crop(slice(start, start + length), torch.randint(batch * frames, (num_frames,), device=target.device))


class VideoStep:
    """Stage 1: both discriminators, then encoder and decoder."""

    def __init__(
        self,
        *,
        encoder: VideoEncoder,
        decoder: VideoDecoder,
        temporal: TemporalDiscriminator,
        patch: PatchDiscriminator,
        lpips: LPIPS,
        weights: VideoWeights,
        spatial_frames: int = 20,
    ) -> None:
        self.spatial_frames = spatial_frames
        self.encoder, self.decoder, self.temporal, self.patch = encoder, decoder, temporal, patch
        self.lpips = lpips.eval().requires_grad_(False)
        self.weights = weights
        self.generator_optimizer = adam(encoder, decoder)
        self.temporal_optimizer = adam(temporal)
        self.patch_optimizer = adam(patch)

    def generate(self, video: Tensor, noise: Tensor) -> Generated:
        target = video[:, :, 1:]
        mean, logvar = self.encoder(target)
        fake = self.decoder(video[:, :, 0], sample_posterior(mean, logvar, noise))
        return Generated(target, fake, mean, logvar)

    def temporal_losses(self, generated: Generated, crop: Crop) -> Losses:
        real = crop.clip(generated.target).detach().requires_grad_(True)
        real_logits, _ = self.temporal(real)
        fake_logits, _ = self.temporal(crop.clip(generated.fake).detach())
        hinge, penalty = hinge_loss(real_logits, fake_logits), gradient_penalty(real_logits, real)
        return {
            "Loss_Disc_T": hinge,
            "L_GP": penalty,
            "Logits_Real_T": real_logits.mean(),
            "Logits_Fake_T": fake_logits.mean(),
            "total": hinge + self.weights.gp * penalty,
        }

    def patch_losses(self, generated: Generated, crop: Crop) -> Losses:
        real = self.patch(crop.frames(generated.target))
        fake = self.patch(crop.frames(generated.fake).detach())
        hinge = hinge_loss(real, fake)
        return {"Loss_Disc_S": hinge, "Logits_Real_S": real.mean(), "Logits_Fake_S": fake.mean(), "total": hinge}

    def generator_losses(self, generated: Generated, crop: Crop) -> Losses:
        target, fake, weights = generated.target, generated.fake, self.weights
        fake_logits, fake_maps = self.temporal(crop.clip(fake))
        with torch.no_grad():
            _, real_maps = self.temporal(crop.clip(target))
        losses = {
            "Loss_L1": F.l1_loss(fake, target),
            "LPIPS": self.lpips(as_frames(target), as_frames(fake)).mean(),
            "Loss_KL": kl_divergence(generated.mean, generated.logvar),
            "Loss_GEN_S": -self.patch(crop.frames(fake)).mean(),
            "Loss_GEN_T": -fake_logits.mean(),
            "Loss_Fmap_T": torch.stack([F.l1_loss(a, b) for a, b in zip(fake_maps, real_maps, strict=True)]).mean(),
        }
        losses["Loss_VAE"] = (
            weights.recon * losses["Loss_L1"]
            + weights.percep * losses["LPIPS"]
            + weights.kl * losses["Loss_KL"]
            + weights.coup_s * losses["Loss_GEN_S"]
            + weights.coup_t * losses["Loss_GEN_T"]
            + weights.fmap_t * losses["Loss_Fmap_T"]
        )
        return losses

    def __call__(self, video: Tensor) -> Losses:
        noise = torch.randn(video.shape[0], self.decoder.fc.in_features, device=video.device)
        generated = self.generate(video, noise)
        crop = random_crop(generated.target, self.spatial_frames)

        temporal = self.temporal_losses(generated, crop)
        apply_gradients(self.temporal_optimizer, temporal.pop("total"))
        patch = self.patch_losses(generated, crop)
        apply_gradients(self.patch_optimizer, patch.pop("total"))

        # The generator's step needs no gradients for the discriminators' parameters.
        self.temporal.requires_grad_(False)
        self.patch.requires_grad_(False)
        generator = self.generator_losses(generated, crop)
        apply_gradients(self.generator_optimizer, generator["Loss_VAE"])
        self.temporal.requires_grad_(True)
        self.patch.requires_grad_(True)
        return {name: value.detach() for name, value in (temporal | patch | generator).items()}


class ImageStep:
    """Stage 2: the image autoencoder with an adversarial term of adaptive weight, then its discriminator."""

    def __init__(self, autoencoder: ImageAutoencoder, patch: PatchDiscriminator, lpips: LPIPS, w_kl: float) -> None:
        self.autoencoder, self.patch, self.w_kl = autoencoder, patch, w_kl
        self.lpips = lpips.eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(autoencoder.parameters(), lr=2e-4, betas=(0.5, 0.9))
        self.patch_optimizer = torch.optim.Adam(patch.parameters(), lr=2e-4, betas=(0.5, 0.9))

    def adaptive_weight(self, nll: Tensor, adversarial: Tensor) -> Tensor:
        """Returns |grad nll| / |grad adversarial| on the decoder's last layer."""
        last = self.autoencoder.decoder.decoder.colorize.module.weight_bar
        (nll_gradient,) = torch.autograd.grad(nll, last, retain_graph=True)
        (adversarial_gradient,) = torch.autograd.grad(adversarial, last, retain_graph=True)
        return (nll_gradient.norm() / (adversarial_gradient.norm() + 1e-4)).clamp(0.0, 1e4)

    def __call__(self, images: Tensor) -> Losses:
        reconstruction, mean, logvar = self.autoencoder(images)
        self.patch.requires_grad_(False)
        per_pixel = (images - reconstruction).abs() + self.lpips(images, reconstruction)[:, None, None, None]
        nll = per_pixel.flatten(1).sum(1).mean()
        kl = kl_divergence(mean, logvar)
        adversarial = -self.patch(reconstruction).mean()
        weight = self.adaptive_weight(nll, adversarial)
        loss = nll + self.w_kl * kl + weight * adversarial
        apply_gradients(self.optimizer, loss)
        self.patch.requires_grad_(True)

        discriminator = hinge_loss(self.patch(images), self.patch(reconstruction.detach()))
        apply_gradients(self.patch_optimizer, discriminator)
        losses = {
            "loss": loss,
            "nll": nll,
            "kl": kl,
            "adversarial": adversarial,
            "weight": weight,
            "discriminator": discriminator,
        }
        return {name: value.detach() for name, value in losses.items()}


class FlowStep:
    """Stage 3: the flow on the frozen outputs of stages 1 and 2."""

    def __init__(self, flow: ConditionalFlow, video_encoder: VideoEncoder, image_encoder: ImageEncoder) -> None:
        self.flow = flow
        self.video_encoder = video_encoder.eval().requires_grad_(False)
        self.image_encoder = image_encoder.eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(flow.parameters(), lr=1e-5, betas=(0.9, 0.99), amsgrad=True)

    @torch.no_grad()
    def encode(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Returns a posterior sample z and the embedding of the start frame."""
        mean, logvar = self.video_encoder(video[:, :, 1:])
        embedding, _ = self.image_encoder(video[:, :, 0])
        return sample_posterior(mean, logvar, torch.randn_like(mean)), embedding

    def update(self, z: Tensor, condition: Tensor) -> Tensor:
        """Takes one optimizer step of the flow alone."""
        loss = flow_loss(*self.flow(z, condition))
        apply_gradients(self.optimizer, loss)
        return loss.detach()

    def __call__(self, video: Tensor) -> Losses:
        return {"loss": self.update(*self.encode(video))}
