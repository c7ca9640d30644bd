"""The trained networks of a work directory or of the file of a model, and which checkpoints they are.

Arguments of all functions: `workdir`, the work directory or the file; `config`, what `read_workdir` returns of it; and
`checkpoint`, as of `load.load_generator`.
"""

import os
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from i2v_jax import bundle, files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Networks
from i2v_jax.tasks.registry import Selection
from i2v_jax.training.saved_networks import (
    Choice,
    averaged_variables,
    chosen_step,
    described_choice,
    load_config,
    load_networks,
)


def load_stages(
    config: ConfigDict, workdir: str | os.PathLike[str], checkpoint: Selection | None = None
) -> dict[str, Networks]:
    """Returns stage -> network -> variables of a trained model, averaged where averages were kept.

    Those of a file are float32, and only the networks that generating needs. Arguments and errors as of
    `load_generator`; a stage that was trained at another size is one, too.
    """
    if bundle.is_bundle(workdir):
        described = described_checkpoints(config, workdir, checkpoint)
        logger.info(f"{workdir}: {'; '.join(described)}")
        return _stages_of_file(workdir)
    folder = files.location(workdir)
    missing = [stage for stage in config.stages if not (folder / stage / "checkpoints").is_dir()]
    if missing:
        raise UserError(
            f"{folder}: not trained yet: {', '.join(missing)}; "
            f"run {command('train', '--config=...', f'--workdir={folder}')}, which trains what is missing",
            field="stages",
            value=tuple(missing),
        )
    for stage in config.stages:
        size = load_config(folder / stage)["data"]["size"]
        if size != config.data.size:  # convolutions fit any size: the shapes of the arrays do not tell
            raise UserError(
                f"{folder / stage} was trained at {size} pixels, but config.json says {config.data.size}: "
                "restore config.json",
                field="data.size",
                value=config.data.size,
            )
    chosen = chosen_checkpoints(config, checkpoint)
    logger.info(f"{folder}: {'; '.join(described_checkpoints(config, folder, checkpoint))}")
    return {stage: averaged_variables(load_networks(folder / stage, step=chosen[stage])) for stage in config.stages}


def chosen_checkpoints(config: ConfigDict, checkpoint: Selection | None = None) -> dict[str, Choice]:
    """Returns stage -> which of its checkpoints a generator is made of; the arguments are those of `load_stages`."""
    selections = dict.fromkeys(config.stages, config.select)
    if checkpoint is not None:
        selections[config.stages[-1]] = checkpoint
    return {stage: registry.selected(stage, selection) for stage, selection in selections.items()}


def described_checkpoints(
    config: ConfigDict, workdir: str | os.PathLike[str], checkpoint: Selection | None = None
) -> list[str]:
    """Returns the checkpoint of each stage, like "flow: step 40, the best by nll"; arguments as of `load_stages`."""
    if bundle.is_bundle(workdir):
        return list(_only_checkpoint(workdir, checkpoint).checkpoints)
    chosen, folder = chosen_checkpoints(config, checkpoint), files.location(workdir)
    return [f"{stage}: {described_choice(folder / stage, choice)}" for stage, choice in chosen.items()]


def last_step(config: ConfigDict, workdir: str | os.PathLike[str], checkpoint: Selection | None = None) -> int:
    """Returns the step of the last stage's checkpoint; arguments as of `load_stages`."""
    if bundle.is_bundle(workdir):
        return _only_checkpoint(workdir, checkpoint).step
    last = config.stages[-1]
    return chosen_step(files.location(workdir) / last, chosen_checkpoints(config, checkpoint)[last])


def model_name(workdir: str | os.PathLike[str]) -> str:
    """Returns what a trained model is called: the name of its work directory, or of its file without the suffix."""
    return bundle.located(workdir).stem if bundle.is_bundle(workdir) else files.location(workdir).resolve().name


def variables_sha256(variables: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of all arrays, see `bundle.arrays_sha256`."""
    return bundle.arrays_sha256(flax.traverse_util.flatten_dict(dict(variables), sep="/"))


def _only_checkpoint(path: str | os.PathLike[str], checkpoint: Selection | None) -> bundle.Card:
    """Returns the card of a file. Raises UserError if another checkpoint is requested than the one that it holds."""
    card = bundle.read_card(path)
    if checkpoint is not None:
        raise UserError(
            f"--checkpoint={checkpoint}: {path} holds only one ({card.checkpoints[-1]}): leave --checkpoint out",
            "checkpoint",
            checkpoint,
        )
    return card


def _stages_of_file(path: str | os.PathLike[str]) -> dict[str, Networks]:
    arrays = {name: as_trained(array) for name, array in bundle.read_arrays(path).items()}
    return flax.traverse_util.unflatten_dict(arrays, sep="/")


def as_trained(array: np.ndarray) -> np.ndarray:
    """Returns an array as training has it: floating-point numbers as float32."""
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array
