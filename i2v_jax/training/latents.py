"""The training clips of a stage encoded once by its frozen networks, instead of again at every step."""

import contextlib
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from i2v_jax import logs
from i2v_jax.distributed.mesh import global_batch, replicated
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.input.rows import rows_pipeline
from i2v_jax.tasks.base import Batch, Networks


@runtime_checkable
class EncodesClips(Protocol):
    """A task that needs of a clip no more than what its frozen networks make of it."""

    frozen: Networks
    kept_arrays: tuple[str, ...]  # further arrays of the batch that training needs

    def encode(self, networks: Networks, batch: Batch) -> Any:
        """Returns a dataclass of arrays [B, ...]. A batch that carries its fields needs no clips."""


def encoded_pipeline(task: EncodesClips, clips: Pipeline, mesh: Mesh, *, seed: int) -> Pipeline:
    """Returns a pipeline of encoded clips in place of clips.

    The frozen networks see one epoch of `clips`, augmented as in its first pass; the posterior is still sampled anew at
    every step. It pays where the augmentation is weak or the encoders are expensive.

    Each process reads its share of a batch, each device of `mesh` encodes its share, and every process gets all rows.
    """
    everywhere = replicated(mesh)

    def encode(frozen: Networks, batch: Batch) -> dict[str, jax.Array]:
        return {**vars(task.encode(frozen, batch)), **{name: batch[name] for name in task.kept_arrays}}

    program, frozen = jax.jit(encode, out_shardings=everywhere), jax.device_put(task.frozen, everywhere)
    parts: list[dict[str, np.ndarray]] = []
    every_clip = clips.keep_last()
    with contextlib.closing(every_clip.iterator()) as iterator:
        for _ in logs.progress(
            range(every_clip.steps_per_epoch), desc="encoding clips", unit="batch", disable=jax.process_index() > 0
        ):
            batch = next(iterator)
            needed = {name: batch[name] for name in ("video", *task.kept_arrays)}
            parts.append(jax.device_get(program(frozen, global_batch(needed, mesh))))
    rows = {name: np.concatenate([part[name] for part in parts])[: clips.num_clips] for name in parts[0]}
    return rows_pipeline(rows, batch_size=clips.global_batch_size, seed=seed, drop_last=clips.reader.order.drop_last)
