"""Saves and restores checkpoints: state, data position and resolved configuration, complete or not at all.

No other file but `saved_networks.py`, which reads them, uses Orbax.
"""

import json
import logging
import math
import operator
import os
import pathlib
import traceback
from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.training.integrity import IMPORTED, write_checksums
from i2v_jax.training.saved_networks import SCORE, checkpoints_folder, first_line, saved_steps, scores
from i2v_jax.training.state import TrainState, split

# A checkpoint that is no longer kept is moved to this folder, and removed from there while the next one is written: a
# process that is killed while it removes files leaves no part of a checkpoint among the others.
_DELETED = "deleted"


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
        self._folder = checkpoints_folder(folder)
        self._best, self._sign = best, 1 if highest else -1
        self._saving = -1  # the step whose checkpoint is being written
        for name in ("absl", "asyncio"):
            logging.getLogger(name).addFilter(_WITHOUT_TRACEBACKS)
        by_score = operator.itemgetter(SCORE)
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
                todelete_subdir=_DELETED,
                async_options=_in_background(self._before_commit),
            ),
        )
        self._empty_deleted()  # a killed process may have left some
        self._highest_score = max(scores(folder).values(), default=-math.inf)

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
        scored = {**metrics, SCORE: score} if math.isfinite(score) else None
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
        except Exception as error:  # a bare one if an array is cut
            path = self._folder / str(step)
            if other := _difference(path / "networks", networks):
                raise UserError(
                    f"checkpoint {path} is intact, but was saved by a different configuration ({other}): "
                    "continue with that one, or use another --workdir",
                    "config",
                    other,
                ) from error
            raise UserError(
                f"checkpoint {path} cannot be restored ({first_line(error)}): "
                "delete that folder to continue from the previous one, or use another --workdir",
                "workdir",
                str(path),
            ) from error
        state = TrainState(opt_state=restored.optimizer["opt_state"], **restored.networks)
        return state, restored.data

    def is_saving(self) -> bool:
        """Returns whether a checkpoint is being written."""
        return self._manager.is_saving_in_progress()

    def raise_failure(self) -> None:
        """Raises UserError if the last save has failed in the background. Waits for none that is still running."""
        if not self.is_saving():
            self.wait()

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
            self._empty_deleted()

    def _before_commit(self) -> None:
        """Runs on process 0 in the background, when a checkpoint is written but not yet listed."""
        self._empty_deleted()
        _add_checksums(self._folder, self._saving)

    def _empty_deleted(self) -> None:
        """Removes the files of checkpoints that are no longer listed."""
        if jax.process_index() == 0 and not files.is_in_bucket(self._folder):
            files.remove_folder(self._folder / _DELETED)

    def _write_error(self, error: Exception) -> UserError:
        saved = saved_steps(self._folder.parent)
        earlier = f"the one of step {saved[-1]} is intact" if saved else "none is there yet"
        return UserError(
            f"cannot write a checkpoint to {self._folder} ({first_line(error)}): {earlier}; {files.remedy(error)}, "
            "then the same command continues",
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
    root = checkpoints_folder(folder)
    args = ocp.args.Composite(
        networks=ocp.args.PyTreeSave(networks), config=ocp.args.JsonSave(json.loads(config.to_json_best_effort()))
    )
    options = ocp.CheckpointManagerOptions(async_options=_in_background(lambda: _add_checksums(root, IMPORTED)))
    try:
        with ocp.CheckpointManager(root, options=options) as manager:
            manager.save(IMPORTED, args=args)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write a checkpoint to {root} ({first_line(error)})", "workdir", str(root)) from error


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


def _divide(state: TrainState) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what sampling needs, and the rest. As two items, the first can be read alone."""
    networks = {"step": state.step, "params": state.params, "model_state": state.model_state, "ema": state.ema}
    return networks, {"opt_state": state.opt_state}


def _restore_args(abstract: dict[str, Any]) -> ocp.args.PyTreeRestore:
    return ocp.args.PyTreeRestore(item=abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract))
