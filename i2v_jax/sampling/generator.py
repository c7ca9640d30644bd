"""What every trained model offers: videos of start frames, and a description of what they can be conditioned on.

Shapes: start frames x0 [B, H, W, 3] and videos [B, S, T, H, W, 3] in [-1, 1]; x0 itself is not among the frames of its
videos. Pokes are positions [B, 2] as (x, y) and displacements [B, 2] as (dx, dy) in pixels at the model's resolution,
y down; the center of pixel (x, y) is at (x, y).
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike, NDArray

from i2v_jax.distributed.runtime import quick_compilation
from i2v_jax.errors import UserError
from i2v_jax.sampling.arrays import Array, checked_pokes, in_chunks, on_every_device
from i2v_jax.tasks.control import Control

Chain = Literal["same_z", "fresh"]
FEW = 16  # videos of the trained length, which `Generator.quick` has sooner than optimized programs
# (variables, start frames [B, H, W, 3], key of `jax.random.key`, control [B, n] or None) -> videos [B, S, T, H, W, 3]
Sampler = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Description:
    """What a generator makes, and what it takes."""

    size: int  # height and width of a frame
    frames: int  # T of the clips that it was trained on
    control: Control  # of the motion, in addition to the start frame
    deterministic: bool  # one video for each start frame and control, whatever the seed and the temperature
    impulse: bool = False  # pokes are directions of length at most 1 instead of displacements in pixels
    latent_dimensions: int = 0  # z of `LatentGenerator`; 0 for a model without a latent

    @property
    def pokes(self) -> bool:
        """Whether the model needs a poke to make a video."""
        return self.control.takes_pokes


class Generator(abc.ABC):
    """A trained model.

    `sampler` is the model as a pure function, for `jax.jit` and `jax.export`. The other methods take and return NumPy
    arrays. They run the same functions in chunks of equal size, so that each compiles once for any number of videos,
    with variables that are placed on the devices once. All raise UserError for inputs that do not fit the model.
    """

    variables: Mapping[str, Any]  # of all networks
    size: int  # height and width of a frame
    chunk: int  # videos at a time
    progress: bool  # show a bar while videos are decoded
    mesh: Mesh | None  # of one axis: its devices share each chunk; None: the default device
    quick: bool  # compile for a few videos, see `runtime.quick_compilation`

    @abc.abstractmethod
    def describe(self) -> Description:
        """Returns the description of the model."""

    @abc.abstractmethod
    def sampler(
        self, num_samples: int, frames: int | None = None, temperature: float = 1.0, chain: Chain = "same_z"
    ) -> Sampler:
        """Returns `generate` as a pure function of variables and arrays, for any batch size; same arguments."""

    @abc.abstractmethod
    def stream(
        self,
        start_frames: ArrayLike,
        rng: jax.Array,
        num_samples: int,
        *,
        frames: int | None = None,
        temperature: float = 1.0,
        control: ArrayLike | None = None,
        chain: Chain = "same_z",
        example_ids: Sequence[int] | None = None,
    ) -> Iterator[Array]:
        """Yields the videos of `generate` in parts [B, S, t, H, W, 3], each as soon as it is computed."""

    def generate(
        self,
        start_frames: ArrayLike,
        rng: jax.Array,
        num_samples: int,
        *,
        frames: int | None = None,
        temperature: float = 1.0,
        control: ArrayLike | None = None,
        chain: Chain = "same_z",
        example_ids: Sequence[int] | None = None,
    ) -> Array:
        """Returns `num_samples` videos of each start frame.

        A sample depends on `rng`, the id of its start frame and its own index alone: a larger `num_samples` keeps the
        first ones. A deterministic model repeats its only answer.

        Args:
            start_frames: x0 [B, H, W, 3].
            rng: a key of `jax.random.key`.
            num_samples: S.
            frames: T; None: as many as in training. Beyond that the motion goes on from the last frame.
            temperature: standard deviation of what is drawn; 0 gives S equal videos.
            control: [B, n] or [1, n]: the control of the motion, as `encode_control` and `encode_pokes` return it.
                None draws it for each sample, but pokes are never drawn.
            chain: beyond the trained length, "same_z" repeats the motion (release) and "fresh" draws a new one.
            example_ids: integers [B] that stand for the start frames in the random numbers; None: 0 to B - 1.

        Returns:
            [B, S, T, H, W, 3].
        """
        parts = self.stream(
            start_frames, rng, num_samples, frames=frames, temperature=temperature, control=control, chain=chain,
            example_ids=example_ids,
        )  # fmt: skip
        return np.concatenate(list(parts), axis=2)

    def encode_pokes(self, positions: ArrayLike, displacements: ArrayLike) -> Array:
        """Pokes as the control [B, n] of `generate` and the other methods.

        Raises:
            UserError: the model does not answer to pokes; a poke is invalid (`input.pokes.check_poke`).
        """
        about = self.describe()
        if not about.pokes:
            raise UserError(
                "this model was not trained with pokes: train one with --config=configs/plants.py:model=cinn",
                field="control",
                value=about.control.name,
            )
        pokes = checked_pokes(positions, displacements, self.size, impulse=about.impulse)
        return np.asarray(self.encode_control(np.concatenate(pokes, axis=-1)))

    @abc.abstractmethod
    def encode_control(self, values: jax.Array | NDArray[Any]) -> jax.Array | NDArray[Any]:
        """Returns the control [B, n] of the other methods, from values [B, ...] of `describe().control`."""

    @abc.abstractmethod
    def clip_control(self, clips: Mapping[str, NDArray[Any]]) -> Array:
        """Returns the control [B, n] of clips, the arrays of a batch. Raises UserError if some are missing."""

    @abc.abstractmethod
    def clip_features(self, video: ArrayLike) -> Array:
        """Returns features [B, n] of clips [B, 1 + T, H, W, 3], x0 first, T as in training; similar clips are close."""

    @functools.cached_property
    def placed(self) -> Any:
        """The variables on the devices."""
        return on_every_device(self.variables, self.mesh)

    def _compiled(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """Returns `jax.jit(function, **options)`."""
        return jax.jit(function, compiler_options=quick_compilation() if self.quick else None, **options)

    def _in_chunks(
        self, function: Callable[..., jax.Array], *arrays: NDArray[Any], variables: Any = None, label: str = ""
    ) -> Array:
        """`function(variables, *arrays)`, of a compiled function; the variables are the model's unless given."""
        given = self.placed if variables is None else variables
        return in_chunks(function, given, *arrays, chunk=self.chunk, mesh=self.mesh, progress=label * self.progress)

    def _checked_length(self, frames: int | None) -> int:
        length = self.describe().frames if frames is None else frames
        if length < 1:
            raise UserError(f"invalid value for frames: {length} (must be at least 1)", field="frames", value=length)
        return length


