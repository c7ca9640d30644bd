"""The training step of every stage, optimizer included, against plain eager PyTorch; and how long ours compiles.

    python -m benchmarks.training_steps [--size=demo] [--repeats=5] [--only=flow] [--out=FILE.json] [--quick]
    python -m benchmarks.training_steps --size=bair --peak_tflops=989      (a GPU; the peak of the card in bfloat16)

Sizes: `demo` (configs/sky.py:demo), `bair16` (BAIR with a quarter of the channels, small batches), both float32, and
`bair` (configs/bair.py in bfloat16, for a GPU). Ours are the programs that training/loop.py compiles, gradient norms
and averaged parameters included; PyTorch's (benchmarks/torch_steps.py) do without those and are float32, with
TensorFloat-32 on a GPU. LPIPS has random weights on both sides. The ResNet-18 for 32x32 of the demo's image autoencoder
does not exist in PyTorch: compare that stage at `bair16`.

"Compile" is tracing and compiling, seconds: cold, and again from the persistent cache. GFLOP are those of the products
and convolutions of PyTorch's step; both sides' TFLOP/s are that number over the median time.
"""
# ruff: noqa: E402 (libraries are imported after their settings)

import argparse
import os
import pathlib
import tempfile
from typing import Any

from benchmarks import timing

_CACHE = tempfile.TemporaryDirectory(prefix="i2v_jax_benchmark_")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name  # an empty cache, whatever the user has
timing.configure_libraries()

import jax
import torch

from benchmarks import torch_stages
from benchmarks.stages import STAGES, CompiledStage, make_batch, make_config


def compile_twice(config: Any, stage: str, table: timing.Table) -> CompiledStage:
    """Returns the stage, after compiling it with an empty cache and again from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = CompiledStage(config, stage, pathlib.Path(folder, "cold"))
        jax.clear_caches()
        again = CompiledStage(config, stage, pathlib.Path(folder, "cached"))
        for each in (compiled, again):
            each.close()
    for name, seconds in compiled.compile_seconds.items():
        table.note(f"{stage}: compile {name}", cold=seconds, cached=again.compile_seconds[name])
    cold, cached = (sum(each.compile_seconds.values()) for each in (compiled, again))
    table.note(f"{stage}: compile, all", cold=cold, cached=cached)
    return compiled


def achieved(name: str, flops: int, seconds: timing.Seconds, peak_tflops: float) -> dict[str, float]:
    tflops = flops / seconds.median / 1e12
    share = {f"{name}_share_of_peak": tflops / peak_tflops} if peak_tflops else {}
    return {f"{name}_TFLOPs": tflops, **share}


def compare(config: Any, stage: str, repeats: int, peak_tflops: float, table: timing.Table) -> None:
    ours = compile_twice(config, stage, table).runs()
    theirs = torch_stages.make_runs(config, stage, make_batch(config, stage), timing.torch_device())
    for updates, run in ours.items():
        if updates not in theirs:
            table.add(stage, updates, None, timing.interleaved({"JAX": run}, repeats)["JAX"])
            continue
        flops = torch_stages.count_flops(theirs[updates])
        seconds = timing.interleaved({"PyTorch": timing.waiting(theirs[updates]), "JAX": run}, repeats)
        speeds = achieved("PyTorch", flops, seconds["PyTorch"], 0.0) | achieved(
            "JAX", flops, seconds["JAX"], peak_tflops
        )
        table.add(stage, updates, seconds["PyTorch"], seconds["JAX"], GFLOP=flops / 1e9, **speeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("demo", "bair16", "bair"), default="demo")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="stages whose name contains this")
    parser.add_argument("--peak_tflops", type=float, default=0.0, help="peak of the device, to print the share reached")
    parser.add_argument("--out", default="", help="JSON file for the results")
    parser.add_argument("--quick", action="store_true", help="narrowest networks, one repeat: a smoke test")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    size, repeats = ("quick", 1) if arguments.quick else (arguments.size, arguments.repeats)
    config = make_config(size)
    table = timing.Table(f"Training steps, {size}, JAX in {config.dtype}")
    for stage in STAGES:
        if arguments.only in stage:
            compare(config, stage, repeats, arguments.peak_tflops, table)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    table.write(arguments.out)


if __name__ == "__main__":
    main()
