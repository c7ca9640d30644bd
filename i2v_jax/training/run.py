"""From a configuration to trained stages in a work directory."""

import contextlib
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from i2v_jax import bundle, files
from i2v_jax.commands import command
from i2v_jax.config import stage_data
from i2v_jax.data.registry import open_split, repeats
from i2v_jax.distributed import compile_cache, processes
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.errors import UserError
from i2v_jax.input import mixture
from i2v_jax.input.classes import ClassifiedSource
from i2v_jax.input.pipeline import Pipeline, make_pipeline
from i2v_jax.logs import logger
from i2v_jax.tasks import control, perceptual_loss, registry
from i2v_jax.tasks.base import Networks, Task
from i2v_jax.training import latents, memory, preflight
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.loop import Trainer
from i2v_jax.training.saved_networks import (
    averaged_variables,
    checkpoints_folder,
    chosen_step,
    described_choice,
    latest_intact_step,
    load_networks,
    saved_steps,
)
from i2v_jax.training.stage_run import StageRun
from i2v_jax.workdir import claim_workdir, lock_workdir


class Clips(NamedTuple):
    """The clips of a stage."""

    train: Pipeline
    evaluation: Pipeline  # held out
    others: Mapping[str, Pipeline]  # held out, of each further data set of a mixture


def train_stages(
    config: ConfigDict,
    workdir: str | os.PathLike[str],
    interruption: Interruption | None = None,
    profile_steps: range = range(0),
) -> bool:
    """Trains `config.stage`, or all of `config.stages` in order. Continues interrupted stages and skips finished ones.

    Args:
      config: see configs/fields.py.
      workdir: the folder to train in; it holds the checkpoints of one configuration.
      interruption: says when to save and stop; None: not before the end.
      profile_steps: the steps of each stage to trace, counted from 1, the first step that is taken now.
    Returns:
      False if the interruption stopped it; everything is saved then.
    Raises:
      UserError: a field of the configuration has an invalid value, the work directory belongs to another
        configuration, data or an earlier stage is missing, a loss is not finite, something cannot be written, or
        another process is training in the work directory.
    """
    bundle.require_folder(workdir, "it does not hold the state of training")
    folder = files.location(workdir)
    if profile_steps:
        files.require_local(workdir, "--workdir with --profile_steps")
    mesh = make_mesh(config.mesh)
    logger.info(processes.summary(mesh))
    processes.connect(mesh)
    preflight.check_config(config, mesh)
    if config.compile_cache:
        compile_cache.share(str(folder / "compiled") if config.compile_cache == "workdir" else config.compile_cache)
    clips = {name: _open_clips(config, name) for name in preflight.stages_to_train(config)}
    with contextlib.ExitStack() as held:
        processes.agree(lambda: _take_workdir(config, folder, held))
        return _train_stages(config, clips, folder, mesh, interruption or Interruption(), profile_steps)


def _take_workdir(config: ConfigDict, folder: pathlib.Path, held: contextlib.ExitStack) -> None:
    """Keeps others from training in a folder until `held` is closed, and makes it the folder of `config`."""
    held.enter_context(lock_workdir(folder))
    claim_workdir(config, folder)


def next_command(config: ConfigDict, workdir: str | os.PathLike[str]) -> str:
    """Returns the command that uses what `train_stages` trained, "" if there is none."""
    stage = registry.get(config.stage or config.stages[-1])
    if not stage.next_command:
        return ""
    name, *arguments = stage.next_command
    if stage.controlled and control.get(config.control).takes_pokes:
        arguments.append("--poke=X,Y,DX,DY")
    return command(name, f"--workdir={os.fspath(workdir)}", *arguments)


def _train_stages(
    config: ConfigDict,
    clips: Mapping[str, Clips],
    folder: pathlib.Path,
    mesh: Mesh,
    interruption: Interruption,
    profile_steps: range,
) -> bool:
    for name in clips:
        if interruption.begin() or not _train_stage(
            config, name, clips[name], folder, mesh, interruption, profile_steps
        ):
            return False
    return True


