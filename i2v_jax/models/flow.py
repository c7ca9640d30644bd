"""The conditional normalizing flow between the video latent z and the residual (paper section 3.1, equations 2 to 5).

The residual is what a video has beyond its start frame: nu = T(z; x0, eta), standard normal and independent of x0.
"""

import functools
import math
import operator
from typing import Any, TypeVar

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.models import bijectors
from i2v_jax.models.actnorm import ActNorm
from i2v_jax.models.layers import Linear, leaky_relu

Values = TypeVar("Values", jax.Array, NDArray[np.float64])

LEAKY_SLOPE = 0.9
# With control, only every fourth block lets its scale and shift depend on z.
CONTROL_PERIOD = 4


class MLP(nn.Module):
    """[..., C] -> [..., features]: linear, then `depth` hidden layers more, leaky ReLU 0.01 between, then linear."""

    features: int
    hidden: int
    depth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for index in range(self.depth + 1):
            x = leaky_relu(Linear(self.hidden, dtype=self.dtype, name=f"layers_{index}")(x), 0.01)
        return Linear(self.features, dtype=self.dtype, name=f"layers_{self.depth + 1}")(x)


# The scale and shift networks of a coupling, stacked: [2, ..., C] -> [2, ..., features]. As fast as one after the other
# and half as much to compile. The inputs are repeated because XLA would transpose the kernels otherwise.
_ScaleAndShift = nn.vmap(MLP, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=2)


