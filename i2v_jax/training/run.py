"""From a configuration to trained stages in a work directory."""

import os
import pathlib

import jax
import tqdm
from jax.sharding import Mesh
from ml_collections import ConfigDict

from i2v_jax.config import claim_workdir, sole_user
from i2v_jax.data.registry import open_split
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.errors import UserError
from i2v_jax.input.classes import ClassifiedSource
from i2v_jax.input.pipeline import Pipeline, make_pipeline
from i2v_jax.tasks import control, networks, perceptual_loss
from i2v_jax.tasks.base import Networks, Task
from i2v_jax.tasks.classifier import Classifier
from i2v_jax.tasks.flow import Flow
from i2v_jax.tasks.image_ae import ImageAE
from i2v_jax.tasks.poke import Poke
from i2v_jax.tasks.video_vae import VideoVAE
from i2v_jax.training import latents, preflight
from i2v_jax.training.checkpoint import Checkpointer, averaged_variables, load_networks
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.loop import Stage, Trainer


def train_stages(config: ConfigDict, workdir: str | os.PathLike[str]) -> bool:
    """Trains `config.stage`, or all of `config.stages` in order; continues what was interrupted, skips what is done.

    Args:
      config: see configs/common.py.
      workdir: made if needed; one configuration each.
    Returns:
      False when it was asked to stop (SIGTERM, Ctrl-C); everything is saved then.
    Raises:
      UserError: a field of the configuration cannot be what it is, the work directory is of another configuration,
        data or an earlier stage is missing, a loss is not a number, something cannot be written, another process is
        training there.
    """
    folder = pathlib.Path(workdir)
    mesh = make_mesh(config.mesh)
    preflight.check_config(config, mesh)
    if "flow" in config.stages and control.get(config.control).arrays:
        preflight.check_control(config, _pipeline(config, "video_vae", "train"))  # whose clips are those of the flow
    with Interruption() as interruption:
        if jax.process_index() > 0:
            return _train_stages(config, folder, mesh, interruption)
        with sole_user(folder):
            claim_workdir(config, folder)
            return _train_stages(config, folder, mesh, interruption)


def _train_stages(config: ConfigDict, folder: pathlib.Path, mesh: Mesh, interruption: Interruption) -> bool:
    for name in (config.stage,) if config.stage else config.stages:
        if not interruption.reached():
            _train_stage(config, name, folder, mesh, interruption)
        if interruption.reached():
            tqdm.tqdm.write(f"{name}: stopped and saved; the same command continues")
            return False
    return True


def _train_stage(config: ConfigDict, name: str, folder: pathlib.Path, mesh: Mesh, interruption: Interruption) -> None:
    train, evaluation = (_pipeline(config, name, split) for split in ("train", "eval"))
    steps = config[name].steps or config[name].epochs * train.steps_per_epoch
    done = _steps_done(config, name, folder)
    if done >= steps:
        tqdm.tqdm.write(f"{name}: finished already ({done} of {steps} steps), nothing to do")
        return
    task = make_task(config, name, folder, train.steps_per_epoch)
    if "loss" in config[name]:
        tqdm.tqdm.write(f"{name}: {perceptual_loss.description(config[name].loss.perceptual_network, name)}")
    if isinstance(task, Flow) and config.flow.encode_once:
        encoded = latents.encoded_pipeline(task, train, interruption, seed=config.seed)
        if encoded is None:
            return
        train = encoded
    stage = Stage(name, task, train, evaluation, steps, config, folder / name, _class_names(config))
    Trainer(stage, mesh, interruption).run()


def make_task(config: ConfigDict, stage: str, workdir: pathlib.Path, steps_per_epoch: int) -> Task:
    """The task of a stage. Raises UserError when weights or an earlier stage that it needs are missing."""
    modules = networks.build(config)
    if stage == "classifier":
        return Classifier(config, modules[stage])
    if stage == "video_vae":
        return VideoVAE(config, modules[stage], steps_per_epoch)
    if stage == "image_ae":
        return ImageAE(config, modules[stage], steps_per_epoch)
    if stage == "poke":
        return Poke(config, modules[stage])
    vae, image = _trained(workdir, "video_vae"), _trained(workdir, "image_ae")
    frozen_modules = {
        "video_encoder": modules["video_vae"]["encoder"],
        "video_decoder": modules["video_vae"]["decoder"],
        "image_encoder": modules["image_ae"]["encoder"],
    }
    frozen = {"video_encoder": vae["encoder"], "video_decoder": vae["decoder"], "image_encoder": image["encoder"]}
    return Flow(config, modules[stage], frozen_modules, frozen)


def _trained(workdir: pathlib.Path, stage: str) -> Networks:
    try:
        return averaged_variables(load_networks(workdir / stage))
    except UserError as error:
        raise UserError(
            f"stage flow needs stage {stage} in {workdir}: train it first (:stage={stage}); {error}"
        ) from error


def _pipeline(config: ConfigDict, stage: str, split: str) -> Pipeline:
    """The clips of a stage; the image autoencoder sees single frames."""
    data = config.data.copy_and_resolve_references()
    if stage == "image_ae":
        data.frames = 1
    batch_size = config[stage].batch_size
    source = open_split(data, split)
    return make_pipeline(source, data, batch_size=batch_size, seed=config.seed, train=split == "train")


def _class_names(config: ConfigDict) -> tuple[str, ...]:
    """Of the rows of matrices among the metrics."""
    source = open_split(config.data, "train")
    return source.classes if isinstance(source, ClassifiedSource) else ()


def _steps_done(config: ConfigDict, stage: str, workdir: pathlib.Path) -> int:
    if not (workdir / stage / "checkpoints").is_dir():
        return 0
    checkpointer = Checkpointer(workdir / stage, keep=config.train.keep, best="")
    done = checkpointer.latest_step() or 0
    checkpointer.close()
    return done
