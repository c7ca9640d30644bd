"""What the GPU compiler's settings cost: its time, and that of what it makes.

XLA chooses kernels by trying them. For matrix products and for fusions, some of the candidates are Triton kernels, each
of which has to be compiled first. Every setting is tried in a process of its own with an empty cache: within a process,
XLA reuses what it has chosen before.

The program is the gradient of the maps that SPADE computes from the start frame, in every block of BAIR's decoder. Its
resizing is a product with a few rows, for which Triton finds no tile sizes without a card ("Couldn't find output tile
sizes").
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.parts.results import Results

PRODUCTS, FUSIONS = "--xla_gpu_enable_triton_gemm", "--xla_gpu_experimental_enable_fusion_autotuner"
UNCHECKED = "--xla_gpu_autotune_level=2"  # candidates are timed, but their results are not compared
SETTINGS = {
    "Triton products and fusions": f"{PRODUCTS}=true {FUSIONS}=true",
    "Triton fusions": f"{PRODUCTS}=false {FUSIONS}=true",
    "no Triton": f"{PRODUCTS}=false {FUSIONS}=false",
    "no Triton, unchecked": f"{PRODUCTS}=false {FUSIONS}=false {UNCHECKED}",
}
SECONDS = 60.0  # at most for each setting
# The decoder's maps from the start frame: (height and width, channels) of each block of BAIR's.
BLOCKS = ((4, 1024), (8, 1024), (16, 1024), (32, 512), (64, 256), (64, 128))
SIZE, BATCH = 64, 10


def compare(results: Results, quick: bool) -> None:
    """Adds a row for each setting; `quick`: for the last two."""
    for name in list(SETTINGS)[2:] if quick else SETTINGS:
        with tempfile.TemporaryDirectory(prefix="i2v_jax_settings_") as cache:
            flags = f"{os.environ.get('XLA_FLAGS', '')} {SETTINGS[name]}"
            environment = {**os.environ, "XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": cache}
            command = [sys.executable, "-m", "benchmarks.parts.settings", *(["--quick"] if quick else [])]
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                results.add("settings", name, message=f"took more than {SECONDS:.0f} s")
                continue
        if done.returncode:
            results.add("settings", name, message=done.stderr.strip().splitlines()[-1][:500])
        else:
            results.add("settings", name, **json.loads(done.stdout.splitlines()[-1]))


def measure(quick: bool) -> dict[str, float]:
    """Returns the seconds of compiling the program and of calling it; `quick`: with a sixteenth of the channels."""
    import jax

    from benchmarks import timing
    from i2v_jax.models.video_decoder import SpadeModulation

    start_frame = jax.random.uniform(jax.random.key(0), (BATCH, SIZE, SIZE, 3))
    blocks = [(size, channels // 16 if quick else channels) for size, channels in BLOCKS]
    variables = [
        jax.jit(SpadeModulation(channels).init, static_argnums=(2, 3))(jax.random.key(1), start_frame[:1], size, size)
        for size, channels in blocks
    ]
    program = jax.jit(functools.partial(_gradients, blocks)).lower(variables, start_frame)
    began = time.perf_counter()
    compiled = program.compile()
    compile_seconds = time.perf_counter() - began
    numbers = timing.alone(lambda: jax.block_until_ready(compiled(variables, start_frame)), quick)
    return {"compile_s": compile_seconds, **numbers, "triton_kernels": compiled.as_text().count("__triton")}


def _gradients(blocks: list[tuple[int, int]], variables: Any, start_frame: Any) -> Any:
    """Returns the gradients of all blocks' SPADE maps of start frames [B, H, W, 3] in bfloat16."""
    import jax
    import jax.numpy as jnp

    from i2v_jax.models.video_decoder import SpadeModulation

    def total(variables: Any, start_frame: jax.Array) -> jax.Array:
        maps = [
            SpadeModulation(channels, jnp.bfloat16).apply(variables[index], start_frame, size, size)
            for index, (size, channels) in enumerate(blocks)
        ]
        return sum(jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(maps))

    return jax.grad(total, argnums=(0, 1))(variables, start_frame.astype(jnp.bfloat16))


if __name__ == "__main__":
    from benchmarks.timing import configure_libraries

    configure_libraries()
    print(json.dumps(measure("--quick" in sys.argv)))
