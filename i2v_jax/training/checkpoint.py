"""Saves and restores checkpoints: state, data position and resolved configuration, complete or not at all.

No other file uses Orbax.
"""

import json
import logging
import math
import operator
import os
import pathlib
import traceback
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.training.integrity import CONFIG, IMPORTED, METRICS, NETWORKS, damage, set_damaged_aside, write_checksums
from i2v_jax.training.state import TrainState, split

# The best checkpoint has the highest value of this metric. Training derives it from the metric that it selects by, with
# the sign changed if low values are better.
_SCORE = "score"
Choice = Literal["latest", "best"] | int  # one of a stage's checkpoints; a number is a step


class _WithoutTracebacks(logging.Filter):
    """Drops the tracebacks that Orbax logs: the exception is raised again and becomes one line here."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return True
        files = [record.pathname, *(frame.filename for frame in traceback.extract_tb(record.exc_info[2]))]
        return not any("orbax" in pathlib.Path(file).parts for file in files)


_WITHOUT_TRACEBACKS = _WithoutTracebacks()


class Checkpointer:
    """The checkpoints of a stage, `folder/checkpoints/STEP`: the latest `keep`, and the best.

    The best one has the lowest metric `best`, or with `highest` the highest.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int, best: str, highest: bool = False) -> None:
        self._folder = _root(folder)
        self._best, self._sign = best, 1 if highest else -1
        self._saving = -1  # the step whose checkpoint is being written
        for name in ("absl", "asyncio"):
            logging.getLogger(name).addFilter(_WITHOUT_TRACEBACKS)
        by_score = operator.itemgetter(_SCORE)
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                save_decision_policy=policies.FixedIntervalPolicy(1),  # the loop decides when
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(get_metric_fn=by_score, n=1, keep_checkpoints_without_metrics=False),
                    ]
                ),
                best_fn=by_score,  # without it, metrics are not written, and a resumed run forgets the best
                cleanup_tmp_directories=True,  # that a killed process left
                async_options=_in_background(lambda: _add_checksums(self._folder, self._saving)),
            ),
        )
        self._highest_score = max(_scores(folder).values(), default=-math.inf)

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def is_best(self, metrics: dict[str, float]) -> bool:
        """Returns whether metrics are better than those of every checkpoint so far; False if `best` is missing."""
        return self._score(metrics) > self._highest_score

    def _score(self, metrics: dict[str, float]) -> float:
        value = self._sign * metrics[self._best] if self._best in metrics else -math.inf
        return value if math.isfinite(value) else -math.inf

    def save(self, state: TrainState, position: dict[str, Any], config: ConfigDict, metrics: dict[str, float]) -> None:
        """Writes a checkpoint in the background; an incomplete one is never listed.

        Args:
          state: with any sharding.
          position: of the data pipeline, as JSON.
          config: the resolved configuration.
          metrics: from the evaluation of this state; may be empty.
        Raises:
          UserError: the previous checkpoint could not be written (disk full, no permission).
        """
        networks, optimizer = _divide(state)
        args = ocp.args.Composite(
            networks=ocp.args.PyTreeSave(networks),
            optimizer=ocp.args.PyTreeSave(optimizer),
            data=ocp.args.JsonSave(position),
            config=ocp.args.JsonSave(json.loads(config.to_json_best_effort())),
        )
        score = self._score(metrics)
        self._highest_score = max(self._highest_score, score)
        scored = {**metrics, _SCORE: score} if math.isfinite(score) else None
        try:
            self._manager.wait_until_finished()
            self._saving = int(state.step)
            self._manager.save(self._saving, args=args, metrics=scored)
        except (OSError, ValueError) as error:
            raise self._write_error(error) from error

    def restore(self, abstract: TrainState, step: int) -> tuple[TrainState, dict[str, Any]]:
        """Returns (state, data position) of checkpoint `step`.

        Args:
          abstract: ShapeDtypeStructs with the shardings wanted, which may differ from those saved.
          step: one of the saved steps.
        Raises:
          UserError: the checkpoint cannot be read, or has other networks.
        """
        networks, optimizer = _divide(abstract)
        args = ocp.args.Composite(
            networks=_restore_args(networks),
            optimizer=_restore_args(optimizer),
            data=ocp.args.JsonRestore(),
        )
        try:
            restored = self._manager.restore(step, args=args)
        except (ValueError, KeyError, FileNotFoundError, OSError) as error:
            path = self._folder / str(step)
            if other := _difference(path / "networks", networks):
                raise UserError(
                    f"checkpoint {path} is intact, but was saved by a different configuration ({other}): "
                    "continue with that one, or use another --workdir",
                    "config",
                    other,
                ) from error
            raise UserError(
                f"checkpoint {path} cannot be restored ({_first_line(error)}): "
                "delete that folder to continue from the previous one, or use another --workdir",
                "workdir",
                str(path),
            ) from error
        state = TrainState(opt_state=restored.optimizer["opt_state"], **restored.networks)
        return state, restored.data

    def is_saving(self) -> bool:
        """Returns whether a checkpoint is being written."""
        return self._manager.is_saving_in_progress()

    def wait(self) -> None:
        """Waits until everything is on disk. Raises UserError if it cannot be written."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise self._write_error(error) from error

    def close(self) -> None:
        """Waits like `wait`, and ends the threads that write, without which the process would not end."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def _write_error(self, error: Exception) -> UserError:
        return UserError(
            f"cannot write a checkpoint to {self._folder} ({_first_line(error)}): earlier checkpoints are intact; "
            f"{files.remedy(error)}, then the same command continues",
            "workdir",
            str(self._folder),
        )


