"""From a work directory to a generator. Which class a configuration's stages give is decided in `GENERATORS` alone."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CLIP_FRAMES, CinnNetworks
from i2v_jax.sampling.generator import Description, Generator
from i2v_jax.sampling.poke import PokeGenerator
from i2v_jax.tasks import control as controls
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Networks
from i2v_jax.tasks.poke import MODEL as POKE_NETWORKS
from i2v_jax.tasks.registry import Selection
from i2v_jax.training.saved_networks import Choice, averaged_variables, described_choice, load_config, load_networks
from i2v_jax.workdir import read_workdir

Trained = Mapping[str, Mapping[str, Any]]  # stage -> network -> variables


@dataclasses.dataclass(frozen=True)
class GeneratorKind:
    """How a generator is made of a configuration, and of what its stages trained."""

    describe: Callable[[ConfigDict], Description]  # equals `assemble(...).describe()`
    assemble: Callable[[ConfigDict, Trained, str], Generator]  # the arguments of `assemble`


def load_generator(
    workdir: str | os.PathLike[str], *, checkpoint: Selection | None = None, progress: bool = False
) -> Generator:
    """Returns the model that was trained in `workdir`, with averaged (EMA) parameters where training kept them.

    Args:
        workdir: of `launch.train`.
        checkpoint: "latest", "best", "release" (the one that the authors use) or a step, of the last stage; None: as
            `select` of the configuration says. Those of the other stages are the ones that it was trained with.
        progress: show a bar while videos are decoded.

    Raises:
        UserError: not a work directory of an image-to-video model; a stage is not trained yet; a checkpoint is missing
            or does not fit `config.json`.
    """
    config = read_workdir(workdir)
    _kind_of(config)
    return assemble(config, load_stages(config, workdir, checkpoint), str(workdir), progress=progress)


def describe(config: ConfigDict) -> Description:
    """Returns the description of this configuration's generator. Raises UserError if its stages make no videos."""
    return _kind_of(config).describe(config)


def assemble(config: ConfigDict, trained: Trained, origin: str, *, progress: bool = False) -> Generator:
    """Returns a generator of trained stages.

    Args:
        config: their configuration.
        trained: stage -> network -> variables.
        origin: where they come from, with which the message of an error starts.
        progress: show a bar while videos are decoded.

    Raises:
        UserError: a network is missing or has other shapes than `config` describes.
    """
    generator: Any = _kind_of(config).assemble(config, trained, origin)
    return dataclasses.replace(generator, progress=progress)


def register(stage: str, kind: GeneratorKind) -> None:
    """Adds the kind of a stage from outside the package. Raises UserError if the stage has another one."""
    if GENERATORS.setdefault(stage, kind) is not kind:
        raise UserError(f"a generator for stage {stage!r} is already registered: choose another name", "name", stage)


def load_stages(
    config: ConfigDict, workdir: str | os.PathLike[str], checkpoint: Selection | None = None
) -> dict[str, Networks]:
    """Returns stage -> network -> variables of a work directory, averaged where averages were kept.

    Arguments and errors as of `load_generator`; a stage that was trained at another size is one, too.
    """
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
    chosen, folder = chosen_checkpoints(config, checkpoint), files.location(workdir)
    return [f"{stage}: {described_choice(folder / stage, choice)}" for stage, choice in chosen.items()]


def _kind_of(config: ConfigDict) -> GeneratorKind:
    for stage in reversed(config.stages):
        if stage in GENERATORS:
            return GENERATORS[stage]
    raise UserError(
        f"the stages {', '.join(config.stages)} make no videos: a model needs one of {', '.join(GENERATORS)}",
        field="stages",
        value=tuple(config.stages),
    )


def _describe_cinn(config: ConfigDict) -> Description:
    z_dim = config.video_vae.encoder.z_dim
    control = controls.get(config.control)
    return Description(config.data.size, CLIP_FRAMES, control, deterministic=False, latent_dimensions=z_dim)