def _train_stage(
    config: ConfigDict,
    name: str,
    clips: Clips,
    folder: pathlib.Path,
    mesh: Mesh,
    interruption: Interruption,
    profile_steps: range,
) -> bool:
    """Trains one stage. Returns False if the interruption stopped it."""
    train = clips.train
    steps = config[name].steps or config[name].epochs * train.steps_per_epoch
    done = processes.agree(lambda: latest_intact_step(folder / name))
    if done >= steps:
        logger.info(f"{name}: finished already ({done} of {steps} steps), nothing to do")
        return True
    processes.agree(lambda: files.require_writable(checkpoints_folder(folder / name)))
    task = make_task(config, name, folder, train.steps_per_epoch)
    if "loss" in config[name]:
        field, distance = f"{name}.loss.perceptual_network", config[name].loss.perceptual_network
        recommended = registry.get(name).perceptual_network
        logger.info(f"{name}: {perceptual_loss.description(distance, field, recommended)}")
    if config[name].get("encode_once", False) and isinstance(task, latents.EncodesClips):
        train = latents.encoded_pipeline(task, train, mesh, seed=config.seed)
    stage = StageRun(
        name,
        task,
        train,
        clips.evaluation,
        steps,
        config,
        folder / name,
        classes=_class_names(config),
        others=clips.others,
        profile_steps=profile_steps,
    )
    finished = Trainer(stage, mesh, interruption).run()
    if not finished and jax.process_index() == 0:
        saved = max(saved_steps(folder / name))
        logger.info(f"{name}: stopped and saved after step {saved} of {steps}; the same command continues")
    return finished


def make_task(config: ConfigDict, name: str, workdir: pathlib.Path, steps_per_epoch: int) -> Task:
    """Returns the task of a stage. Raises UserError if weights or an earlier stage that it needs are missing."""
    stage = registry.get(name)
    trained = {needed: _trained(config, workdir, needed, name) for needed in stage.needs}
    return stage.task(registry.Ingredients(config, registry.build(config), trained, steps_per_epoch))


def _trained(config: ConfigDict, workdir: pathlib.Path, needed: str, stage: str) -> Networks:
    """Returns the networks of an earlier stage, of the checkpoint that `config.select` says."""
    folder, choice = workdir / needed, registry.selected(needed, config.select)
    try:  # as process 0 sees the checkpoints: file systems show files late to others
        step, described = processes.agree(lambda: (chosen_step(folder, choice), described_choice(folder, choice)))
        logger.info(f"{stage}: trains on {needed}, {described}")
        return averaged_variables(load_networks(folder, step=step))
    except UserError as error:
        raise UserError(
            f"stage {stage} needs stage {needed} in {workdir}: train it first (:stage={needed}); {error}",
            "stage",
            stage,
        ) from error


def _open_clips(config: ConfigDict, name: str) -> Clips:
    """Returns the clips of a stage. Raises UserError if it cannot be trained on them, or not on this machine."""
    stage, batch_size = registry.get(name), config[name].batch_size
    data, *more = parts = mixture.parts(stage_data(config, name))
    if more:
        train = mixture.mixed(
            [_pipeline(config, name, part, "train", 1) for part in parts],
            stage_data(config, name).mixture.weights,
            batch_size=batch_size,
            seed=config.seed,
            drop_last=config[name].drop_last,
            field=f"{name}.batch_size",
        )
    else:
        train = _pipeline(config, name, data, "train", batch_size)
    held_out = {part.name: _pipeline(config, name, part, "eval", _evaluation_batch(config, name)) for part in parts}
    if stage.controlled:
        preflight.check_control(config, train)
    if not stage.needs and jax.default_backend() == "cpu" and jax.process_count() == 1:
        at_once = config[name].batch_size // config[name].accumulate
        memory.check_memory(
            name,
            lambda: make_task(config, name, pathlib.Path(), train.steps_per_epoch),
            {
                array: jax.ShapeDtypeStruct((at_once, *leaf.shape[1:]), leaf.dtype)
                for array, leaf in train.batch_spec.items()
            },
            memory.machine_memory(),
        )
    return Clips(train, held_out.pop(data.name), held_out)


def _pipeline(config: ConfigDict, name: str, data: ConfigDict, split: str, batch_size: int) -> Pipeline:
    """Returns the clips that a stage takes from a split of one data set."""
    source = open_split(data, split)
    return make_pipeline(
        source,
        data,
        batch_size=batch_size,
        seed=config.seed,
        train=split == "train",
        drop_last=config[name].drop_last,
        repeats=repeats(data, source),
        field=f"{name}.batch_size",
    )


def _evaluation_batch(config: ConfigDict, name: str) -> int:
    """Returns the size of batches of held-out clips: that of training, or less if all devices need less together."""
    at_once = config[name].batch_size // config[name].accumulate
    clips, devices = config.train.evaluate_clips, jax.device_count()
    return min(at_once, devices * -(-clips // devices)) if clips else at_once


def _class_names(config: ConfigDict) -> tuple[str, ...]:
    """Returns the names of the rows of matrices among the metrics."""
    source = open_split(config.data, "train")
    return source.classes if isinstance(source, ClassifiedSource) else ()
