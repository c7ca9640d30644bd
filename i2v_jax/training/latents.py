"""The flow's training clips encoded once, instead of again at every step."""

import contextlib

import jax
import numpy as np
import tqdm

from i2v_jax.input.pipeline import Pipeline
from i2v_jax.input.rows import rows_pipeline
from i2v_jax.tasks.flow import Flow
from i2v_jax.training.interrupt import Interruption


def encoded_pipeline(task: Flow, clips: Pipeline, interruption: Interruption, *, seed: int) -> Pipeline | None:
    """A pipeline of posteriors, embeddings and what the control is made of, in place of clips; None when asked to stop.

    The frozen encoders see one epoch of `clips`, augmented as drawn for its first pass; the posterior is still sampled
    anew at every step. Worth it where the augmentation is weak or the encoders are dear.
    """
    encode = jax.jit(task.encode)
    parts: list[dict[str, np.ndarray]] = []
    with contextlib.closing(clips.iterator(process=(0, 1))) as iterator:
        for _ in tqdm.tqdm(
            range(clips.steps_per_epoch), desc="flow: encoding clips", unit="batch", disable=jax.process_index() > 0
        ):
            if interruption.reached():
                return None
            batch = next(iterator)
            encoded = jax.device_get(encode(task.frozen, {"video": batch["video"]}))
            asked = {name: batch[name] for name in task.control.arrays}
            parts.append({"mean": encoded.mean, "logvar": encoded.logvar, "embedding": encoded.embedding, **asked})
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return rows_pipeline(rows, batch_size=clips.global_batch_size, seed=seed)
