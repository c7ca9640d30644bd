"""Reads what a `Checkpointer` wrote: networks and configuration of one of a stage's checkpoints.

It waits for no other process. Functions import Orbax, which takes a while and which the file of a model does not need.
"""

import json
import os
import pathlib
from typing import Any, Literal

import jax
import numpy as np

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.training.integrity import CONFIG, IMPORTED, METRICS, NETWORKS, damage, set_damaged_aside

Choice = Literal["latest", "best"] | int  # one of a stage's checkpoints; a number is a step
# The best checkpoint has the highest value of this metric. Training derives it from the metric that it selects by, with
# the sign changed if low values are better.
SCORE = "score"


def latest_intact_step(folder: str | os.PathLike[str]) -> int:
    """Returns the step of a stage's newest checkpoint whose checksums fit, 0 if there is none.

    Damaged ones are moved to `folder/damaged`.

    Raises:
      UserError: a damaged checkpoint cannot be moved.
    """
    return set_damaged_aside(checkpoints_folder(folder), saved_steps(folder))


def saved_steps(folder: str | os.PathLike[str]) -> list[int]:
    """Returns the steps of a stage's complete checkpoints, in order. It waits for no other process."""
    import orbax.checkpoint as ocp

    root = checkpoints_folder(folder)
    return sorted(ocp.utils.checkpoint_steps(root)) if root.is_dir() else []


def load_networks(folder: str | os.PathLike[str], *, step: Choice = "latest") -> dict[str, Any]:
    """Returns the networks of a stage's checkpoint as NumPy arrays, on any number of devices.

    Args:
      folder: a stage's folder in a work directory.
      step: the latest checkpoint, the best by the metric that training selected by, or that of a step.
    Returns:
      "step", and "params", "model_state", "ema": network name -> nested dict.
    Raises:
      UserError: there is no complete checkpoint, or not that one.
    """
    import orbax.checkpoint as ocp

    checkpoint = checkpoints_folder(folder) / str(chosen_step(folder, step))
    path = _intact(checkpoint, NETWORKS)
    try:
        with ocp.PyTreeCheckpointer() as reader:
            saved = reader.metadata(path).item_metadata.tree
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved)
            return reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    except (ValueError, KeyError, OSError, AttributeError) as error:
        raise _read_error(checkpoint, first_line(error)) from error


def _intact(checkpoint: pathlib.Path, item: str) -> pathlib.Path:
    """Returns the folder of an item of a checkpoint. Raises UserError if its checksums do not fit."""
    if found := damage(checkpoint, item):
        raise _read_error(checkpoint, found)
    return checkpoint / item


def _read_error(checkpoint: pathlib.Path, problem: str) -> UserError:
    return UserError(
        f"checkpoint {checkpoint} is damaged ({problem}): choose another one, or run {command('train')} with its "
        "--workdir, which moves damaged checkpoints aside and continues from the one before",
        "workdir",
        str(checkpoint),
    )


def load_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the resolved configuration of a stage's latest checkpoint. Raises the errors of `load_networks`."""
    import orbax.checkpoint as ocp

    checkpoint = checkpoints_folder(folder) / str(chosen_step(folder, "latest"))
    path = _intact(checkpoint, CONFIG)
    try:
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            return reader.restore(path)
    except (ValueError, OSError) as error:
        raise _read_error(checkpoint, first_line(error)) from error


def checkpoints_folder(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the folder of a stage's checkpoints, absolute as Orbax wants it."""
    root = files.location(folder) / "checkpoints"
    return root if files.is_in_bucket(root) else root.absolute()


def chosen_step(folder: str | os.PathLike[str], choice: Choice) -> int:
    """Returns the step of one of a stage's checkpoints. An imported one is the best as long as none was evaluated.

    Raises:
      UserError: there is no complete checkpoint, or not that one.
    """
    steps = saved_steps(folder)
    if not steps:
        message = f"no complete checkpoint in {folder}: train that stage with {command('train')}"
        raise UserError(message, "workdir", str(folder))
    there = ", ".join(map(str, steps))
    if choice == "latest" or (choice == "best" and steps == [IMPORTED]):
        return steps[-1]
    if choice == "best":
        by_step = scores(folder)
        if not by_step:
            message = f"no checkpoint in {folder} was evaluated: use the latest, or one of {there}"
            raise UserError(message, "checkpoint", choice)
        return max(by_step, key=by_step.__getitem__)
    if choice not in steps:
        raise UserError(f"no checkpoint {choice} in {folder}: there are {there}", "checkpoint", choice)
    return choice


def described_choice(folder: str | os.PathLike[str], choice: Choice) -> str:
    """Returns what `chosen_step` returns and why, like "step 40, the best by nll". Raises the errors of `chosen_step`.

    Of several metrics that have the score of the best checkpoint, the first is named.
    """
    step = chosen_step(folder, choice)
    if choice != "best":
        return f"step {step}, the latest" if choice == "latest" else f"step {step}"
    if step == IMPORTED:
        return "as imported"
    metrics = json.loads(_metrics_file(folder, step).read_bytes())
    by = next((name for name, value in metrics.items() if name != SCORE and abs(value) == abs(metrics[SCORE])), "")
    return f"step {step}, the best by {by}" if by else f"step {step}, the best"


def _metrics_file(folder: str | os.PathLike[str], step: int) -> pathlib.Path:
    return checkpoints_folder(folder) / str(step) / METRICS / "metrics"


def scores(folder: str | os.PathLike[str]) -> dict[int, float]:
    """Returns step -> score of a stage's checkpoints that have one."""
    found = {}
    for step in saved_steps(folder):
        path = _metrics_file(folder, step)
        try:
            found[step] = float(json.loads(path.read_bytes())[SCORE])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning(f"{path} cannot be read ({first_line(error)}): checkpoint {step} counts as not evaluated")
    return found


def averaged_variables(networks: dict[str, Any]) -> dict[str, Any]:
    """Returns network name -> variables of `load_networks`, with averaged parameters where they are kept."""
    params = {**networks["params"], **networks["ema"]}
    return {name: {"params": tree, **networks["model_state"].get(name, {})} for name, tree in params.items()}


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
