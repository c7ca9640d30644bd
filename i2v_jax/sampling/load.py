"""From a work directory, or the file of a model, to a generator.

Which class the stages of a configuration give is decided in `GENERATORS` alone.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2v_jax import bundle
from i2v_jax.errors import UserError
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CLIP_FRAMES, CinnNetworks
from i2v_jax.sampling.generator import Description, Generator
from i2v_jax.sampling.poke import PokeGenerator
from i2v_jax.sampling.stages import load_stages
from i2v_jax.tasks import control as controls
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Networks
from i2v_jax.tasks.poke import MODEL as POKE_NETWORKS
from i2v_jax.tasks.registry import Selection
from i2v_jax.workdir import read_workdir

Trained = Mapping[str, Mapping[str, Any]]  # stage -> network -> variables


@dataclasses.dataclass(frozen=True)
class GeneratorKind:
    """How a generator is made of a configuration, and of what its stages trained."""

    describe: Callable[[ConfigDict], Description]  # equals `assemble(...).describe()`
    assemble: Callable[[ConfigDict, Trained, str], Generator]  # the arguments of `assemble`
    # (stage, network) of all that it uses, if the configuration has the stage; empty: all networks of all stages
    networks: tuple[tuple[str, str], ...] = ()


def load_generator(
    workdir: str | os.PathLike[str],
    *,
    checkpoint: Selection | None = None,
    progress: bool = False,
    quick: bool = False,
) -> Generator:
    """Returns the model that was trained in `workdir`, with averaged (EMA) parameters where training kept them.

    Args:
        workdir: of `launch.train`, or the file of a model: `launch.bundle` wrote it, or it is bundled:NAME.
        checkpoint: "latest", "best", "release" (the one that the authors use) or a step, of the last stage; None: as
            `select` of the configuration says. Those of the other stages are the ones that it was trained with. A file
            holds one checkpoint: None.
        progress: show a bar while videos are decoded.
        quick: compile in a fifth of the time, to half of the speed on a CPU: for about `generator.FEW` videos.

    Raises:
        UserError: not a work directory of an image-to-video model; a stage is not trained yet; a checkpoint is missing
            or does not fit `config.json`; a file is missing, damaged, or does not fit the configuration in it.
    """
    config = read_workdir(workdir)
    _kind_of(config)
    trained = load_stages(config, workdir, checkpoint)
    if bundle.is_bundle(workdir):
        _check_networks(config, trained, str(workdir))
    return assemble(config, trained, str(workdir), progress=progress, quick=quick)


def describe(config: ConfigDict) -> Description:
    """Returns the description of this configuration's generator. Raises UserError if its stages make no videos."""
    return _kind_of(config).describe(config)


def assemble(
    config: ConfigDict, trained: Trained, origin: str, *, progress: bool = False, quick: bool = False
) -> Generator:
    """Returns a generator of trained stages.

    Args:
        config: their configuration.
        trained: stage -> network -> variables.
        origin: where they come from, with which the message of an error starts.
        progress, quick: see `load_generator`.

    Raises:
        UserError: a network is missing or has other shapes than `config` describes.
    """
    generator: Any = _kind_of(config).assemble(config, trained, origin)
    return dataclasses.replace(generator, progress=progress, quick=quick)


def register(stage: str, kind: GeneratorKind) -> None:
    """Adds the kind of a stage from outside the package. Raises UserError if the stage has another one."""
    if GENERATORS.setdefault(stage, kind) is not kind:
        raise UserError(f"a generator for stage {stage!r} is already registered: choose another name", "name", stage)


def generating(config: ConfigDict, trained: Trained) -> dict[str, Networks]:
    """Returns those of the trained networks that the configuration's generator uses."""
    used = _kind_of(config).networks
    return {
        stage: {name: variables for name, variables in networks.items() if not used or (stage, name) in used}
        for stage, networks in trained.items()
    }


def _check_networks(config: ConfigDict, trained: Trained, origin: str) -> None:
    """Raises UserError if a file has no network of its configuration's generator, or others."""
    used = {f"{stage}/{name}" for stage, name in _kind_of(config).networks if stage in config.stages}
    found = {f"{stage}/{name}" for stage, networks in trained.items() for name in networks}
    if used and (different := sorted(used ^ found)):
        words = ", ".join(f"{name} is {'missing' if name in used else 'not used'}" for name in different)
        raise UserError(f"{origin} does not fit the configuration in it: {words}", "workdir", origin)


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


# Field of `CinnNetworks` -> stage and name of its network. Motion transfer and likelihoods need the video encoder.
_CINN_NETWORKS = {
    "encoder": ("video_vae", "encoder"),
    "decoder": ("video_vae", "decoder"),
    "image_encoder": ("image_ae", "encoder"),
    "flow": ("flow", "flow"),
}


def _assemble_cinn(config: ConfigDict, trained: Trained, origin: str) -> CinnGenerator:
    modules = registry.build(config)
    size, z_dim, control = config.data.size, config.video_vae.encoder.z_dim, controls.get(config.control)
    frame, latent = jnp.zeros((1, size, size, 3)), jnp.zeros((1, z_dim))
    width = config.image_ae.encoder.z_dim + control.width
    examples: dict[str, tuple[jax.Array, ...]] = {
        "encoder": (jnp.zeros((1, CLIP_FRAMES, size, size, 3)),),
        "decoder": (frame, latent),
        "image_encoder": (frame,),
        "flow": (latent, jnp.zeros((1, width))),
    }
    chosen: dict[str, Any] = dict.fromkeys(_CINN_NETWORKS)
    variables: dict[str, Any] = {}
    for field, (stage, name) in _CINN_NETWORKS.items():
        if stage not in config.stages:
            continue
        _check_name(name, trained[stage], f"{origin}/{stage}")
        chosen[field], variables[field] = modules[stage][name], trained[stage][name]
        _check_shapes(chosen[field], variables[field], examples[field], f"{origin}/{stage}: {name}")
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
            f"{origin} does not fit the configuration in {len(different)} arrays ({path}: found {found.get(path)}, "
            f"needed {needed.get(path)}): it was trained with another configuration, for example another size",
            field="checkpoint",
            value=origin,
        )


# Stage -> the generator of configurations that have it; the last stage of a configuration that is here decides.
GENERATORS: dict[str, GeneratorKind] = {
    "poke": GeneratorKind(_describe_poke, _assemble_poke, tuple(("poke", name) for name in POKE_NETWORKS)),
    "video_vae": GeneratorKind(_describe_cinn, _assemble_cinn, tuple(_CINN_NETWORKS.values())),
}