def _assemble_cinn(config: ConfigDict, trained: Trained, origin: str) -> CinnGenerator:
    modules = registry.build(config)
    size, z_dim, control = config.data.size, config.video_vae.encoder.z_dim, controls.get(config.control)
    frame, latent = jnp.zeros((1, size, size, 3)), jnp.zeros((1, z_dim))
    width = config.image_ae.encoder.z_dim + control.width
    # field of `CinnNetworks` -> stage and name of its network, and example arguments
    sources: dict[str, tuple[str, str, tuple[jax.Array, ...]]] = {
        "encoder": ("video_vae", "encoder", (jnp.zeros((1, CLIP_FRAMES, size, size, 3)),)),
        "decoder": ("video_vae", "decoder", (frame, latent)),
        "image_encoder": ("image_ae", "encoder", (frame,)),
        "flow": ("flow", "flow", (latent, jnp.zeros((1, width)))),
    }
    chosen: dict[str, Any] = dict.fromkeys(sources)
    variables: dict[str, Any] = {}
    for field, (stage, name, example) in sources.items():
        if stage not in config.stages:
            continue
        _check_name(name, trained[stage], f"{origin}/{stage}")
        chosen[field], variables[field] = modules[stage][name], trained[stage][name]
        _check_shapes(chosen[field], variables[field], example, f"{origin}/{stage}: {name}")
    return CinnGenerator(CinnNetworks(**chosen), variables, size=size, z_dim=z_dim, control=control)


def _describe_poke(config: ConfigDict) -> Description:
    impulse = config.data.poke.normalize == "impulse"
    return Description(config.data.size, config.data.frames - 1, controls.POKE, deterministic=True, impulse=impulse)


def _assemble_poke(config: ConfigDict, trained: Trained, origin: str) -> PokeGenerator:
    modules: dict[str, Any] = registry.build(config)["poke"]
    for name in POKE_NETWORKS:
        _check_name(name, trained["poke"], f"{origin}/poke")
    about = _describe_poke(config)
    model = PokeModel(**{name: modules[name] for name in POKE_NETWORKS}, frames=about.frames)
    variables = {"params": {name: trained["poke"][name]["params"] for name in POKE_NETWORKS}}
    example = (jnp.zeros((1, about.size, about.size, 3)), jnp.zeros((1, about.size, about.size, 2)))
    _check_shapes(model, variables, example, f"{origin}/poke: the model")
    return PokeGenerator(
        model,
        variables,
        size=about.size,
        poke_size=config.data.poke.poke_size,
        frames=about.frames,
        impulse=about.impulse,
    )


def _check_name(name: str, trained: Mapping[str, Any], origin: str) -> None:
    if name not in trained:
        raise UserError(
            f"{origin}: the checkpoint has no network {name!r} but {', '.join(trained)}: it is of another stage, train "
            "this one again",
            field="checkpoint",
            value=origin,
        )


def _check_shapes(module: nn.Module, variables: Any, example: tuple[jax.Array, ...], origin: str) -> None:
    expected = jax.eval_shape(module.init, jax.random.key(0), *example)
    needed = {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(dict(expected), sep="/").items()}
    found = {path: leaf.shape for path, leaf in flax.traverse_util.flatten_dict(variables, sep="/").items()}
    different = sorted(path for path in needed | found if needed.get(path) != found.get(path))
    if different:
        path = different[0]
        raise UserError(
            f"{origin} does not fit config.json in {len(different)} arrays ({path}: found {found.get(path)}, "
            f"needed {needed.get(path)}): it was trained with another configuration, for example another size",
            field="checkpoint",
            value=origin,
        )


# Stage -> the generator of configurations that have it; the last stage of a configuration that is here decides.
GENERATORS: dict[str, GeneratorKind] = {
    "poke": GeneratorKind(_describe_poke, _assemble_poke),
    "video_vae": GeneratorKind(_describe_cinn, _assemble_cinn),
}
