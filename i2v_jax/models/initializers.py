"""Initial values of parameters.

Drawn one by one, the parameters of a network are a program of tens of thousands of operations, which takes a compiler
minutes. `init_together` draws them all from one array of normal and one of uniform numbers.
"""

import contextlib
import contextvars
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]

_PART = 2**18  # numbers that are drawn at a time


@dataclasses.dataclass
class _Numbers:
    """Random numbers of one kind, which are handed out in order; None: they are only counted."""

    values: jax.Array | None = None
    taken: int = 0

    def take(self, shape: tuple[int, ...]) -> jax.Array:
        begin, self.taken = self.taken, self.taken + math.prod(shape)
        return jnp.zeros(shape) if self.values is None else self.values[begin : self.taken].reshape(shape)


@dataclasses.dataclass
class _Supply:
    normal: _Numbers = dataclasses.field(default_factory=_Numbers)
    uniform: _Numbers = dataclasses.field(default_factory=_Numbers)


_supply: contextvars.ContextVar[_Supply | None] = contextvars.ContextVar("supply", default=None)


def init_together(module: nn.Module, rng: jax.Array, *arguments: Any) -> dict[str, Any]:
    """Returns the variables of a module for arguments of its `__call__`, as `module.init(rng, *arguments)` does.

    The initializers of this file share two draws. The module must not initialize parameters in a loop or under `vmap`,
    where all rounds would be given the same numbers.
    """
    counted = _Supply()
    with _supplying(counted):
        jax.eval_shape(module.init, rng, *arguments)
    normal_rng, uniform_rng = jax.random.split(rng)
    supply = _Supply(
        _Numbers(_many(jax.random.normal, normal_rng, counted.normal.taken)),
        _Numbers(_many(functools.partial(jax.random.uniform, minval=-1.0), uniform_rng, counted.uniform.taken)),
    )
    with _supplying(supply):
        return dict(module.init(rng, *arguments))


def _many(draw: Callable[..., jax.Array], rng: jax.Array, count: int) -> jax.Array:
    """Returns `count` numbers of `draw(rng, shape)`, and a few more.

    A loop draws them in parts. Without it, the compiler would repeat the draw in every operation that uses a number.
    """
    rngs = jax.random.split(rng, -(-count // _PART))
    return jax.lax.map(lambda rng: draw(rng, (_PART,)), rngs).reshape(-1)


@contextlib.contextmanager
def _supplying(supply: _Supply) -> Iterator[None]:
    token = _supply.set(supply)
    try:
        yield
    finally:
        _supply.reset(token)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Returns numbers with mean 0 and variance 1."""
    supply = _supply.get()
    return jax.random.normal(key, shape) if supply is None else supply.normal.take(shape)


def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Returns numbers between -1 and 1."""
    supply = _supply.get()
    return jax.random.uniform(key, shape, minval=-1.0) if supply is None else supply.uniform.take(shape)


def uniform_fan_in(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initializes a kernel [..., inputs, outputs] as PyTorch does by default: uniform in +-1/sqrt(fan_in)."""
    return uniform_bias(math.prod(shape[:-1]))(key, shape, dtype)


def uniform_bias(fan_in: int) -> Initializer:
    """Initializes a bias as PyTorch does by default: uniform in +-1/sqrt(fan_in) of the layer's kernel."""
    return lambda key, shape, dtype=jnp.float32: (uniform(key, shape) / math.sqrt(fan_in)).astype(dtype)


def kaiming_fan_out(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initializes a kernel [..., inputs, outputs] with the variance 2 / fan_out (He et al. 2015)."""
    fan_out = math.prod(shape[:-2]) * shape[-1]
    return normal_with(math.sqrt(2 / fan_out))(key, shape, dtype)


def normal_with(deviation: float) -> Initializer:
    """Initializes a parameter with normal numbers of a standard deviation."""
    return lambda key, shape, dtype=jnp.float32: (deviation * normal(key, shape)).astype(dtype)


def orthogonal(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initializes a kernel [..., outputs] as a matrix of orthonormal columns, or rows if it has more columns."""
    columns = shape[-1]
    rows = math.prod(shape[:-1])
    vectors = normal(key, (min(rows, columns), max(rows, columns)))
    q = jax.lax.platform_dependent(vectors, tpu=gram_schmidt, default=orthonormal_rows)
    return (q.T if rows >= columns else q).reshape(shape).astype(dtype)


def orthonormal_rows(a: jax.Array) -> jax.Array:
    """Returns the rows of a [n, m], n <= m, made orthonormal one after the other."""
    q, r = jnp.linalg.qr(a.T)
    return (q * jnp.sign(jnp.diagonal(r))).T


def gram_schmidt(a: jax.Array) -> jax.Array:
    """Returns `orthonormal_rows` of a by a loop without matrix products: a QR takes a TPU's compiler ten seconds.

    Twice is enough: what is taken away from a row is known up to rounding the second time.
    """

    def step(index: jax.Array, q: jax.Array) -> jax.Array:
        row = a[index]
        for _ in range(2):
            row = row - jnp.sum(jnp.sum(q * row, axis=1, keepdims=True) * q, axis=0)
        return q.at[index].set(row / jnp.linalg.norm(row))

    return jax.lax.fori_loop(0, len(a), step, jnp.zeros_like(a))
