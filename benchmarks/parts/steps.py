"""Training steps at full width: ours as `training.loop` compiles them, PyTorch's eager and through `torch.compile`."""

import dataclasses
import functools
import gc
import time
from collections.abc import Callable
from typing import Any

import jax
import torch
from ml_collections import ConfigDict
from torch import nn

from benchmarks import timing, torch_stages
from benchmarks.parts.results import Results
from benchmarks.stages import CompiledStage, full_config, make_batch
from i2v_jax.training.cost import program_cost
from i2v_jax.training.peaks import peak_flops

# The updates of each stage, first without adversarial ones, as both sides call them.
UPDATES = {
    "video_vae": ("pretraining", "discriminators + generator"),
    "image_ae": ("pretraining", "generator + discriminator"),
    "flow": ("likelihood",),
    "poke": ("static + dynamic", "static + dynamic_adversarial + discriminators"),
}
# Who computes a step, and in what type. On a GPU, products of float32 arrays are in TensorFloat-32; PyTorch's bfloat16
# is autocast.
SIDES = ("jax_bfloat16", "jax_float32", "eager_float32", "eager_bfloat16", "compiled_float32", "compiled_bfloat16")
GIB = 2**30
Seconds = dict[tuple[str, str], dict[str, float]]  # (name of a workload, type) -> what compiling its program took


@dataclasses.dataclass(frozen=True)
class Workload:
    """The training step of a stage with some updates.

    Attributes:
      data: of `benchmarks.stages.DATA`.
      stage: of that model, in `UPDATES`.
      updates: of that stage.
      batches: the batch size, in batches of the configuration.
    """

    data: str
    stage: str
    updates: str
    batches: int = 1

    @property
    def name(self) -> str:
        return f"{self.data} {self.stage}, {self.updates}" + (f", {self.batches} x batch" if self.batches > 1 else "")

    def config(self, dtype: str, quick: bool) -> ConfigDict:
        config = full_config(self.data, quick)
        config.dtype = dtype
        config[self.stage].batch_size *= self.batches
        return config


class Bench:
    """Measures workloads. Programs and state of the last one serve the next one where they can.

    Attributes:
      quick: whether networks are narrow.
      compile_seconds: of the programs that are in the cache; the others cannot be measured.
    """

    def __init__(self, results: Results, quick: bool) -> None:
        self._results, self.quick = results, quick
        self.compile_seconds: Seconds = {}
        self._device = timing.torch_device()
        self._peak = peak_flops(jax.devices()[0].device_kind)
        self._of: tuple[Any, ...] = ()
        self._stage: CompiledStage | None = None

    def stage(self, workload: Workload, dtype: str) -> CompiledStage:
        """Returns the stage with the workload's program, from the cache unless the last one was the same."""
        of = (workload.data, workload.stage, dtype, workload.batches)
        if self._stage is None or self._of != of:
            state = self._stage.state if self._stage and self._of[:2] == of[:2] else None
            self.forget()
            self._stage = CompiledStage(workload.config(dtype, self.quick), workload.stage, steps=(), state=state)
            self._of = of
        self._stage.compile(UPDATES[workload.stage].index(workload.updates))
        return self._stage

    def forget(self) -> None:
        """Frees programs and state."""
        if self._stage:
            self._stage.close()
        self._stage, self._of = None, ()
        gc.collect()

    def measure(self, part: str, workload: Workload, side: str) -> None:
        """Adds time, memory and compile time of one of `SIDES` to the workload's row."""
        who, dtype = side.split("_")
        if who == "jax":
            numbers = self._ours(workload, dtype)
        else:
            numbers = self._theirs(part, workload, compiled=who == "compiled", dtype=dtype)
        self._results.add(part, workload.name, **{side: numbers})
        self._derive(part, workload)
        if who == "jax":
            cost = program_cost(self.stage(workload, dtype).programs[workload.updates])
            numbers |= {"program_gflop": cost.flops / 1e9, "program_gb": cost.bytes / 1e9}
            self._results.write()

    def _ours(self, workload: Workload, dtype: str) -> dict[str, float]:
        if (workload.name, dtype) not in self.compile_seconds:
            raise RuntimeError("its program is not compiled")
        stage = self.stage(workload, dtype)
        memory = stage.programs[workload.updates].memory_analysis()
        return {
            **timing.alone(stage.runs()[workload.updates], self.quick),
            **self.compile_seconds[workload.name, dtype],
            "arguments_gib": memory.argument_size_in_bytes / GIB,
            "temporaries_gib": memory.temp_size_in_bytes / GIB,
            "memory_gib": (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / GIB,
        }

    def _theirs(self, part: str, workload: Workload, compiled: bool, dtype: str) -> dict[str, float]:
        """Returns PyTorch's numbers; with eager float32, also adds batch size and operations to the row."""
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        config = workload.config("float32", self.quick)
        batch = make_batch(config, workload.stage)
        with self._device:
            adapt = self._compile if compiled else (lambda module: None)
            step = torch_stages.make_runs(config, workload.stage, batch, self._device, adapt)[workload.updates]
        run = timing.waiting(functools.partial(_autocast, step, self._device.type) if dtype == "bfloat16" else step)
        if not compiled and dtype == "float32":
            flop = torch_stages.count_flops(step)
            self._results.add(part, workload.name, batch=config[workload.stage].batch_size, gflop=flop / 1e9)
        began = time.perf_counter()
        for _ in range(2):  # the second step compiles again what the first has initialized
            run()
        compile_seconds = {"compile_s": time.perf_counter() - began} if compiled else {}
        memory = {"memory_gib": torch.cuda.max_memory_allocated() / GIB} if on_gpu else {}
        return {**timing.alone(run, self.quick), **compile_seconds, **memory}

    def _compile(self, module: nn.Module) -> None:
        import torch._functorch.config as functorch

        functorch.donated_buffer = False  # the adaptive weight walks back through one graph three times
        module.compile(backend="aot_eager" if self.quick else "inductor")

    def _derive(self, part: str, workload: Workload) -> None:
        """Adds what follows from the row: examples and operations per second, share of peak, and ratios to PyTorch."""
        row = self._results.row(workload.name)
        if "gflop" not in row:
            return
        for side in (side for side in SIDES if side in row):
            numbers = row[side]
            numbers["examples_per_s"] = row["batch"] / numbers["median_s"]
            numbers["tflops"] = row["gflop"] / 1e3 / numbers["median_s"]
            if self._peak:
                numbers["share_of_peak"] = 1e12 * numbers["tflops"] / self._peak_of(side)
            if "eager_float32" in row:
                numbers["times_eager"] = row["eager_float32"]["median_s"] / numbers["median_s"]
        self._results.write()

    def _peak_of(self, side: str) -> float:
        """Returns the peak for the type of a side: on NVIDIA's cards, that of TensorFloat-32 is half of bfloat16's."""
        assert self._peak is not None
        return self._peak / 2 if side.endswith("float32") and self._device.type == "cuda" else self._peak


def _autocast(run: Callable[[], object], device: str) -> None:
    with torch.autocast(device, torch.bfloat16):
        run()
