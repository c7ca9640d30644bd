"""The stages of training, by name: how each builds its networks and its task, and what it needs of earlier stages.

To add a stage, call `register` with a `Stage`, name it in `stages` of a configuration, and give the configuration a
section of the stage's name, which `configs.stage_fields.stage` makes, with `optimizer` and the fields that the stage
itself reads.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import jax.numpy as jnp
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.tasks import networks
from i2v_jax.tasks.base import Networks, Task
from i2v_jax.tasks.classifier import Classifier
from i2v_jax.tasks.flow import Flow
from i2v_jax.tasks.image_ae import ImageAE
from i2v_jax.tasks.networks import Modules
from i2v_jax.tasks.poke import Poke
from i2v_jax.tasks.video_vae import VideoVAE

Kept = Literal["latest", "best"]  # of a stage's checkpoints
# Which checkpoint to take: of these, the one that the stage's authors take, or that of a step.
Selection = Kept | Literal["release"] | int


@dataclasses.dataclass(frozen=True)
class Ingredients:
    """What the task of a stage is made from.

    Attributes:
        config: the whole configuration.
        modules: stage -> network -> module, of all stages of the configuration.
        trained: stage -> network -> variables, of the stages that the stage needs; averaged where averages were kept.
        steps_per_epoch: of the stage's training data.
    """

    config: ConfigDict
    modules: Mapping[str, Modules]
    trained: Mapping[str, Networks]
    steps_per_epoch: int


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        name: of the stage in `config.stages`, of its section of the configuration, and of its folder.
        modules: (configuration, dtype) -> the modules of its networks. Raises UserError for fields that do not fit.
        task: makes the task.
        needs: the earlier stages whose trained networks the task uses.
        controlled: whether the task is conditioned on `config.control`, so that its clips must carry the control.
        perceptual_network: the value of `loss.perceptual_network` that comes nearest to the paper's and whose weights
            can be downloaded.
        next_command: words of a command that uses the trained stage, besides `--workdir`; empty if there is none.
        released: which of its checkpoints the authors use.
    """

    name: str
    modules: Callable[[ConfigDict, Any], Modules]
    task: Callable[[Ingredients], Task]
    needs: tuple[str, ...] = ()
    controlled: bool = False
    perceptual_network: str = "lpips"
    next_command: tuple[str, ...] = ()
    released: Kept = "latest"


def _flow(given: Ingredients) -> Flow:
    modules, trained = given.modules, given.trained
    return Flow(
        given.config,
        modules["flow"],
        frozen_modules={
            "video_encoder": modules["video_vae"]["encoder"],
            "video_decoder": modules["video_vae"]["decoder"],
            "image_encoder": modules["image_ae"]["encoder"],
        },
        frozen={
            "video_encoder": trained["video_vae"]["encoder"],
            "video_decoder": trained["video_vae"]["decoder"],
            "image_encoder": trained["image_ae"]["encoder"],
        },
    )


_STAGES: dict[str, Stage] = {
    "video_vae": Stage(
        "video_vae",
        networks.video_vae,
        lambda given: VideoVAE(given.config, given.modules["video_vae"], given.steps_per_epoch),
        released="best",
    ),
    "image_ae": Stage(
        "image_ae",
        networks.image_ae,
        lambda given: ImageAE(given.config, given.modules["image_ae"], given.steps_per_epoch),
    ),
    "flow": Stage(
        "flow",
        networks.flow,
        _flow,
        needs=("video_vae", "image_ae"),
        controlled=True,
        next_command=("sample", "--image=IMAGE", "--out=OUT"),
        released="best",
    ),
    "poke": Stage(
        "poke",
        networks.poke,
        lambda given: Poke(given.config, given.modules["poke"], given.steps_per_epoch),
        perceptual_network="vgg16",
        next_command=("sample", "--image=IMAGE", "--poke=X,Y,DX,DY", "--out=OUT"),
    ),
    "classifier": Stage(
        "classifier", networks.classifier, lambda given: Classifier(given.config, given.modules["classifier"])
    ),
}


def register(stage: Stage) -> None:
    """Adds a stage from outside the package. Raises UserError if another stage has its name."""
    if _STAGES.setdefault(stage.name, stage) is not stage:
        raise UserError(f"a stage named {stage.name!r} is already registered: choose another name", "name", stage.name)


def get(name: str) -> Stage:
    """Returns the stage of a name. Raises UserError for an unknown one."""
    if name not in _STAGES:
        known = ", ".join(_STAGES)
        raise UserError(f"unknown stage {name}: there are {known}; a stage of your own needs `plugins`", "stages", name)
    return _STAGES[name]


def selected(stage: str, selection: Selection) -> Kept | int:
    """Returns which checkpoint of a stage a selection means. Raises UserError for an unknown stage."""
    return get(stage).released if selection == "release" else selection


def stages(config: ConfigDict) -> Iterable[Stage]:
    """Returns the stages of a configuration, in the order of training."""
    return tuple(get(name) for name in config.stages)


def build(config: ConfigDict) -> dict[str, Modules]:
    """Returns stage -> network -> module, for every stage of a configuration.

    Raises:
        UserError: fields do not fit each other.
    """
    dtype = jnp.dtype(config.dtype)
    return {stage.name: stage.modules(config, dtype) for stage in stages(config)}
