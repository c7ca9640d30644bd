"""A model of simple networks for the procedural sky, and cheap features in place of a backbone."""

import dataclasses
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType

from i2v_jax.config_files import load
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.measure import Request
from i2v_jax.evaluation.protocols import get_protocol
from i2v_jax.metrics.registry import METRICS as REGISTERED
from i2v_jax.models.flow import standard_normal_log_prob
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CLIP_FRAMES, CinnNetworks
from i2v_jax.tasks.control import DIRECTION
from tests.metrics.stand_ins import BrightnessDistance, BrightnessDiversity, PixelsOfFrames, in_place_of
from tests.sampling.stand_ins import MeanBrightness, MeanChange, Shift

METRICS = ("fvd", "fid", "psnr", "ssim", "diversity_i3d", "log_likelihood", "bits_per_dimension")
SIZE = 16


class Fade(nn.Module):
    """Fades and brightens the start frame by z, within [-1, 1]."""

    strength: float = 0.4

    @nn.compact
    def __call__(self, start_frame: jax.Array, z: jax.Array) -> jax.Array:
        strength = self.param("strength", nn.initializers.constant(self.strength), ())
        times = jnp.arange(1, CLIP_FRAMES + 1) / CLIP_FRAMES
        fade, brighter = (strength * jnp.tanh(z[:, i : i + 1]) * times for i in range(2))
        faded = start_frame[:, None] * (1 - fade[:, :, None, None, None] ** 2)
        return jnp.clip(faded + brighter[:, :, None, None, None] / 2, -1, 1)


class Density(Shift):
    """A flow with a log-density, exact or not."""

    def log_prob(self, z: jax.Array, condition: jax.Array, exact: bool = True) -> jax.Array:
        return standard_normal_log_prob(self(z, condition)[0] / 10) - (0.0 if exact else 1.0)


@pytest.fixture(scope="session")
def whole() -> EvaluatedModel:
    """Returns the model on all eight devices."""
    config = load("sky:demo", [f"data.size={SIZE}"])
    config.data.num_clips.update(train=12, test=10)
    variables: dict[str, dict] = {"encoder": {}, "decoder": {"params": {"strength": jnp.asarray(0.4)}}}
    variables |= {"image_encoder": {}, "flow": {}}
    networks = CinnNetworks(MeanChange(), Fade(), MeanBrightness(), Density())
    generator = CinnGenerator(networks, variables, size=SIZE, z_dim=2, control=DIRECTION)
    return on_devices(EvaluatedModel("sky_run", generator, config, "ef" * 32, step=4), 8, chunk=8)


@pytest.fixture(scope="session")
def model(whole: EvaluatedModel) -> EvaluatedModel:
    """Returns the model on one device."""
    return on_devices(whole, 1, chunk=4)


def on_devices(model: EvaluatedModel, count: int, chunk: int) -> EvaluatedModel:
    mesh = jax.make_mesh((count,), ("clips",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    return dataclasses.replace(model, generator=dataclasses.replace(model.generator, mesh=mesh, chunk=chunk))


@pytest.fixture(scope="module")
def request_of_sky() -> Iterator[Request]:
    """Ten clips, and metrics that need no weights."""
    stand_ins = {"fvd": BrightnessDistance, "fid": PixelsOfFrames, "diversity_i3d": BrightnessDiversity}
    with pytest.MonkeyPatch.context() as patch:
        for name, cls in stand_ins.items():
            patch.setitem(REGISTERED, name, in_place_of(name, cls))
        yield Request(get_protocol("sky"), METRICS, repeats=2)