def _difference(path: pathlib.Path, wanted: dict[str, Any]) -> str:
    """Describes the first saved array that differs from `wanted`; empty if none does, or if nothing can be read."""
    try:
        with ocp.PyTreeCheckpointer() as reader:
            saved = reader.metadata(path).item_metadata.tree
    except (ValueError, KeyError, OSError, AttributeError):
        return ""
    there, here = (
        {name: tuple(leaf.shape) for name, leaf in flatten_dict(tree, sep="/").items() if hasattr(leaf, "shape")}
        for tree in (saved, wanted)
    )
    different = sorted(name for name in there | here if there.get(name) != here.get(name))
    return "".join(
        f"{name}: {there.get(name, 'absent')} there, {here.get(name, 'absent')} here" for name in different[:1]
    )


def save_imported(folder: str | os.PathLike[str], variables: dict[str, Any], config: ConfigDict) -> None:
    """Writes networks that were trained elsewhere as checkpoint 0 of a stage, without optimizer and data position.

    Args:
      folder: a stage's folder in a work directory.
      variables: network name -> variables.
      config: the resolved configuration.
    Raises:
      UserError: the checkpoint could not be written.
    """
    params, model_state = split(variables)
    networks = {"step": 0, "params": params, "model_state": model_state, "ema": {}}
    root = _root(folder)
    args = ocp.args.Composite(
        networks=ocp.args.PyTreeSave(networks), config=ocp.args.JsonSave(json.loads(config.to_json_best_effort()))
    )
    options = ocp.CheckpointManagerOptions(async_options=_in_background(lambda: _add_checksums(root, IMPORTED)))
    try:
        with ocp.CheckpointManager(root, options=options) as manager:
            manager.save(IMPORTED, args=args)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write a checkpoint to {root} ({_first_line(error)})", "workdir", str(root)) from error


def _in_background(before_commit: Callable[[], None]) -> ocp.AsyncOptions:
    # If a folder that is made in the background cannot be made, threads wait for it in vain and the process never ends.
    return ocp.AsyncOptions(create_directories_asynchronously=False, post_finalization_callback=before_commit)


def _add_checksums(root: pathlib.Path, step: int) -> None:
    """Adds checksums to a checkpoint that is being written; Orbax calls it on process 0, before the commit.

    A bucket needs none: the store keeps a checksum of each object, by which what is read and written is checked.
    """
    if files.is_in_bucket(root):
        return
    (path,) = (path for path in root.iterdir() if path.name.split(".")[0] == str(step))
    write_checksums(path)


def latest_intact_step(folder: str | os.PathLike[str]) -> int:
    """Returns the step of a stage's newest checkpoint whose checksums fit, 0 if there is none.

    Damaged ones are moved to `folder/damaged`.

    Raises:
      UserError: a damaged checkpoint cannot be moved.
    """
    return set_damaged_aside(_root(folder), saved_steps(folder))


def saved_steps(folder: str | os.PathLike[str]) -> list[int]:
    """Returns the steps of a stage's complete checkpoints, in order. It waits for no other process."""
    root = _root(folder)
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
    checkpoint = _checkpoint_folder(folder, step)
    path = _intact(checkpoint, NETWORKS)
    try:
        with ocp.PyTreeCheckpointer() as reader:
            saved = reader.metadata(path).item_metadata.tree
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved)
            return reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    except (ValueError, KeyError, OSError, AttributeError) as error:
        raise _read_error(checkpoint, _first_line(error)) from error


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
    checkpoint = _checkpoint_folder(folder, "latest")
    path = _intact(checkpoint, CONFIG)
    try:
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            return reader.restore(path)
    except (ValueError, OSError) as error:
        raise _read_error(checkpoint, _first_line(error)) from error


def _root(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the folder of a stage's checkpoints, absolute as Orbax wants it."""
    root = files.location(folder) / "checkpoints"
    return root if files.is_in_bucket(root) else root.absolute()


def _checkpoint_folder(folder: str | os.PathLike[str], choice: Choice) -> pathlib.Path:
    root, steps = _root(folder), saved_steps(folder)
    if not steps:
        message = f"no complete checkpoint in {folder}: train that stage with {command('train')}"
        raise UserError(message, "workdir", str(folder))
    there = ", ".join(map(str, steps))
    if choice == "latest":
        return root / str(steps[-1])
    if choice == "best":
        scores = _scores(folder)
        if not scores:
            message = f"no checkpoint in {folder} was evaluated: use the latest, or one of {there}"
            raise UserError(message, "checkpoint", choice)
        return root / str(max(scores, key=scores.__getitem__))
    if choice not in steps:
        raise UserError(f"no checkpoint {choice} in {folder}: there are {there}", "checkpoint", choice)
    return root / str(choice)


def _scores(folder: str | os.PathLike[str]) -> dict[int, float]:
    """Returns step -> score of a stage's checkpoints that have one."""
    scores = {}
    for step in saved_steps(folder):
        path = _root(folder) / str(step) / METRICS / "metrics"
        try:
            scores[step] = float(json.loads(path.read_bytes())[_SCORE])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning(f"{path} cannot be read ({_first_line(error)}): checkpoint {step} counts as not evaluated")
    return scores


def averaged_variables(networks: dict[str, Any]) -> dict[str, Any]:
    """Returns network name -> variables of `load_networks`, with averaged parameters where they are kept."""
    params = {**networks["params"], **networks["ema"]}
    return {name: {"params": tree, **networks["model_state"].get(name, {})} for name, tree in params.items()}


def _divide(state: TrainState) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what sampling needs, and the rest. As two items, the first can be read alone."""
    networks = {"step": state.step, "params": state.params, "model_state": state.model_state, "ema": state.ema}
    return networks, {"opt_state": state.opt_state}


def _restore_args(abstract: dict[str, Any]) -> ocp.args.PyTreeRestore:
    return ocp.args.PyTreeRestore(item=abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
