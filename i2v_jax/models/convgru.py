"""The dynamics of object states: convolutional GRUs at several resolutions (poke paper, section 3.1, equation 5)."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from i2v_jax.models.convolution import convolve_in_loop, convolve_transposed, transposed_windows
from i2v_jax.models.initializers import Initializer, orthogonal
from i2v_jax.models.layers import broadcast_like, gathered

PokeOverTime = Literal["constant", "impulse", "decay"]
GATES = ("update", "reset", "candidate")
KERNEL = f"kernel_of_{len(GATES)}"  # the name tells an optimizer that this many kernels are side by side
_SAME: Any = ((1, 1), (1, 1))


def poke_strengths(frames: int, over_time: PokeOverTime, poke_frames: int, first: int | jax.Array = 0) -> jax.Array:
    """Returns the factor of the latent poke before each frame from frame `first` on: [frames] float32.

    "constant": 1. "impulse": 1 before the first frame and 0 from then on. "decay": linearly from 1 before the first
    frame to 0 before frame `poke_frames` and 0 from then on.
    """
    steps = first + jnp.arange(frames, dtype=jnp.float32)
    if over_time == "constant":
        return jnp.ones(frames)
    if over_time == "impulse":
        return (steps == 0).astype(jnp.float32)
    return jnp.maximum(0, 1 - steps / max(poke_frames - 1, 1))


def _orthogonal_gates(rng: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initializes the kernel of each gate as an orthogonal matrix."""
    one = (*shape[:-1], shape[-1] // len(GATES))
    draws = [orthogonal(key, one, dtype) for key in jax.random.split(rng, len(GATES))]
    return jnp.concatenate(draws, axis=-1)


@struct.dataclass
class GRUKernels:
    """The parameters of one cell with F features and I input channels, arranged once for all time steps.

    Kernels have the type of the computation, biases that of the parameters.
    """

    up: tuple[jax.Array, jax.Array] | None  # [2, 2, I, 4 I] and [I]: of the transposed convolution of the input, if any
    of_input: jax.Array  # [3, 3, I, 3 F]: update, reset, candidate
    of_state: jax.Array  # [3, 3, F, 2 F]: update, reset
    of_candidate: jax.Array  # [3, 3, F, F]
    bias: jax.Array  # [3 F]

    def share(self, x: jax.Array) -> jax.Array:
        """Returns the input's share of the gates, without bias: [B, h, w, I] -> [B, h, w, 3 F], or twice the size."""
        if self.up is not None:
            windows, bias = self.up
            x = convolve_transposed(x, windows)
            x = x + broadcast_like(bias, x)
        return convolve_in_loop(x, self.of_input, _SAME)

    def advance(self, share: jax.Array, state: jax.Array) -> jax.Array:
        """Returns the next state [B, h, w, F] from the input's share of the gates and the state.

        u, r = sigmoid(conv[x, s]), c = tanh(conv[x, r s]), s' = (1 - u) s + u c.
        """
        share = share + broadcast_like(self.bias, share)
        gates, candidate = jnp.split(share, (2 * state.shape[-1],), axis=-1)
        gates = nn.sigmoid(gates + convolve_in_loop(state, self.of_state, _SAME))
        update, reset = jnp.split(gates, 2, axis=-1)
        candidate = jnp.tanh(candidate + convolve_in_loop(reset * state, self.of_candidate, _SAME))
        return state + update * (candidate - state)


class ConvGRUCell(nn.Module):
    """The parameters of one cell: 3x3 convolutions of [input, state] for its three gates, in one array.

    With `upsample` the input has half the resolution of the state and goes through a transposed convolution first.
    """

    features: int
    upsample: bool = False
    update_bias: float = 0.0  # initial bias of the update gate; those of the other gates are 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, channels: int) -> GRUKernels:
        """Returns the kernels for an input with that many channels."""

        def parameter(name: str, init: Initializer, *shape: int) -> jax.Array:
            return self.param(name, init, shape, jnp.float32)

        zeros, features = nn.initializers.zeros, self.features
        kernel = parameter(KERNEL, _orthogonal_gates, 3, 3, channels + features, len(GATES) * features)
        bias = parameter("bias", self._first_bias, len(GATES) * features)
        up = None
        if self.upsample:
            up_kernel = parameter("up_kernel", orthogonal, 3, 3, channels, channels)
            windows = transposed_windows(gathered(up_kernel.astype(self.dtype)))
            up = windows, parameter("up_bias", zeros, channels)
        of_input, of_state = jnp.split(gathered(kernel.astype(self.dtype)), (channels,), axis=2)
        of_gates, of_candidate = jnp.split(of_state, (2 * features,), axis=-1)
        return GRUKernels(up, of_input, of_gates, of_candidate, bias)

    def _first_bias(self, rng: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jnp.zeros(shape, dtype).at[: self.features].set(self.update_bias)


class Dynamics(nn.Module):
    """F: object states and a latent poke -> the states of the following frames.

    One cell for each state, the deepest first and there `bottleneck_cells` of them: the paper's "Ours RNN" is one state
    with three cells. The first cell takes the latent poke, every other the new state of the one before, enlarged where
    its own state has twice the resolution.
    """

    bottleneck_cells: int = 1
    poke_over_time: PokeOverTime = "constant"
    poke_frames: int = 10  # until a decaying poke has vanished
    update_bias: float = 0.0  # see `ConvGRUCell`
    remat: bool = False  # the backward pass computes the inside of each time step again instead of keeping it
    dtype: Any = jnp.float32

    def __call__(self, states: tuple[jax.Array, ...], latent_poke: jax.Array, frames: int) -> tuple[jax.Array, ...]:
        """Every state [B, h, w, C] (the deepest first) and the latent poke [B, h, w, D] -> every [B, frames, h, w, C].

        `latent_poke` has the resolution of the deepest state.
        """
        return self.advance(self.begin(states), latent_poke, frames, 0)[1]

    def begin(self, states: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """Returns the cells' states before the first frame: `states`, the deepest repeated for each of its cells."""
        return tuple(s.astype(self.dtype) for s in (*(states[:1] * (self.bottleneck_cells - 1)), *states))

    @nn.compact
    def advance(
        self, start: tuple[jax.Array, ...], latent_poke: jax.Array, frames: int, first: int | jax.Array
    ) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        """Advances the cells' states before frame `first` by `frames`; returns the last states and those of all frames.

        A roll-out in parts equals one at once.
        """
        inputs = (latent_poke.astype(self.dtype), *start[:-1])
        cells = [
            ConvGRUCell(
                state.shape[-1], x.shape[1] != state.shape[1], self.update_bias, self.dtype, name=f"cell{index}"
            )(x.shape[-1])
            for index, (x, state) in enumerate(zip(inputs, start, strict=True))
        ]
        # Linear in the poke, of which only the strength depends on time: one convolution serves all frames.
        of_poke = cells[0].share(inputs[0])

        def step(states: tuple[jax.Array, ...], strength: jax.Array) -> tuple[tuple[jax.Array, ...], Any]:
            new = [cells[0].advance(of_poke * strength, states[0])]
            for cell, state in zip(cells[1:], states[1:], strict=True):
                new.append(cell.advance(cell.share(new[-1]), state))
            return tuple(new), tuple(new[self.bottleneck_cells - 1 :])

        strengths = poke_strengths(frames, self.poke_over_time, self.poke_frames, first).astype(self.dtype)
        # The body of a loop needs no protection against the removal of common subexpressions.
        last, predicted = jax.lax.scan(
            jax.checkpoint(step, prevent_cse=False) if self.remat else step, start, strengths
        )
        return last, tuple(jnp.moveaxis(state, 0, 1) for state in predicted)
