"""The invertible layers of the conditional flow as distrax bijectors on events [..., D].

Every bijector is a function of its parameters, so a condition enters through the callables and arrays it is built from.
Log-determinants are in nats, of the shape of the batch, and at least float32 whatever the type of the event.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import distrax
import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError

Scale = Literal["exp", "sigmoid", "softclamp"]
# Half of an event -> (unbounded log-scale, shift), both of the shape of the other half.
Conditioner = Callable[[jax.Array], tuple[jax.Array, jax.Array]]

SOFT_CLAMP = 2.0


def bounded_log_scale(s: jax.Array, scale: Scale) -> jax.Array:
    """Returns the log of the factor that a coupling multiplies by; 0 at s = 0 for every choice.

    "exp": s, unbounded (the release). "sigmoid": log(2 * sigmoid(s)), factors in (0, 2). "softclamp": c * tanh(s / c)
    with c = 2, factors in (exp(-2), exp(2)) and slope 1 at 0.

    Raises:
      UserError: `scale` is not one of the three.
    """
    if scale == "exp":
        return s
    if scale == "sigmoid":
        return jnp.log(2.0) + jax.nn.log_sigmoid(s)
    if scale == "softclamp":
        return SOFT_CLAMP * jnp.tanh(s / SOFT_CLAMP)
    raise UserError(f"invalid value for scale: {scale!r} (must be one of {', '.join(get_args(Scale))})", "scale", scale)


def chain(bijectors: Sequence[distrax.Bijector]) -> distrax.Chain:
    """Returns the bijectors composed, the first one applied first (distrax composes from the right)."""
    return distrax.Chain(list(reversed(bijectors)))


def _at_least_float32(x: jax.Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


def _zero_log_det(x: jax.Array) -> jax.Array:
    return jnp.zeros(x.shape[:-1], _at_least_float32(x))


class ActNorm(distrax.Bijector):
    """y = scale * (x + loc), log|det| = sum log|scale|. `loc` and `scale` are [D] or, per sample, [..., D]."""

    def __init__(self, loc: jax.Array, scale: jax.Array):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        self._loc = loc
        self._scale = scale

    def _log_det(self, x: jax.Array) -> jax.Array:
        return _zero_log_det(x) + jnp.sum(jnp.log(jnp.abs(self._scale)), axis=-1)

    def forward_and_log_det(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]."""
        return self._scale * (x + self._loc), self._log_det(x)

    def inverse_and_log_det(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]."""
        return y / self._scale - self._loc, -self._log_det(y)


class InverseLeakyReLU(distrax.Bijector):
    """y = x for x >= 0 and slope * x below; log|det| = (number of negative entries) * log(slope).

    The authors' release omits this log-determinant; `exact=False` reports 0 as it does.
    """

    def __init__(self, slope: float = 0.9, exact: bool = True):
        super().__init__(event_ndims_in=1)
        self._slope = slope
        self._exact = exact

    def _log_det(self, x: jax.Array) -> jax.Array:
        if not self._exact:
            return _zero_log_det(x)
        # An event and its image are negative in the same places.
        return jnp.sum(x < 0, axis=-1).astype(_at_least_float32(x)) * jnp.log(self._slope)

    def forward_and_log_det(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]."""
        return jnp.where(x < 0, x * self._slope, x), self._log_det(x)

    def inverse_and_log_det(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]."""
        return jnp.where(y < 0, y / self._slope, y), -self._log_det(y)


class AffineCoupling(distrax.Bijector):
    """(a, b) -> (a, b * exp(s(a)) + t(a)) on the halves of an event; log|det| = sum s(a).

    `conditioner(a)` gives (s, t); s is bounded as `scale` says.
    """

    def __init__(self, conditioner: Conditioner, scale: Scale = "exp"):
        super().__init__(event_ndims_in=1)
        self._conditioner = conditioner
        self._scale = scale

    def _log_scale_and_shift(self, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
        s, shift = self._conditioner(kept)
        dtype = _at_least_float32(kept)
        return bounded_log_scale(s.astype(dtype), self._scale), shift.astype(dtype)

    def forward_and_log_det(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]; D is even."""
        kept, changed = jnp.split(x, 2, axis=-1)
        log_scale, shift = self._log_scale_and_shift(kept)
        return jnp.concatenate([kept, changed * jnp.exp(log_scale) + shift], axis=-1), jnp.sum(log_scale, axis=-1)

    def inverse_and_log_det(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]; D is even."""
        kept, changed = jnp.split(y, 2, axis=-1)
        log_scale, shift = self._log_scale_and_shift(kept)
        return jnp.concatenate([kept, (changed - shift) * jnp.exp(-log_scale)], axis=-1), -jnp.sum(log_scale, axis=-1)


class Shuffle(distrax.Bijector):
    """y[i] = x[permutation[i]]; the volume does not change. `permutation` is [D], integers."""

    def __init__(self, permutation: jax.Array):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        self._permutation = permutation

    def forward_and_log_det(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]."""
        return jnp.take(x, self._permutation, axis=-1), _zero_log_det(x)

    def inverse_and_log_det(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]."""
        return jnp.take(y, jnp.argsort(self._permutation), axis=-1), _zero_log_det(y)


class SwapHalves(distrax.Bijector):
    """(a, b) -> (b, a); its own inverse."""

    def __init__(self) -> None:
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)

    def forward_and_log_det(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]; D is even."""
        first, second = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([second, first], axis=-1), _zero_log_det(x)

    def inverse_and_log_det(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the image [..., D] and the log-determinant [...] of an event [..., D]; D is even."""
        return self.forward_and_log_det(y)


def double_coupling(first: Conditioner, second: Conditioner, scale: Scale = "exp") -> distrax.Chain:
    """Returns two affine couplings with swapped halves in between: (a, b) -> (b', a'), which changes all entries."""
    return chain([AffineCoupling(first, scale), SwapHalves(), AffineCoupling(second, scale)])
