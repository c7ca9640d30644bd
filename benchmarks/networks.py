"""Every network of the cINN paper against plain eager PyTorch with the same weights.

    python -m benchmarks.networks [--size=bair16] [--repeats=5] [--only=decoder] [--out=FILE.json] [--quick]

Sizes: `bair16` (64x64, a quarter of the channels of BAIR's networks) and `bair` (all channels, for a GPU), both in
float32. The flow and the image autoencoder always have the authors' widths. "Inference" is the network in evaluation
mode; "training" is the forward and backward pass of the mean square of its outputs in training mode. Discriminators
also compute gradients of their inputs, as the generator's update does. "Difference" is the largest difference between
the outputs of both sides in evaluation mode, relative to the largest output.
"""
# ruff: noqa: E402 (libraries are imported after their settings)

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import timing

timing.configure_libraries()

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import torch_networks
from i2v_jax.torch_interop import load_torch

SIZE, Z_DIM, FRAMES, WINDOW = 64, 64, 16, 12
Arrays = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Widths:
    """Channels of the video networks, and the clips in a batch."""

    encoder: tuple[int, ...]
    temporal: tuple[int, ...]
    decoder: int
    patch: int
    batch: int
    images: int  # batch size of the image autoencoder


WIDTHS = {
    "bair": Widths((64, 128, 256, 512, 512), (64, 64, 128, 256, 512), decoder=64, patch=64, batch=10, images=30),
    "bair16": Widths((16, 32, 64, 128, 128), (16, 16, 32, 64, 128), decoder=16, patch=16, batch=2, images=4),
    "quick": Widths((16,) * 5, (16,) * 5, decoder=8, patch=8, batch=1, images=1),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A PyTorch module and our module with the same weights, each as a function of inputs in our layout.

    Attributes:
      call: our side, (variables, train, *inputs) -> outputs; changed collections are dropped.
      torch_call: theirs, (*inputs) -> outputs; the mode is the module's.
      inputs: channels last, a leading batch axis.
      trained: whether to time training.
      input_gradients: whether the backward pass includes the inputs.
    """

    name: str
    module: torch.nn.Module
    torch_call: Callable[..., Any]
    variables: Any
    call: Callable[..., Any]
    inputs: Arrays
    trained: bool = True
    input_gradients: bool = False


def converted(module: torch.nn.Module, network: str, config: dict[str, Any]) -> tuple[nn.Module, Any]:
    """Returns our module and variables with the weights of `module`; marks its ActNorms as initialized."""
    for layer in module.modules():
        if isinstance(layer, torch_networks.ActNorm):
            layer.initialized.fill_(1)
    return load_torch(network, module.state_dict(), config)


def applying(module: nn.Module, collections: tuple[str, ...]) -> Callable[..., Any]:
    """Returns the call of a network with a training mode, in which `collections` change."""

    def call(variables: Any, train: bool, *inputs: jax.Array) -> Any:
        if not train:
            return module.apply(variables, *inputs)
        return module.apply(variables, *inputs, train=True, mutable=collections)[0]

    return call


def applying_always(module: nn.Module, method: str = "__call__") -> Callable[..., Any]:
    """Returns the call of a network without a training mode."""
    return lambda variables, train, *inputs: module.apply(variables, *inputs, method=method)


def make_networks(widths: Widths) -> Iterator[tuple[str, Callable[[], Network]]]:
    """Returns name -> function that builds the network, so that each can be built by itself."""
    yield "video encoder", lambda: video_encoder(widths)
    yield "video decoder", lambda: video_decoder(widths)
    yield "temporal discriminator", lambda: temporal_discriminator(widths)
    yield "patch discriminator", lambda: patch_discriminator(widths)
    yield "image autoencoder", lambda: image_autoencoder(widths)
    yield "flow, z to residual", lambda: flow(inverse=False)
    yield "flow, residual to z", lambda: flow(inverse=True)
    yield "sampling", lambda: sampling(widths)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.0, 0.5, shape).astype(np.float32)


def video_encoder(widths: Widths) -> Network:
    strides = {"stride_t": (1, 2, 2, 2), "stride_s": (1, 2, 2, 2)}
    theirs = torch_networks.VideoEncoder(widths.encoder, **strides, z_dim=Z_DIM)
    config = {"channels": widths.encoder, **strides, "z_dim": Z_DIM, "res_type_encoder": "resnet18"}
    config |= {"use_max_pool": False, "image_size": SIZE, "frames": FRAMES}
    ours, variables = converted(theirs, "video_encoder", config)
    inputs = (normal(widths.batch, FRAMES, SIZE, SIZE, 3),)
    return Network("video encoder", theirs, theirs, variables, applying_always(ours), inputs)


def decoder_pair(widths: Widths) -> tuple[torch_networks.VideoDecoder, nn.Module, Any]:
    upsampling: dict[str, Any] = {"upsample_s": (2, 1), "upsample_t": (2, 1)}
    theirs = torch_networks.VideoDecoder(widths.decoder, Z_DIM, **upsampling)
    config = {"channel_factor": widths.decoder, "z_dim": Z_DIM, **upsampling, "spectral_norm": True, "image_size": SIZE}
    return theirs, *converted(theirs, "video_decoder", config)


def video_decoder(widths: Widths) -> Network:
    theirs, ours, variables = decoder_pair(widths)
    inputs = normal(widths.batch, SIZE, SIZE, 3), normal(widths.batch, Z_DIM)
    return Network("video decoder", theirs, theirs, variables, applying(ours, ("spectral",)), inputs)


def temporal_discriminator(widths: Widths) -> Network:
    strides = {"stride_t": (2, 2, 2, 2), "stride_s": (1, 1, 2, 2)}
    theirs = torch_networks.TemporalDiscriminator(widths.temporal, **strides)
    config = {"channels": widths.temporal, **strides, "res_type_encoder": "resnet18", "use_max_pool": True}
    config |= {"spectral_norm": True, "image_size": SIZE, "frames": WINDOW}
    ours, variables = converted(theirs, "temporal_discriminator", config)
    inputs = (normal(widths.batch, WINDOW, SIZE, SIZE, 3),)
    call = applying(ours, ("spectral",))
    return Network("temporal discriminator", theirs, theirs, variables, call, inputs, input_gradients=True)


def patch_discriminator(widths: Widths) -> Network:
    theirs = torch_networks.PatchDiscriminator(ndf=widths.patch)
    config = {"in_channels": 3, "ndf": widths.patch, "n_layers": 3, "use_actnorm": True}
    ours, variables = converted(theirs, "patch_discriminator", config | {"spectral_norm": True, "image_size": SIZE})
    call, inputs = applying(ours, ("spectral",)), (normal(20, SIZE, SIZE, 3),)
    return Network("patch discriminator", theirs, theirs, variables, call, inputs, input_gradients=True)


def image_autoencoder(widths: Widths) -> Network:
    """Decodes the posterior mean, so that both sides compute the same."""
    theirs = torch_networks.ImageAutoencoder(SIZE, Z_DIM, "in")
    config = {"z_dim": Z_DIM, "in_size": SIZE, "norm": "in", "encoder_type": "resnet50"}
    ours, variables = converted(theirs, "image_autoencoder", config)

    def torch_call(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mean, logvar = theirs.encoder(images)
        return theirs.decoder(mean), mean, logvar

    call, inputs = applying(ours, ("batch_stats",)), (normal(widths.images, SIZE, SIZE, 3),)
    return Network("image autoencoder", theirs, torch_call, variables, call, inputs)


def flow_pair() -> tuple[torch_networks.ConditionalFlow, nn.Module, Any]:
    theirs = torch_networks.ConditionalFlow(Z_DIM, condition_dim=Z_DIM)
    config = {"z_dim": Z_DIM, "embedding_dim": Z_DIM, "control": False, "n_flows": 20, "hidden_dim": 512}
    return theirs, *converted(theirs, "flow", config | {"hidden_depth": 2})


def flow(inverse: bool, batch: int = 50) -> Network:
    theirs, ours, variables = flow_pair()
    inputs = normal(batch, Z_DIM), normal(batch, Z_DIM)
    if not inverse:
        return Network("flow, z to residual", theirs, theirs, variables, applying_always(ours), inputs)

    def call(variables: Any, train: bool, residual: jax.Array, condition: jax.Array) -> Any:
        return ours.apply(variables, residual, condition, method="inverse")[0]

    return Network("flow, residual to z", theirs, theirs.reverse, variables, call, inputs, trained=False)


def sampling(widths: Widths) -> Network:
    """Maps residuals, embeddings and start frames to videos, end to end."""
    flows, our_flow, flow_variables = flow_pair()
    decoders, our_decoder, decoder_variables = decoder_pair(widths)

    def torch_call(residual: torch.Tensor, condition: torch.Tensor, start_frame: torch.Tensor) -> torch.Tensor:
        return decoders(start_frame, flows.reverse(residual, condition))

    def call(variables: Any, train: bool, residual: jax.Array, condition: jax.Array, start_frame: jax.Array) -> Any:
        z, _ = our_flow.apply(variables["flow"], residual, condition, method="inverse")
        return our_decoder.apply(variables["decoder"], start_frame, z)

    variables = {"flow": flow_variables, "decoder": decoder_variables}
    batch = 2 * widths.batch
    inputs = normal(batch, Z_DIM), normal(batch, Z_DIM), normal(batch, SIZE, SIZE, 3)
    module = torch.nn.ModuleList([flows, decoders])
    return Network("sampling", module, torch_call, variables, call, inputs, trained=False)


def channels_first(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1) if array.ndim > 2 else array))


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.detach().cpu().numpy()
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


def flat(outputs: Any) -> list[torch.Tensor]:
    """Yields the tensors of the nested tuples that a PyTorch module returns."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in flat(part)]


def compare_inference(network: Network, repeats: int, table: timing.Table) -> dict[str, timing.Seconds]:
    inputs = [channels_first(array).to(timing.torch_device()) for array in network.inputs]
    arrays = [jnp.asarray(array) for array in network.inputs]
    network.module.eval()
    compiled = jax.jit(lambda variables, *inputs: network.call(variables, False, *inputs))

    @torch.no_grad()
    def torch_run() -> Any:
        return network.torch_call(*inputs)

    def jax_run() -> Any:
        return jax.block_until_ready(compiled(network.variables, *arrays))

    theirs, ours = [channels_last(t) for t in flat(torch_run())], jax.tree.leaves(jax_run())
    difference = max(np.abs(a - b).max() / np.abs(a).max() for a, b in zip(theirs, ours, strict=True))
    seconds = timing.interleaved({"PyTorch": timing.waiting(torch_run), "JAX": jax_run}, repeats)
    table.add(network.name, "inference", seconds["PyTorch"], seconds["JAX"], difference=float(difference))
    return seconds


def compare_training(network: Network, repeats: int, table: timing.Table) -> None:
    wanted = network.input_gradients
    inputs = [channels_first(a).to(timing.torch_device()).requires_grad_(wanted) for a in network.inputs]
    arrays = [jnp.asarray(array) for array in network.inputs]
    network.module.train()
    sources = [*network.module.parameters(), *(inputs if wanted else [])]
    constants = {name: tree for name, tree in network.variables.items() if name != "params"}

    def torch_run() -> Any:
        loss = torch.stack([output.square().mean() for output in flat(network.torch_call(*inputs))]).sum()
        return torch.autograd.grad(loss, sources, allow_unused=True)

    def loss(params: Any, inputs: list[jax.Array], constants: Any) -> jax.Array:
        outputs = network.call({"params": params, **constants}, True, *inputs)
        return sum(jnp.mean(jnp.square(output)) for output in jax.tree.leaves(outputs))

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1) if wanted else 0))

    def jax_run() -> Any:
        return jax.block_until_ready(gradient(network.variables["params"], arrays, constants))

    seconds = timing.interleaved({"PyTorch": timing.waiting(torch_run), "JAX": jax_run}, repeats)
    table.add(network.name, "training", seconds["PyTorch"], seconds["JAX"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("bair16", "bair"), default="bair16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--out", default="", help="JSON file for the results")
    parser.add_argument("--quick", action="store_true", help="narrowest networks, one repeat: a smoke test")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    size, repeats = ("quick", 1) if arguments.quick else (arguments.size, arguments.repeats)
    table = timing.Table(f"Networks, {size}, float32")
    for name, build in make_networks(WIDTHS[size]):
        if arguments.only not in name:
            continue
        network = build()
        network.module.to(timing.torch_device())
        compare_inference(network, repeats, table)
        if network.trained:
            compare_training(network, repeats, table)
    table.write(arguments.out)


if __name__ == "__main__":
    main()