class FlowBlock(nn.Module):
    """ActNorm -> inverse leaky ReLU -> double affine coupling -> fixed random shuffle."""

    z_dim: int
    hidden: int
    depth: int
    condition_only: bool  # the couplings' scale and shift see the condition but not z
    scale: bijectors.Scale
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.norm = ActNorm(self.z_dim)
        self.couplings = [_ScaleAndShift(self.z_dim // 2, self.hidden, self.depth, self.dtype) for _ in range(2)]
        self.permutation = self.variable(
            "buffers", "permutation", lambda: jax.random.permutation(self.make_rng("params"), self.z_dim)
        )

    def _conditioner(self, index: int, condition: jax.Array) -> bijectors.Conditioner:
        def scale_and_shift(kept: jax.Array) -> tuple[jax.Array, jax.Array]:
            inputs = condition if self.condition_only else jnp.concatenate([kept, condition], axis=-1)
            scale, shift = self.couplings[index](jnp.broadcast_to(inputs, (2, *inputs.shape)))
            return scale, shift

        return scale_and_shift

    def __call__(
        self, x: jax.Array, condition: jax.Array, exact_logdet: bool, data_init: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Events [B, z_dim] forward, and log-determinants [B]; `data_init` sets the ActNorm to whiten x first."""
        if data_init or self.is_initializing():
            self.norm(x, data_init=data_init)
        return self.bijector(condition, exact_logdet).forward_and_log_det(x)

    def bijector(self, condition: jax.Array, exact_logdet: bool) -> distrax.Bijector:
        """Returns the block as a bijector of events [B, z_dim], given the condition [B, c]."""
        norm = self.norm.variables["params"]
        return bijectors.chain(
            [
                bijectors.ActNorm(norm["loc"], norm["scale"]),
                bijectors.InverseLeakyReLU(LEAKY_SLOPE, exact=exact_logdet),
                bijectors.double_coupling(self._conditioner(0, condition), self._conditioner(1, condition), self.scale),
                bijectors.Shuffle(self.permutation.value),
            ]
        )


class ConditionalFlow(nn.Module):
    """T: z <-> residual given a condition (embedding of the start frame, with control followed by eta).

    Attributes:
      z_dim: entries of z and of the residual; even.
      blocks, hidden, depth: number of blocks; width and extra hidden layers of the scale and shift networks.
      control: blocks whose index is not a multiple of 4 compute scale and shift from the condition alone.
      exact_logdet: whether to include the log-determinant of the inverse leaky ReLU, which the authors' release omits.
      scale: how the couplings' factor is bounded, see `bijectors.bounded_log_scale`.
      dtype: the type of the scale and shift networks; events and log-determinants stay float32.
    Raises:
      UserError: z_dim is odd.
    """

    z_dim: int
    blocks: int = 20
    hidden: int = 512
    depth: int = 2
    control: bool = False
    exact_logdet: bool = False
    scale: bijectors.Scale = "exp"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.z_dim % 2:
            raise UserError(
                f"invalid value for z_dim: {self.z_dim} (must be even: the couplings split z into two halves)",
                "z_dim",
                self.z_dim,
            )
        self.layers = [self._block(self._sees_condition_only(index)) for index in range(self.blocks)]

    def _sees_condition_only(self, index: int) -> bool:
        return self.control and index % CONTROL_PERIOD != 0

    def _block(self, condition_only: bool, **kwargs: Any) -> FlowBlock:
        return FlowBlock(
            self.z_dim, self.hidden, self.depth, condition_only, scale=self.scale, dtype=self.dtype, **kwargs
        )

    def draw(self, rng: jax.Array, z: jax.Array, condition: jax.Array) -> dict[str, Any]:
        """Returns variables from the distributions of `init`, with all blocks of a kind drawn at once.

        The program is a twentieth as large; `init` compiles for a minute.
        """
        kinds: dict[bool, list[int]] = {}
        for index in range(self.blocks):
            kinds.setdefault(self._sees_condition_only(index), []).append(index)
        variables: dict[str, Any] = {}
        for condition_only, indices in kinds.items():
            keys = jax.random.split(jax.random.fold_in(rng, condition_only), len(indices))
            init = functools.partial(self._block(condition_only, parent=None).init, exact_logdet=False)
            stacked = jax.vmap(init, in_axes=(0, None, None))(keys, z, condition)
            for collection, values in stacked.items():
                blocks = [jax.tree.map(operator.itemgetter(place), values) for place in range(len(indices))]
                variables.setdefault(collection, {}).update(
                    (f"layers_{index}", block) for index, block in zip(indices, blocks, strict=True)
                )
        return variables

    def __call__(self, z: jax.Array, condition: jax.Array, data_init: bool = False) -> tuple[jax.Array, jax.Array]:
        """z [B, z_dim], condition [B, c] -> residual [B, z_dim], log|det d residual / d z| [B] in nats.

        With `data_init` every ActNorm is set from this batch, block after block; apply with `mutable=["params"]`.
        """
        total = jnp.zeros(z.shape[:-1], jnp.promote_types(z.dtype, jnp.float32))
        for layer in self.layers:
            z, log_det = layer(z, condition, self.exact_logdet, data_init)
            total = total + log_det
        return z, total

    def inverse(self, residual: jax.Array, condition: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns z [B, z_dim] of a residual and a condition [B, c], and log|det d z / d residual| [B] in nats."""
        return self.bijector(condition).inverse_and_log_det(residual)

    def bijector(self, condition: jax.Array) -> distrax.Bijector:
        """Returns the flow from z to residual given condition [B, c]; call it on `flow.bind(variables)`."""
        return bijectors.chain([layer.bijector(condition, self.exact_logdet) for layer in self.layers])

    def log_prob(self, z: jax.Array, condition: jax.Array, exact: bool = True) -> jax.Array:
        """Returns log p(z | condition) [B] in nats, including the constant of the normal.

        z is [B, z_dim], condition [B, c]. Exact whatever `exact_logdet` is; `exact=False` omits the log-determinants of
        the activations as the release does, and the result is not the log of a density.
        """
        flow = bijectors.chain([layer.bijector(condition, exact) for layer in self.layers])
        residual, log_det = flow.forward_and_log_det(z)
        return standard_normal_log_prob(residual) + log_det


def standard_normal_log_prob(x: jax.Array) -> jax.Array:
    """Returns log N(x; 0, 1) of [..., D], summed over D, in nats."""
    return -0.5 * jnp.sum(jnp.square(x) + math.log(2 * math.pi), axis=-1)


def bits_per_dimension(log_prob: Values, dimensions: int) -> Values:
    """Converts nats of an event to bits per dimension (lower is better; a standard normal has 2.05 on itself)."""
    return -log_prob / (dimensions * math.log(2))
