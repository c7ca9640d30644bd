"""What each reference fixture computes, as a function of variables and inputs, in any type."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.parts import fixture_tasks
from benchmarks.parts.fixture_tasks import gradient_norms
from benchmarks.parts.objectives import NETWORKS, Inputs
from i2v_jax.errors import UserError
from i2v_jax.models.actnorm import ActNorm
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.pretrained import weights
from i2v_jax.tasks.poke import MODEL
from i2v_jax.torch_interop import load_torch
from tests.reference import fixtures
from tests.reference.fixtures import Fixture

Program = Callable[..., Any]  # (variables, inputs) -> (gradients, outputs)
Norms = Callable[[Any], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A fixture as a computation.

    Attributes:
      variables: whose gradients are compared; float32.
      inputs: channels last.
      expected: the fixture's outputs, channels last.
      tolerance: of the fixture.
      program: type -> jitted function (variables, inputs) -> (gradients, outputs by the fixture's keys).
      norms: gradients -> their norms, by the fixture's keys.
      has_dtype: whether the network computes in other types than float32.
    """

    variables: Any
    inputs: Inputs
    expected: dict[str, np.ndarray]
    tolerance: float
    program: Callable[[Any], Program]
    norms: Norms = lambda gradients: {}
    has_dtype: bool = True

    def outputs(self, program: Program, variables: Any, inputs: Inputs) -> dict[str, np.ndarray]:
        """Returns outputs and gradient norms by the fixture's keys."""
        gradients, outputs = jax.device_get(program(variables, inputs))
        return {key: np.asarray(value, np.float32) for key, value in {**outputs, **self.norms(gradients)}.items()}


def make_case(name: str) -> Case | None:
    """Returns the computation of a fixture; None if it needs pretrained weights that are not in the cache."""
    special = {
        "actnorm_init": _actnorm,
        "cvae_training_losses_bair": fixture_tasks.video_objective,
        "poke_training_losses_64": fixture_tasks.poke_objective,
    }
    if name not in special:
        return _network_case(name)
    fixture = fixtures.load(name)
    return Case(expected=fixture.outputs, tolerance=fixture.tolerance, **special[name](fixture))


def _network_case(name: str) -> Case | None:
    fixture = fixtures.load(name)
    network, objective = NETWORKS[max((begin for begin in NETWORKS if name.startswith(begin)), key=len)]
    try:
        if name.endswith("_pretrained"):
            module, variables = weights.module(network), weights.load(network)
        else:
            module, variables = load_torch(network, fixture.state, fixture.config)
    except UserError:
        return None
    others = {key: tree for key, tree in variables.items() if key != "params"}

    def program(dtype: Any) -> Program:
        typed = _in_type(module, dtype)

        def loss(params: Any, inputs: Inputs) -> Any:
            return objective(typed, fixture.config, {**others, "params": params}, inputs)

        return jax.jit(jax.grad(loss, has_aux=True))

    axis = 1 if name.startswith("poke_temporal") else -3  # these videos are [B, C, T, H, W]
    inputs = {key: _channels_last(value, axis) for key, value in fixture.inputs.items()}
    expected = {key: _channels_last(value) for key, value in fixture.outputs.items()}
    if network == "image_autoencoder":
        inputs["mean"] = expected["mean"]
    has_gradients = any(key.startswith("grad_norm/") for key in expected)
    norms: Norms = functools.partial(gradient_norms, network, fixture.config) if has_gradients else lambda gradients: {}
    return Case(variables["params"], inputs, expected, fixture.tolerance, program, norms)


def _channels_last(array: np.ndarray, axis: int = -3) -> np.ndarray:
    return np.moveaxis(array, axis, -1) if array.ndim >= 4 else array


def _in_type(module: Any, dtype: Any) -> Any:
    """Returns the module with computations in `dtype`."""
    if isinstance(module, PokeModel):
        return module.clone(**{name: getattr(module, name).clone(dtype=dtype) for name in MODEL})
    return module.clone(dtype=dtype)


def _actnorm(fixture: Fixture) -> dict[str, Any]:
    """The initialization of ActNorm from its first batch, and its logarithmic determinant."""
    module = ActNorm(fixture.config["channels"])

    def run(variables: Any, inputs: Inputs) -> Any:
        y, changed = module.apply(variables, inputs["x"], data_init=True, mutable=["params"])
        scale = changed["params"]["scale"]
        log_det = jnp.broadcast_to(jnp.sum(jnp.log(jnp.abs(scale))), len(inputs["x"]))
        return (), {"y": y, "logdet": log_det, "loc": changed["params"]["loc"], "scale": scale}

    variables = jax.device_get(module.init(jax.random.key(0), fixture.inputs["x"]))
    return {
        "variables": variables,
        "inputs": fixture.inputs,
        "program": lambda dtype: jax.jit(run),
        "has_dtype": False,
    }
