"""Features of FVD: clips per second of I3D against the same network in plain eager PyTorch with the same weights.

    python -m benchmarks.metrics [--batch=2] [--frames=16] [--repeats=5] [--out=FILE.json] [--quick]

Clips are noise at 224x224. For "difference", see benchmarks.networks.
"""
# ruff: noqa: E402 (libraries are imported after their settings)

import argparse
from typing import Any

from benchmarks import timing

timing.configure_libraries()

import jax
import torch

from benchmarks import torch_networks
from benchmarks.networks import Network, compare_inference, converted, normal

SIZE = 224


def features(batch: int, frames: int, size: int) -> Network:
    theirs = torch_networks.I3D()
    for layer in theirs.modules():  # with PyTorch's own initialization the signal vanishes, and with it any difference
        if isinstance(layer, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    ours, variables = converted(theirs, "i3d", {})

    def call(variables: Any, train: bool, video: jax.Array) -> Any:
        return ours.apply(variables, video).logits

    return Network("I3D", theirs, theirs, variables, call, (normal(batch, frames, size, size, 3),), trained=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="", help="JSON file for the results")
    parser.add_argument("--quick", action="store_true", help="one small clip, one repeat: a smoke test")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    batch, size, repeats = (1, 64, 1) if arguments.quick else (arguments.batch, SIZE, arguments.repeats)
    table = timing.Table(f"FVD features, {batch} clips of {arguments.frames} frames, float32")
    network = features(batch, arguments.frames, size)
    network.module.to(timing.torch_device())
    seconds = compare_inference(network, repeats, table)
    table.note("clips per second", **{name: batch / taken.median for name, taken in seconds.items()})
    table.write(arguments.out)


if __name__ == "__main__":
    main()
