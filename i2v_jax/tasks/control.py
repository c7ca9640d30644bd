"""What a user may control a motion by, encoded for the flow's condition (cINN paper, controlled synthesis).

A control has three forms. Text is what a user writes in a flag or a form field. Values are arrays `[B, ...]` of what
the text means. The encoding eta `[B, width]` is what the flow sees beside the embedding of the start frame.

| control | text | values | eta |
|---|---|---|---|
| none | | `[B, 0]` | `[B, 0]` |
| direction | degrees | bins `[B]` of ten degrees, as in `input/directions.py` | a one-hot `[B, 36]` |
| endpoint | `x,y,z` | positions `[B, 3]` of a robot's end effector in the last frame | three one-hots `[B, 30]` |
| poke | `x,y,dx,dy` | pokes `[B, 4]` in pixels of the frame | a grid of 8 x 8 nodes `[B, 192]` |

No other module compares the names of controls. To add a control, subclass `Control` and call `register`.
"""

import abc
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.bair import end_effector
from i2v_jax.errors import UserError
from i2v_jax.input import directions
from i2v_jax.input.coordinates import numbers
from i2v_jax.interpolation import linear_weights
from i2v_jax.metrics.motion import measure_direction


class Control(abc.ABC):
    """One kind of control.

    Attributes:
        name: value of the field `control` of a configuration, and the name of flags and form fields.
        width: length of eta.
        arrays: names of the batch arrays (`input/pipeline.py`) that `from_batch` reads.
        form: how a user writes a value, for messages; empty if there is nothing to write.
        takes_pokes: whether the values are pokes `[B, 4]` in pixels of the frame, which users give by pointing at the
            picture.
        takes_angle: whether the text is an angle on the screen, for which the page shows a wheel.
    """

    name: str
    width: int
    arrays: tuple[str, ...]
    form: str = ""
    takes_pokes: bool = False
    takes_angle: bool = False

    @abc.abstractmethod
    def encode(self, values: ArrayLike, size: int) -> jax.Array:
        """Returns eta [B, width] of values [B, ...], for frames of `size` x `size` pixels."""

    @abc.abstractmethod
    def parse(self, text: str) -> NDArray[Any]:
        """Returns the values [1, ...] that a user wrote. Raises UserError for invalid text."""

    @abc.abstractmethod
    def random(self, rng: jax.Array, count: int) -> jax.Array:
        """Returns random controls, eta [count, width]. Raises UserError if no distribution makes sense."""

    @abc.abstractmethod
    def example(self, size: int) -> NDArray[Any]:
        """Returns some valid values [1, ...]. Their shape and type are those that `encode` takes."""

    def from_batch(self, clips: Mapping[str, ArrayLike], size: int) -> jax.Array:
        """Returns eta [B, width] of the motion that the clips show.

        Args:
            clips: arrays of a batch.
            size: height and width of the frames.

        Raises:
            UserError: `clips` lacks some of `arrays`.
        """
        missing = [name for name in self.arrays if name not in clips]
        if missing:
            raise UserError(f"the clips have no {' and no '.join(missing)}, which control by {self.name} needs")
        return self.encode(self.values_of([clips[name] for name in self.arrays]), size)

    def values_of(self, arrays: list[ArrayLike]) -> ArrayLike:
        """Returns the values [B, ...] that the batch arrays named in `arrays` contain."""
        (values,) = arrays
        return values

    def measure(self, video: NDArray[Any]) -> str:
        """Returns, as text, the control under which a clip [T, H, W, 3] in [-1, 1] moves.

        Raises:
            UserError: the control cannot be measured from the frames.
        """
        raise UserError(
            f"the {self.name} of a clip cannot be measured: give it with --control={self.name}={self.form}",
            "control",
            self.name,
        )

    def check(self, data: ConfigDict) -> None:  # noqa: B027 -- most controls have nothing to check
        """Raises UserError if clips of these data settings (`config.data`) cannot carry `arrays`."""

    def describe(self, data: ConfigDict, *, drawn: bool = False) -> str:
        """Returns what a record says about the control under which clips were sampled; empty without control.

        Args:
            data: `config.data` of the model.
            drawn: whether each sample drew a control at random, rather than using the true clip's.
        """
        return f"conditioned on {'a random' if drawn else 'the true'} {self.name}"

    def request(self, given: Mapping[str, str | None], size: int) -> NDArray[np.float32] | None:
        """Returns eta [1, width] of a user's request, None if there is no request.

        Args:
            given: control name -> text, None for the controls that the user omitted.
            size: height and width of the frames.

        Raises:
            UserError: a name other than this control's, or invalid text.
        """
        texts = {name: text for name, text in given.items() if text is not None}
        for name in texts:
            if name != self.name:
                has = f"control by {self.name} only" if self.width else "no control"
                raise UserError(
                    f"{name}: this model was trained with {has}; train one with config.control={name!r}", name
                )
        if self.name not in texts:
            return None
        return np.asarray(self.encode(self.parse(texts[self.name]), size))


