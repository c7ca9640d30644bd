"""Sampling of both models, one video and many at a time, and the features of FVD."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from benchmarks import metrics, timing, torch_networks
from benchmarks.networks import channels_first
from benchmarks.parts.results import Results
from benchmarks.stages import full_config
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CinnNetworks
from i2v_jax.sampling.generator import Generator
from i2v_jax.sampling.poke import PokeGenerator
from i2v_jax.tasks import registry
from i2v_jax.tasks.poke import MODEL

Sample = Callable[[], object]


def compare_sampling(results: Results, data: str, videos: int, quick: bool, side: str) -> None:
    """Adds seconds per call and videos per second for a batch of start frames, one video of each."""
    config = full_config(data, quick)
    size = config.data.size
    start_frames = np.random.default_rng(0).uniform(-1, 1, (videos, size, size, 3)).astype(np.float32)
    who, dtype = side.split("_")
    if who == "jax":
        config.dtype = dtype
        run = _ours(config, start_frames)
    else:
        run = _theirs(config, start_frames, compiled=who == "compiled", quick=quick)
    numbers = timing.alone(run, quick)
    numbers["videos_per_s"] = videos / numbers["median_s"]
    name = f"{data}, {videos} video{'s' if videos > 1 else ''} at a time"
    results.add("sampling", name, **{side: numbers})


def _ours(config: ConfigDict, start_frames: np.ndarray) -> Sample:
    generator = _poke_generator(config) if "poke" in config else _cinn_generator(config)
    pokes = np.tile(np.float32([[8.0, 8.0, 5.0, -3.0]]), (len(start_frames), 1))
    control = (jnp.asarray(pokes),) if "poke" in config else ()
    program, x0, rng = jax.jit(generator.sampler(1)), jnp.asarray(start_frames), jax.random.key(0)
    return lambda: jax.block_until_ready(program(generator.variables, x0, rng, *control))


def _cinn_generator(config: ConfigDict) -> Generator:
    modules, rng = registry.build(config), jax.random.key(0, impl="rbg")
    z_dim, embedding = config.video_vae.encoder.z_dim, config.image_ae.encoder.z_dim
    x0, z = jnp.zeros((1, config.data.size, config.data.size, 3)), jnp.zeros((1, z_dim))
    networks = CinnNetworks(
        modules["video_vae"]["encoder"],
        modules["video_vae"]["decoder"],
        modules["image_ae"]["encoder"],
        modules["flow"]["flow"],
    )
    assert networks.image_encoder and networks.flow
    variables = {
        "decoder": jax.jit(networks.decoder.init)(rng, x0, z),
        "image_encoder": jax.jit(networks.image_encoder.init)(rng, x0),
        "flow": networks.flow.draw(rng, z, jnp.zeros((1, embedding))),
    }
    return CinnGenerator(networks, variables, config.data.size, z_dim)


def _poke_generator(config: ConfigDict) -> Generator:
    modules, size, frames = registry.build(config)["poke"], config.data.size, config.data.frames - 1
    model = PokeModel(**{name: modules[name] for name in MODEL}, frames=frames)
    x0, poke = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 2))
    variables = jax.jit(model.init)(jax.random.key(0, impl="rbg"), x0, poke)
    return PokeGenerator(model, variables, size, poke_size=3, frames=frames)


def _theirs(config: ConfigDict, start_frames: np.ndarray, compiled: bool, quick: bool) -> Sample:
    device = timing.torch_device()
    x0 = channels_first(start_frames).to(device)
    with device:
        module, sample = (_torch_poke if "poke" in config else _torch_cinn)(config)
    module.to(device).eval()
    if compiled:
        sample = torch.compile(sample, backend="aot_eager" if quick else "inductor")

    @torch.no_grad()
    def run() -> Tensor:
        return sample(x0)

    return timing.waiting(run)


def _torch_cinn(config: ConfigDict) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    decoder, fields = config.video_vae.decoder, config.flow.network
    embedding = config.image_ae.encoder.z_dim
    images = torch_networks.ImageEncoder(embedding, config.image_ae.encoder.norm)
    flow = torch_networks.ConditionalFlow(
        decoder.z_dim, embedding, n_flows=fields.blocks, hidden_dim=fields.hidden, hidden_depth=fields.depth
    )
    videos = torch_networks.VideoDecoder(decoder.channel_factor, decoder.z_dim, decoder.upsample_s, decoder.upsample_t)

    def sample(x0: Tensor) -> Tensor:
        residual = torch.randn(x0.shape[0], decoder.z_dim, device=x0.device)
        return videos(x0, flow.reverse(residual, images(x0)[0]))

    return nn.ModuleList([images, flow, videos]), sample


def _torch_poke(config: ConfigDict) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    fields = config.poke.model
    model = torch_networks.PokeModel(
        config.data.size, fields.features, fields.min_spatial_size, config.data.frames - 1, fields.narrowest
    )

    def sample(x0: Tensor) -> Tensor:
        poke = torch.zeros_like(x0[:, :2])
        poke[:, :, 7:10, 7:10] = 5.0
        return model(x0, poke)

    return model, sample


def compare_features(results: Results, clips: int, quick: bool) -> None:
    """Adds clips per second of I3D, and how much faster products change its logits on this device.

    "difference" is the largest one between the default precision of float32 products and the highest, relative to the
    largest logit.
    """
    network = metrics.features(clips, frames=16, size=64 if quick else metrics.SIZE)
    device, inputs = timing.torch_device(), network.inputs
    videos = jnp.asarray(inputs[0])

    def features(variables: Any, videos: jax.Array) -> Any:
        return network.call(variables, False, videos)

    def precise(variables: Any, videos: jax.Array) -> Any:
        with jax.default_matmul_precision("highest"):  # as evaluations compute them
            return features(variables, videos)

    program, exactly = jax.jit(features), jax.jit(precise)
    exact = np.asarray(exactly(network.variables, videos))
    difference = np.abs(np.asarray(program(network.variables, videos)) - exact).max() / np.abs(exact).max()
    network.module.to(device).eval()
    theirs = channels_first(inputs[0]).to(device)

    @torch.no_grad()
    def torch_run() -> Any:
        return network.torch_call(theirs)

    sides: dict[str, Sample] = {
        "jax_float32": lambda: jax.block_until_ready(program(network.variables, videos)),
        "jax_float32_highest": lambda: jax.block_until_ready(exactly(network.variables, videos)),
        "eager_float32": timing.waiting(torch_run),
    }
    name = f"I3D, {clips} clips at a time"
    for side, run in sides.items():
        numbers = timing.alone(run, quick)
        results.add("fvd", name, **{side: {**numbers, "clips_per_s": clips / numbers["median_s"]}})
    results.add("fvd", name, difference=float(difference))
