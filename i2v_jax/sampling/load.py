"""From a work directory to a synthesizer."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer
from i2v_jax.sampling.synthesizer import CLIP_FRAMES, VideoSynthesizer
from i2v_jax.tasks import control, registry
from i2v_jax.tasks.base import Networks
from i2v_jax.tasks.poke import MODEL as POKE_NETWORKS
from i2v_jax.training.checkpoint import Choice, averaged_variables, load_config, load_networks
from i2v_jax.workdir import read_workdir


def load_synthesizer(
    workdir: str | os.PathLike[str], progress: bool = False, checkpoint: Choice = "latest"
) -> VideoSynthesizer:
    """The networks that were trained in `workdir`, with averaged (EMA) parameters where they were kept.

    `checkpoint` is that of the last stage, as in `load_stages`.

    Raises:
        UserError: not a work directory, or that of a poke model; a stage that is not trained yet; a checkpoint that
            is not there, or does not fit `config.json`.
    """
    config = read_workdir(workdir)
    stages = load_stages(config, workdir, checkpoint)
    if is_poke_model(config):
        raise UserError(f"{workdir} holds a poke model: give it pokes, {command('sample', '--poke=x,y,dx,dy')}")
    return assemble(config, stages, origin=str(workdir), progress=progress)


def load_poke_synthesizer(
    workdir: str | os.PathLike[str], progress: bool = False, checkpoint: Choice = "latest"
) -> PokeSynthesizer:
    """As `load_synthesizer`, of a poke model."""
    config = read_workdir(workdir)
    stages = load_stages(config, workdir, checkpoint)
    if not is_poke_model(config):
        raise UserError(f"{workdir} holds no poke model: train one, for example with --config=configs/plants.py")
    return assemble_poke(config, stages["poke"], origin=str(workdir), progress=progress)


def is_poke_model(config: ConfigDict) -> bool:
    """Whether a configuration is of the poke model, rather than of the cINN."""
    return "poke" in config.stages


def load_stages(
    config: ConfigDict, workdir: str | os.PathLike[str], checkpoint: Choice = "latest"
) -> dict[str, Networks]:
    """Stage -> network -> variables, averaged where averages were kept, of a work directory with this configuration.

    `checkpoint` ("latest", "best" or a step) is that of the last stage; it was trained with the latest of the others.

    Raises:
        UserError: a stage is not trained yet, has no such checkpoint, or was trained at another size.
    """
    folder = pathlib.Path(workdir)
    missing = [stage for stage in config.stages if not (folder / stage / "checkpoints").is_dir()]
    if missing:
        raise UserError(
            f"{folder}: not trained yet: {', '.join(missing)}; "
            f"run {command('train', '--config=...', f'--workdir={folder}')}, which trains what is missing"
        )
    for stage in config.stages:
        trained = load_config(folder / stage)["data"]["size"]
        if trained != config.data.size:  # convolutions fit any size: the shapes of the arrays do not tell
            raise UserError(
                f"{folder / stage} was trained at {trained} pixels, but config.json says {config.data.size}: restore it"
            )
    chosen: dict[str, Choice] = {**dict.fromkeys(config.stages, "latest"), config.stages[-1]: checkpoint}
    return {stage: averaged_variables(load_networks(folder / stage, step=chosen[stage])) for stage in config.stages}


def assemble(
    config: ConfigDict, stages: Mapping[str, Mapping[str, Any]], origin: str, progress: bool = False
) -> VideoSynthesizer:
    """A synthesizer from trained stages: stage -> network -> variables.

    Raises:
        UserError: a network is missing or has other shapes than `config` describes; the message starts with `origin`.
    """
    modules = registry.build(config)
    size, z_dim = config.data.size, config.video_vae.encoder.z_dim
    frame = jnp.zeros((1, size, size, 3))
    latent = jnp.zeros((1, z_dim))
    controlled_by = control.get(config.control)
    width = config.image_ae.encoder.z_dim + controlled_by.width
    # field of the synthesizer -> where its network comes from, and what it is called with
    sources: dict[str, tuple[str, str, tuple[jax.Array, ...]]] = {
        "encoder": ("video_vae", "encoder", (jnp.zeros((1, CLIP_FRAMES, size, size, 3)),)),
        "decoder": ("video_vae", "decoder", (frame, latent)),
        "image_encoder": ("image_ae", "encoder", (frame,)),
        "flow": ("flow", "flow", (latent, jnp.zeros((1, width)))),
    }
    chosen: dict[str, nn.Module] = {}
    variables: dict[str, Any] = {}
    for field, (stage, name, example) in sources.items():
        if stage not in config.stages:
            continue
        _check_name(name, stages[stage], f"{origin}/{stage}")
        chosen[field], variables[field] = modules[stage][name], stages[stage][name]
        _check_shapes(chosen[field], variables[field], example, f"{origin}/{stage}: {name}")
    return VideoSynthesizer(
        encoder=chosen["encoder"],
        decoder=chosen["decoder"],
        image_encoder=chosen.get("image_encoder"),
        flow=chosen.get("flow"),
        variables=variables,
        size=size,
        z_dim=z_dim,
        control=controlled_by,
        progress=progress,
    )


def assemble_poke(
    config: ConfigDict, trained: Mapping[str, Any], origin: str, progress: bool = False
) -> PokeSynthesizer:
    """A synthesizer from the trained networks of the stage poke: network -> variables. Raises as `assemble`."""
    modules: dict[str, Any] = registry.build(config)["poke"]
    for name in POKE_NETWORKS:
        _check_name(name, trained, f"{origin}/poke")
    size, frames = config.data.size, config.data.frames - 1
    model = PokeModel(**{name: modules[name] for name in POKE_NETWORKS}, frames=frames)
    variables = {"params": {name: trained[name]["params"] for name in POKE_NETWORKS}}
    example = (jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 2)))
    _check_shapes(model, variables, example, f"{origin}/poke: the model")
    return PokeSynthesizer(
        model=model,
        variables=variables,
        size=size,
        poke_size=config.data.poke.poke_size,
        frames=frames,
        impulse=config.data.poke.normalize == "impulse",
        progress=progress,
    )


def _check_name(name: str, trained: Mapping[str, Any], origin: str) -> None:
    if name not in trained:
        raise UserError(f"{origin}: the checkpoint holds no {name}, it is not one of this stage: train it again")


def _check_shapes(module: nn.Module, variables: Any, example: tuple[jax.Array, ...], origin: str) -> None:
    expected = jax.eval_shape(module.init, jax.random.key(0), *example)
    needed = {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(dict(expected), sep="/").items()}
    found = {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(variables, sep="/").items()}
    different = sorted(path for path in needed | found if needed.get(path) != found.get(path))
    if different:
        path = different[0]
        raise UserError(
            f"{origin} does not fit config.json in {len(different)} arrays ({path}: found {found.get(path)}, "
            f"needed {needed.get(path)}): it was trained with another configuration, for example another size"
        )