class Unconditional(Control):
    """No control: eta is empty, and only the batch size of the values counts."""

    name, width, arrays = "none", 0, ()

    def encode(self, values: ArrayLike, size: int) -> jax.Array:
        return jnp.zeros((jnp.shape(values)[0], 0), jnp.float32)

    def from_batch(self, clips: Mapping[str, ArrayLike], size: int) -> jax.Array:
        return self.encode(next(iter(clips.values())), size)

    def parse(self, text: str) -> NDArray[Any]:
        raise UserError("this model was trained without control", "control", text)

    def random(self, rng: jax.Array, count: int) -> jax.Array:
        return jnp.zeros((count, 0), jnp.float32)

    def example(self, size: int) -> NDArray[Any]:
        return np.zeros((1, 0), np.float32)

    def describe(self, data: ConfigDict, *, drawn: bool = False) -> str:
        return ""


class Direction(Control):
    """The direction in which the contents of the frames move."""

    name, width, arrays = "direction", directions.NUM_DIRECTIONS, ("direction",)
    form, takes_angle = "DEGREES", True

    def encode(self, values: ArrayLike, size: int) -> jax.Array:
        """Returns one-hots [B, 36] of bins [B]."""
        return jax.nn.one_hot(jnp.asarray(values), self.width, dtype=jnp.float32)

    def parse(self, text: str) -> NDArray[Any]:
        """Returns the bin [1] that holds an angle in degrees: 0 is right, 90 is up."""
        try:
            return np.array([directions.direction_bin(float(text))], np.int32)
        except ValueError as error:  # nan and infinity lie in no bin
            raise UserError(f"direction={text} is not a number: give degrees, like 90", self.name, text) from error

    def random(self, rng: jax.Array, count: int) -> jax.Array:
        """Returns one-hots [count, 36] of uniform bins."""
        return self.encode(jax.random.randint(rng, (count,), 0, self.width), 0)

    def example(self, size: int) -> NDArray[Any]:
        return np.array([9], np.int32)

    def measure(self, video: NDArray[Any]) -> str:
        """Returns the direction in degrees, measured by optical flow."""
        return f"{measure_direction(video):.0f}"


@dataclasses.dataclass(frozen=True)
class Endpoint(Control):
    """The position of a robot's end effector in the last frame, in ten bins along each axis.

    Attributes:
        minimum, extent: the range of positions (x, y, z), in the units of the data set.
    """

    minimum: tuple[float, float, float]
    extent: tuple[float, float, float]

    name, width, arrays = "endpoint", 30, ("endpoint",)
    form = "x,y,z"
    bins = 10  # along each axis

    def encode(self, values: ArrayLike, size: int) -> jax.Array:
        """Returns three one-hots [B, 30] of positions [B, 3]."""
        return self._one_hots(self.bins_of(jnp.asarray(values)))

    def bins_of(self, positions: jax.Array) -> jax.Array:
        """Returns bins [..., 3] in 0..9 of positions [..., 3], truncated towards zero like the release."""
        fraction = (positions - np.array(self.minimum, np.float32)) / np.array(self.extent, np.float32)
        return jnp.clip(jnp.trunc(self.bins * fraction - 1e-4).astype(jnp.int32), 0, self.bins - 1)

    def parse(self, text: str) -> NDArray[Any]:
        """Returns the position [1, 3]."""
        return np.array([_finite(self.name, text, self.form)], np.float32)

    def random(self, rng: jax.Array, count: int) -> jax.Array:
        """Returns one-hots [count, 30] of uniform bins."""
        return self._one_hots(jax.random.randint(rng, (count, 3), 0, self.bins))

    def example(self, size: int) -> NDArray[Any]:
        return np.array([self.minimum], np.float32) + np.array([self.extent], np.float32) / 2

    def _one_hots(self, bins: jax.Array) -> jax.Array:
        return jax.nn.one_hot(bins, self.bins, dtype=jnp.float32).reshape(bins.shape[0], self.width)


