"""Why `i2v_jax/models/cpu_convolution.py` computes convolutions on the CPU as it does.

    python -m benchmarks.convolutions [--repeats=5] [--only=encoder]

Times one layer at a time: PyTorch, XLA's own 3D convolution, a sum of plain 2D convolutions over the time taps, time
taps in the input channels, time taps in the output channels, and `convolve`. All run in turns in one process. Every
number is PyTorch's time divided by the formulation's (above 1: faster than PyTorch), first in wall-clock time, then in
processor time of all threads, which other work on the machine disturbs less.
"""
# ruff: noqa: E402 (libraries are imported after their settings)

import argparse
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from benchmarks import timing

timing.configure_libraries()

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.timing import Run
from i2v_jax.models import convolution, cpu_convolution

PATIENCE = 2.0  # seconds; slower formulations are not repeated

Sizes = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Layer:
    name: str
    size: Sizes  # T, H, W
    channels: int
    features: int
    kernel_size: Sizes = (3, 3, 3)
    strides: Sizes = (1, 1, 1)
    padding: Sizes = (1, 1, 1)
    batch: int = 8


LAYERS = (  # 32x32 demo, and one of BAIR with 16 channels
    Layer("encoder stem", (16, 32, 32), 3, 16, (3, 7, 7), (2, 2, 2), (1, 3, 3)),
    Layer("temporal discriminator stem", (12, 32, 32), 3, 16, (3, 7, 7), (1, 2, 2), (1, 3, 3)),
    Layer("encoder stage", (8, 16, 16), 32, 32),
    Layer("encoder stride 2", (8, 16, 16), 32, 32, strides=(2, 2, 2)),
    Layer("encoder last", (1, 4, 4), 64, 64),
    Layer("decoder first", (2, 8, 8), 128, 128),
    Layer("decoder middle", (8, 32, 32), 32, 32),
    Layer("decoder last", (16, 32, 32), 8, 8),
    Layer("decoder output", (16, 32, 32), 8, 3),
    Layer("decoder last, 64x64", (16, 64, 64), 32, 16, batch=1),
    # of VGG at 64x64, where "sum of taps" is XLA's plain 2D convolution
    Layer("LPIPS first", (1, 64, 64), 64, 64, (1, 3, 3), padding=(0, 1, 1), batch=32),
    Layer("LPIPS second", (1, 32, 32), 128, 128, (1, 3, 3), padding=(0, 1, 1), batch=32),
    Layer("LPIPS third", (1, 16, 16), 256, 256, (1, 3, 3), padding=(0, 1, 1), batch=32),
)


def direct(x: jax.Array, kernel: jax.Array, layer: Layer) -> jax.Array:
    pads = [(p, p) for p in layer.padding]
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(x, kernel, layer.strides, pads, dimension_numbers=numbers)


def sum_over_taps(x: jax.Array, kernel: jax.Array, layer: Layer) -> jax.Array:
    taps, step, pad = layer.kernel_size[0], layer.strides[0], layer.padding[0]
    frames = (x.shape[1] + 2 * pad - taps) // step + 1
    padded = jnp.pad(x, [(0, 0), (pad, pad), (0, 0), (0, 0), (0, 0)])
    total = jnp.zeros(())
    for tap in range(taps):
        window = padded[:, tap : tap + step * (frames - 1) + 1 : step]
        flat = window.reshape(-1, *x.shape[2:])
        pads = [(p, p) for p in layer.padding[1:]]
        numbers = ("NHWC", "HWIO", "NHWC")
        total = total + jax.lax.conv_general_dilated(
            flat, kernel[tap], layer.strides[1:], pads, dimension_numbers=numbers
        )
    return total.reshape(x.shape[0], frames, *total.shape[1:])


def ours(x: jax.Array, kernel: jax.Array, layer: Layer) -> jax.Array:
    return convolution.convolve(x, kernel, layer.strides, layer.padding)


def channels(in_outputs: bool, x: jax.Array, kernel: jax.Array, layer: Layer) -> jax.Array:
    pads = tuple((p, p) for p in layer.padding)
    formulation = cpu_convolution.taps_in_outputs if in_outputs else cpu_convolution.taps_in_inputs
    return formulation(x, kernel, layer.strides, pads)


FORMULATIONS = {
    "XLA 3D": direct,
    "sum of taps": sum_over_taps,
    "taps in inputs": functools.partial(channels, False),
    "taps in outputs": functools.partial(channels, True),
    "convolve": ours,
}


def jax_runs(layer: Layer, x: np.ndarray, kernel: np.ndarray) -> tuple[dict[str, Run], dict[str, Run]]:
    arrays = jnp.asarray(x), jnp.asarray(kernel)

    def ready(function: Callable[..., Any]) -> Run:
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(*arrays))

    forward, training = {}, {}
    for name, formulation in FORMULATIONS.items():
        if name == "taps in outputs" and layer.strides[0] != 1:
            continue
        function = functools.partial(formulation, layer=layer)
        forward[name] = ready(function)
        training[name] = ready(
            jax.grad(lambda x, kernel, function=function: jnp.sum(jnp.square(function(x, kernel))), (0, 1))
        )
    return forward, training


def torch_runs(layer: Layer, x: np.ndarray, kernel: np.ndarray) -> tuple[Run, Run]:
    video = torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    weight = torch.tensor(kernel.transpose(4, 3, 0, 1, 2).copy(), requires_grad=True)

    def forward() -> torch.Tensor:
        return torch.nn.functional.conv3d(video, weight, None, layer.strides, layer.padding)

    def inference() -> None:
        with torch.no_grad():
            forward()

    return inference, lambda: torch.autograd.grad(forward().square().sum(), (video, weight))


def measure(layer: Layer, repeats: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(layer.batch, *layer.size, layer.channels)).astype(np.float32)
    kernel = rng.normal(size=(*layer.kernel_size, layer.channels, layer.features)).astype(np.float32)
    for kind, torch_run, runs in zip(
        ("inference", "training"), torch_runs(layer, x, kernel), jax_runs(layer, x, kernel), strict=True
    ):
        seconds = timing.interleaved({"PyTorch": torch_run, **runs}, repeats, PATIENCE)
        reference = seconds["PyTorch"]
        cells = [_ratios(reference, seconds.get(name)) for name in FORMULATIONS]
        print(
            f"{layer.name:21} {kind:9} {1e3 * reference.median:8.1f} ms  " + "  ".join(f"{c:>15}" for c in cells),
            flush=True,
        )


def _ratios(reference: timing.Seconds, seconds: timing.Seconds | None) -> str:
    if seconds is None:
        return f"{'-':>13} "
    wall, processor = reference.median / seconds.median, reference.median_processor / seconds.median_processor
    return f"{wall:5.2f} / {processor:5.2f} "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="layers whose name contains this")
    arguments = parser.parse_args()
    heading = "  ".join(f"{name:>15}" for name in FORMULATIONS)
    print(f"{'layer':21} {'':9} {'PyTorch':>11}  {heading}\n{'':45}wall-clock / processor time, PyTorch = 1")
    for layer in LAYERS:
        if arguments.only in layer.name:
            measure(layer, arguments.repeats)


if __name__ == "__main__":
    main()