class LatentGenerator(Generator):
    """A model whose motion is a latent z, which the flow maps to a residual nu that is standard normal."""

    @abc.abstractmethod
    def encode_motion(self, video: ArrayLike, control: ArrayLike | None = None) -> Array:
        """Returns the motion of clips that start frame and control do not determine: nu [B, z] of the posterior's mean.

        Args:
            video: [B, 1 + T, H, W, 3], x0 first, T as in training.
            control: the clips' own [B, n]; required by a model with control.
        """

    @abc.abstractmethod
    def transfer(
        self,
        motion: ArrayLike,
        start_frames: ArrayLike,
        control: ArrayLike | None = None,
        frames: int | None = None,
    ) -> Array:
        """Applies the motion nu [B, z] to start frames [B, H, W, 3] under control [B, n] -> [B, T, H, W, 3].

        Each of the three may have a single row that serves all.
        """

    @abc.abstractmethod
    def log_likelihood(
        self,
        video: ArrayLike,
        rng: jax.Array,
        control: ArrayLike | None = None,
        *,
        exact: bool = True,
        example_ids: Sequence[int] | None = None,
    ) -> Array:
        """Returns log p(z | x0, control) [B] in nats of one posterior sample z of each clip.

        Args:
            video: [B, 1 + T, H, W, 3], x0 first, T as in training.
            rng: a key of `jax.random.key`; the sample of a clip depends on it and the clip's id.
            control: the clips' own [B, n]; required by a model with control.
            exact: include the activations' log-determinants, which the authors' release leaves out.
            example_ids: integers [B] that stand for the clips in the random numbers; None: 0 to B - 1.
        """
