"""The authors' releases: which one has a model, decided here alone by the stages of its configuration."""

from types import ModuleType

from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.torch_interop.releases import cinn, poke

# Stage -> the module that reads and writes the files of the release with that stage.
_RELEASES: dict[str, ModuleType] = {"poke": poke, "video_vae": cinn}


def of_config(config: ConfigDict) -> ModuleType:
    """Returns the module of the release that has models like `config`'s. Raises UserError if there is none."""
    for stage, release in _RELEASES.items():
        if stage in config.stages:
            return release
    raise UserError(
        f"the authors released no model with the stages {', '.join(config.stages)} (needed: {' or '.join(_RELEASES)})",
        "stages",
        tuple(config.stages),
    )
