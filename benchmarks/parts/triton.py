"""Whether the compiler's Triton kernels take the decoder's odd products.

Without a device to try them on, XLA's GPU compiler finds no tile sizes for SPADE's resizing, a product of a few rows
("Couldn't find output tile sizes"), unless its products are left to cuBLAS (--xla_gpu_enable_triton_gemm=false).
"""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import timing
from i2v_jax.models.video_decoder import SpadeModulation

# The decoder's maps from the start frame: (height and width, channels) of each block of BAIR's.
BLOCKS = ((4, 1024), (8, 1024), (16, 1024), (32, 512), (64, 256), (64, 128))
SIZE = 64
FLAG = "xla_gpu_enable_triton_gemm"


def modulation_gradients(blocks: list[tuple[int, int]], variables: Any, start_frame: jax.Array) -> Any:
    """Returns the gradients of all blocks' SPADE maps of start frames [B, H, W, 3] in bfloat16."""

    def total(variables: Any, start_frame: jax.Array) -> jax.Array:
        maps = [
            SpadeModulation(channels, jnp.bfloat16).apply(variables[index], start_frame, size, size)
            for index, (size, channels) in enumerate(blocks)
        ]
        return sum(jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(maps))

    return jax.grad(total, argnums=(0, 1))(variables, start_frame.astype(jnp.bfloat16))


def check(batch: int, triton: bool, quick: bool) -> dict[str, Any]:
    """Returns what compiling the maps' gradients for a batch says, and how long that and a call take.

    Args:
      batch: start frames.
      triton: whether the compiler may use Triton for products.
      quick: for a sixteenth of the channels.

    Raises:
      jax.errors.JaxRuntimeError: the compiler fails.
    """
    start_frame = jax.random.uniform(jax.random.key(0), (batch, SIZE, SIZE, 3))
    blocks = [(size, channels // 16 if quick else channels) for size, channels in BLOCKS]
    variables = [
        jax.jit(SpadeModulation(channels).init, static_argnums=(2, 3))(jax.random.key(1), start_frame[:1], size, size)
        for size, channels in blocks
    ]
    began = time.perf_counter()
    # Only where it is switched off: the default of a compiler for another platform may be an unknown option.
    options = {} if triton else {FLAG: False}
    program = jax.jit(functools.partial(modulation_gradients, blocks)).lower(variables, start_frame).compile(options)
    compile_seconds = time.perf_counter() - began
    numbers = timing.alone(lambda: jax.block_until_ready(program(variables, start_frame)), quick)
    kernels = program.as_text().count("__triton")
    return {"compiles": True, "compile_s": compile_seconds, **numbers, "triton_kernels": kernels}
