"""The PyTorch side of the training benchmark: each stage of a configuration in plain eager PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import torch_networks
from benchmarks.torch_networks.image_autoencoder import BigGANGenerator, ClassMLP
from benchmarks.torch_poke_step import PokeStep, PokeWeights
from benchmarks.torch_steps import FlowStep, ImageStep, VideoStep, VideoWeights, apply_gradients, as_frames
from benchmarks.torch_steps import kl_divergence as kl
from i2v_jax.tasks import control as controls
from i2v_jax.tasks.scaling import drawn_frames

Runs = dict[str, Callable[[], object]]
Adapt = Callable[[nn.Module], object]


class LaplacianDistance(nn.Module):
    """L1 between Laplacian pyramids, as `i2v_jax.pretrained.laplacian`: images [B, 3, H, W] twice -> [B]."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        self.levels = levels
        taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("rows", taps.view(1, 1, 5, 1).expand(3, 1, 5, 1).contiguous())
        self.register_buffer("columns", taps.view(1, 1, 1, 5).expand(3, 1, 1, 5).contiguous())

    def blur(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
        return F.conv2d(F.conv2d(padded, self.rows, groups=3), self.columns, groups=3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        rest, total = a - b, a.new_zeros(a.shape[0])
        for level in range(self.levels - 1):
            low = self.blur(rest)
            total = total + 2**level * (rest - low).abs().mean((1, 2, 3))
            rest = low[:, :, ::2, ::2]
        return total + 2 ** (self.levels - 1) * rest.abs().mean((1, 2, 3))


def make_runs(
    config: ConfigDict,
    stage: str,
    batch: dict[str, np.ndarray],
    device: torch.device,
    adapt: Adapt = lambda module: None,
) -> Runs:
    """Returns updates, named as in the task of this package -> a function that takes one step with them.

    Empty if PyTorch has no such network: its image autoencoder is a ResNet-50 for images of 64 or 128 pixels.

    Args:
      config: the whole configuration.
      stage: its stage to train.
      batch: as this package takes it.
      device: of the networks and the batch.
      adapt: changes every network that no gradient of a gradient passes through, such as `nn.Module.compile`, which
        supports none; the discriminators with a gradient penalty stay as they are.
    """
    make = {"video_vae": _video_runs, "image_ae": _image_runs, "flow": _flow_runs, "poke": _poke_runs}[stage]
    return make(config, batch, device, adapt)


class _FlopCount(TorchDispatchMode):
    """Counts the operations of all products and convolutions: forward, backward and double backward.

    PyTorch's `FlopCounterMode` also tracks modules, with hooks that fail if a step computes a gradient inside.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (cost := flop_registry.get(func.overloadpacket)) is not None:
            self.total += cost(*args, **kwargs, out_val=result)
        return result


def count_flops(run: Callable[[], object]) -> int:
    """Returns the floating point operations of all products and convolutions of a call, double backward included."""
    with _FlopCount() as counter:
        run()
    return counter.total


def _channels_first(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1))).to(device)


def _video_encoder(config: ConfigDict) -> torch_networks.VideoEncoder:
    fields = config.video_vae.encoder
    return torch_networks.VideoEncoder(fields.channels, fields.stride_t, fields.stride_s, fields.z_dim)


def _distance(name: str) -> nn.Module:
    return {"lpips": torch_networks.LPIPS, "vgg19": torch_networks.VGGDistance, "laplacian": LaplacianDistance}[name]()


def _video_runs(config: ConfigDict, batch: dict[str, np.ndarray], device: torch.device, adapt: Adapt) -> Runs:
    stage = config.video_vae
    decoder, temporal, loss = stage.decoder, stage.temporal_discriminator, stage.loss
    modules = {
        "encoder": _video_encoder(config),
        "decoder": torch_networks.VideoDecoder(
            decoder.channel_factor, decoder.z_dim, decoder.upsample_s, decoder.upsample_t
        ),
        "temporal": torch_networks.TemporalDiscriminator(temporal.channels, temporal.stride_t, temporal.stride_s),
        "patch": torch_networks.PatchDiscriminator(ndf=stage.patch_discriminator.width),
        "lpips": _distance(loss.perceptual_network),
    }
    for name in ("encoder", "decoder", "patch", "lpips"):
        adapt(modules[name])
    weights = VideoWeights(recon=loss.reconstruction, percep=loss.perceptual, kl=loss.kl)
    video = _channels_first(batch["video"], device)
    step = VideoStep(
        **{name: module.to(device) for name, module in modules.items()},
        weights=weights,
        spatial_frames=drawn_frames(loss.spatial_frames, len(video), stage),
    )

    def pretraining() -> None:
        noise = torch.randn(video.shape[0], decoder.z_dim, device=device)
        generated = step.generate(video, noise)
        perceptual = step.lpips(as_frames(generated.target), as_frames(generated.fake)).mean()
        objective = weights.recon * F.l1_loss(generated.fake, generated.target) + weights.percep * perceptual
        objective = objective + weights.kl * kl(generated.mean, generated.logvar)
        apply_gradients(step.generator_optimizer, objective)

    return {"pretraining": pretraining, "discriminators + generator": lambda: step(video)}


def _image_runs(config: ConfigDict, batch: dict[str, np.ndarray], device: torch.device, adapt: Adapt) -> Runs:
    stage, size = config.image_ae, config.data.size
    if stage.encoder.depth != "resnet50" or size not in (64, 128):
        return {}
    z_dim = stage.encoder.z_dim
    autoencoder = torch_networks.ImageAutoencoder(size, z_dim, stage.encoder.norm)
    autoencoder.decoder.map_to_class_embedding = ClassMLP(z_dim, stage.decoder.mlp_width)
    autoencoder.decoder.decoder = BigGANGenerator(size, z_dim, stage.decoder.channels)
    patch = torch_networks.PatchDiscriminator(ndf=stage.patch_discriminator.width).to(device)
    lpips = _distance(stage.loss.perceptual_network).to(device)
    for module in (autoencoder, patch, lpips):
        adapt(module)
    step = ImageStep(autoencoder.to(device), patch, lpips, w_kl=stage.loss.kl)
    images = _channels_first(batch["video"][:, 0], device)

    def pretraining() -> None:
        reconstruction, mean, logvar = autoencoder(images)
        distance = step.lpips(images, reconstruction)[:, None, None, None]
        nll = ((images - reconstruction).abs() + distance).flatten(1).sum(1).mean()
        apply_gradients(step.optimizer, nll + step.w_kl * kl(mean, logvar))

    return {"pretraining": pretraining, "generator + discriminator": lambda: step(images)}


def _flow_runs(config: ConfigDict, batch: dict[str, np.ndarray], device: torch.device, adapt: Adapt) -> Runs:
    fields, embedding = config.flow.network, config.image_ae.encoder.z_dim
    control = controls.get(config.control)
    flow = torch_networks.ConditionalFlow(
        config.video_vae.encoder.z_dim,
        embedding + control.width,
        control=control.width > 0,
        n_flows=fields.blocks,
        hidden_dim=fields.hidden,
        hidden_depth=fields.depth,
    )
    images = torch_networks.ImageEncoder(embedding, config.image_ae.encoder.norm)
    videos = _video_encoder(config)
    for module in (flow, videos, images):
        adapt(module)
    step = FlowStep(flow.to(device), videos.to(device), images.to(device))
    if not config.flow.encode_once:
        video = _channels_first(batch["video"], device)
        return {"likelihood": lambda: step(video)}
    parts = [batch["embedding"], np.asarray(control.from_batch(batch, config.data.size))]
    condition = torch.from_numpy(np.concatenate(parts, axis=-1)).to(device)
    mean, logvar = (torch.from_numpy(batch[name]).to(device) for name in ("mean", "logvar"))

    def likelihood() -> None:
        step.update(mean + torch.randn_like(mean) * torch.exp(0.5 * logvar), condition)

    return {"likelihood": likelihood}


def _poke_runs(config: ConfigDict, batch: dict[str, np.ndarray], device: torch.device, adapt: Adapt) -> Runs:
    stage, loss, frames = config.poke, config.poke.loss, config.data.frames - 1
    video, poke = (_channels_first(batch[name], device) for name in ("video", "poke"))
    model = torch_networks.PokeModel(
        config.data.size, stage.model.features, stage.model.min_spatial_size, frames, stage.model.narrowest
    )
    distance = _distance(loss.perceptual_network)
    for module in (model.shape_enc, model.dynamics_enc, model.fusion_block, model.dec, distance):
        adapt(module)
    terms = ("perceptual", "latent", "spatial", "temporal", "feature_matching", "spatial_penalty", "temporal_penalty")
    step = PokeStep(
        model=model.to(device),
        temporal=torch_networks.PokeTemporalDiscriminator(frames, stage.temporal_discriminator.width).to(device),
        patch=torch_networks.PokePatchDiscriminator(stage.patch_discriminator.width).to(device),
        distance=distance.to(device),
        weights=PokeWeights(**{name: loss[name] for name in terms}),
        spatial_frames=drawn_frames(loss.spatial_frames, len(video), stage),
    )
    return {
        "static + dynamic": lambda: step(video, poke, adversarial=False),
        "static + dynamic_adversarial + discriminators": lambda: step(video, poke, adversarial=True),
    }