class Poke(Control):
    """A poke: the pixel (x, y) is to move by (dx, dy). Neither paper has it as a control of the cINN.

    The encoding is continuous: nearby pokes have nearby encodings, and it does not depend on the frame's size. It lays
    a poke on a grid of 8 x 8 nodes, the outer ones on the frame's edges. Row by row, each node has three values: its
    share of the poked place by bilinear interpolation, and that share of the displacement, in distances between nodes.
    """

    nodes = 8  # along each axis
    name, width, arrays = "poke", 3 * nodes**2, ("poke_position", "poke_displacement")
    form, takes_pokes = "x,y,dx,dy", True

    def encode(self, values: ArrayLike, size: int) -> jax.Array:
        """Returns grids [B, 192] of pokes [B, 4] in pixels, pixel (0, 0) having its middle at (0, 0)."""
        pixels, cells = jnp.asarray(values, jnp.float32), self.nodes - 1
        places = cells * jnp.clip((pixels[:, :2] + 0.5) / size, 0.0, 1.0)
        displacements = cells * (pixels[:, 2:] / size)
        shares = linear_weights(places, self.nodes)  # [B, (x, y), nodes]
        weight = shares[:, 1, :, None] * shares[:, 0, None, :]  # [B, rows, columns]
        channels = jnp.concatenate([jnp.ones_like(displacements[:, :1]), displacements], axis=-1)
        return (weight[..., None] * channels[:, None, None, :]).reshape(pixels.shape[0], self.width)

    def values_of(self, arrays: list[ArrayLike]) -> ArrayLike:
        return jnp.concatenate([jnp.asarray(array, jnp.float32) for array in arrays], axis=-1)

    def parse(self, text: str) -> NDArray[Any]:
        """Returns the poke [1, 4], in pixels of the model's frames."""
        return np.array([_finite(self.name, text, self.form)], np.float32)

    def random(self, rng: jax.Array, count: int) -> jax.Array:
        raise UserError("pokes are not drawn at random: give a poke", "control", self.name)

    def example(self, size: int) -> NDArray[Any]:
        return np.array([[size // 2, size // 2, size // 8, 0]], np.float32)

    def measure(self, video: NDArray[Any]) -> str:
        raise UserError(
            "the poke of a clip cannot be measured: give it in Python, see docs/poke.md", "control", self.name
        )

    def check(self, data: ConfigDict) -> None:
        if "poke" not in data or data.poke.normalize != "none":
            raise UserError(
                "control=poke needs clips with pokes, as displacements in pixels: see configs/plants.py",
                "control",
                "poke",
            )

    def describe(self, data: ConfigDict, *, drawn: bool = False) -> str:
        flow = "exact" if data.poke.flow == "exact" else "DIS"
        return f"conditioned on a true poke, from the {flow} flow over {data.frames - 1} frames"


def _finite(name: str, text: str, form: str) -> list[float]:
    values = numbers(name, text, form)
    if not np.isfinite(values).all():
        raise UserError(f"{name}={text} does not have the form {form} with finite numbers", name, text)
    return values


NONE, DIRECTION, POKE = Unconditional(), Direction(), Poke()
ENDPOINT = Endpoint(minimum=end_effector.MINIMUM, extent=end_effector.EXTENT)
_CONTROLS: dict[str, Control] = {control.name: control for control in (NONE, DIRECTION, ENDPOINT, POKE)}


def register(control: Control) -> None:
    """Adds a control from outside the package. Raises UserError if another control has its name."""
    if _CONTROLS.setdefault(control.name, control) is not control:
        raise UserError(
            f"a control named {control.name!r} is already registered: choose another name", "name", control.name
        )


def every() -> Iterable[Control]:
    """Returns all controls, `NONE` first."""
    return tuple(_CONTROLS.values())


def get(name: str) -> Control:
    """Returns the control of a name. Raises UserError for an unknown one."""
    if name not in _CONTROLS:
        raise UserError(f"control={name}: choose {', '.join(_CONTROLS)}", "control", name)
    return _CONTROLS[name]
