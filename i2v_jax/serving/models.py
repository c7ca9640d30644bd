"""Trained models behind the API. What clients can request of a model follows from its description."""

import dataclasses
import functools
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Self, cast

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input.coordinates import Scaling
from i2v_jax.input.images import to_start_frame
from i2v_jax.input.transforms import eval_crop
from i2v_jax.sampling.arrays import Array
from i2v_jax.sampling.generator import Chain, Description, Generator
from i2v_jax.sampling.load import Selection, describe, load_generator
from i2v_jax.sampling.stages import variables_sha256
from i2v_jax.serving.engine import NotReadyError
from i2v_jax.serving.fields import Fields
from i2v_jax.tasks import control as controls
from i2v_jax.workdir import read_workdir

MAX_FRAMES = 64
MAX_SAMPLES = 8
USUAL_SAMPLES = 4
MAX_POKES = 8  # of one request
MAX_VIDEOS = 32  # of one request, the samples of all its pokes
MAX_BATCH = 4  # requests that a deterministic model computes together
CROPS = ("resize", "center")
_SAMPLING = ("samples", "seed", "temperature", "chain")  # parameters without effect on a deterministic model

Poke = tuple[np.ndarray, np.ndarray]  # position [2] and displacement [2] in the model's pixels


@dataclasses.dataclass(frozen=True, eq=False)
class VideoRequest:
    """The samples of one image, or of one poke of it."""

    start_frame: Array  # [H, W, 3]
    frames: int  # T of the answer, without the start frame
    control: Array | None  # [1, n]; None draws one for each sample
    poke: Poke | None = None
    samples: int = 1  # S of the answer [S, T, H, W, 3]
    seed: int = 0
    temperature: float = 1.0
    chain: Chain = "same_z"
    batched: bool = False  # whether it can be computed together with others of the same length

    @property
    def kind(self) -> Hashable:
        """Requests of equal kind can be computed together."""
        return self.frames if self.batched else id(self)


class ServedModel:
    """A generator as the API, the page and the engine use it.

    Each poke is one request. The requests of a deterministic model are computed together. The samples of any other
    model already form a batch, and the same seed draws the same residuals for every poke.
    """

    def __init__(self, about: Description, load: Callable[[], Generator], crop: str, resize: str = "area") -> None:
        """Describes a model that is not loaded yet.

        Args:
            about: the description of what `load` returns.
            load: returns the generator.
            crop: that of the configuration's `data`: with `resize`, how training made frames square.
            resize: see `crop`.
        """
        self._about, self._load = about, load
        self._loaded: Generator | None = None
        self._quick: Generator | None = None  # what `run` uses until all is optimized
        self.size, self.crop, self._resize = self._about.size, eval_crop(crop), resize
        self.name = "poke" if self._about.pokes else "sample"  # the last part of the route
        self.max_batch = MAX_BATCH if self._about.deterministic else 1

    @classmethod
    def loaded(cls, generator: Generator, crop: str, resize: str = "area") -> Self:
        """Returns the model of a generator that is there; `crop` and `resize` as of `ServedModel`."""
        model = cls(generator.describe(), lambda: generator, crop, resize)
        model.load()
        return model

    def load(self) -> None:
        """Loads the generator, once."""
        self._loaded = self._loaded or self._load()

    @property
    def _generator(self) -> Generator:
        if self._loaded is None:
            raise NotReadyError("the model is still being loaded")
        return self._loaded

    def sha256(self) -> str:
        """Returns the hash of the parameters, as on the card of a file. Raises NotReadyError before `load`."""
        return variables_sha256(self._generator.variables)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters of a request."""
        sampling = () if self._about.deterministic else _SAMPLING
        motion = ("poke", "in_turn") if self._about.pokes else _control_names()
        return (*motion, *sampling, "frames", "crop")

    @property
    def impulse(self) -> bool:
        """Whether pokes are directions without a length."""
        return self._about.pokes and self._about.impulse

    def describe(self) -> dict[str, Any]:
        """Returns what a page needs to know to make requests.

        model (the name), size, crop, frames {default, most}, poke (None, or {impulse}), samples (None, or {default,
        most}), control (its name), and control_input (None, or {kind: "angle" or "text", form: how to write a value}).
        """
        about, control = self._about, controls.NONE if self._about.pokes else self._about.control
        kind = "angle" if control.takes_angle else "text"
        return {
            "model": self.name,
            "size": self.size,
            "crop": self.crop,
            "frames": {"default": about.frames, "most": MAX_FRAMES},
            "poke": {"impulse": about.impulse} if about.pokes else None,
            "samples": None if about.deterministic else {"default": USUAL_SAMPLES, "most": MAX_SAMPLES},
            "control": control.name,
            "control_input": {"kind": kind, "form": control.form} if control.width else None,
        }

    def start_frame(self, pixels: np.ndarray, crop: str) -> Array:
        """Returns an image uint8 [h, w, 3] as the model sees it, float32 [size, size, 3] in [-1, 1]."""
        return to_start_frame(pixels, self.size, crop, self._resize)

    def requests(self, values: Mapping[str, Any], pixels: np.ndarray) -> list[VideoRequest]:
        """Returns the requests that parameters describe, of an image, uint8 [h, w, 3]. Raises UserError if invalid."""
        fields, about = Fields(values, self.parameters), self._about
        crop = fields.choice("crop", self.crop, CROPS)
        pokes = self._pokes(fields, pixels, crop) if about.pokes else []
        request = VideoRequest(
            start_frame=self.start_frame(pixels, crop),
            frames=fields.integer("frames", about.frames, 1, MAX_FRAMES),
            control=None,
            batched=about.deterministic,
            **({} if about.deterministic else self._sampling(fields)),
        )
        if not about.pokes:
            given = {name: fields.text(name) for name in _control_names()}
            return [dataclasses.replace(request, control=about.control.request(given, self.size))]
        if len(pokes) * request.samples > MAX_VIDEOS:
            raise UserError(
                f"{len(pokes)} pokes of {request.samples} samples each are too many videos (at most {MAX_VIDEOS})",
                "samples",
                request.samples,
            )
        return [dataclasses.replace(request, poke=poke, control=self._control(poke)) for poke in pokes]

    def warm_up(self) -> None:
        """Loads the generator and compiles what a usual request needs, quickly to slower programs.

        After it, `run` may be called.
        """
        self.load()
        generator: Any = self._generator
        quick = dataclasses.replace(generator, quick=True)
        list(self._compiling(quick, 1 if self._about.deterministic else USUAL_SAMPLES, "same_z"))
        self._quick = quick

    def optimize(self) -> Iterator[None]:
        """Compiles all that `run` will use, for speed, program by program; `run` may be called at the same time."""
        most = self.max_batch if self._about.deterministic else MAX_SAMPLES
        for count in (2**power for power in range(most.bit_length())):
            yield from self._compiling(self._generator, count, "fresh")
        self._quick = None

    def _compiling(self, generator: Generator, count: int, chain: Chain) -> Iterator[None]:
        """Compiles for `count` samples, or for as many requests of a deterministic model, part by part."""
        about = self._about
        request = VideoRequest(
            start_frame=np.zeros((self.size, self.size, 3), np.float32),
            frames=about.frames + 1,  # so that the motion continues once
            control=self._control((np.zeros(2), np.array([1.0, 0.0]))) if about.pokes else None,
            samples=1 if about.deterministic else count,
            chain=chain,
        )
        for _ in self._run(generator, [request] * (count if about.deterministic else 1)):
            yield

    def run(self, requests: Sequence[VideoRequest]) -> Iterator[list[Array]]:
        """Yields the answers to requests of equal kind part by part: [S, t, H, W, 3] for each request."""
        return self._run(self._quick or self._generator, requests)

    def _run(self, generator: Generator, requests: Sequence[VideoRequest]) -> Iterator[list[Array]]:
        first = requests[0]
        filled = [*requests, *[requests[-1]] * (_power_of_two(len(requests)) - len(requests))]
        controls = [request.control for request in filled if request.control is not None]
        parts = generator.stream(
            np.stack([request.start_frame for request in filled]),
            jax.random.key(first.seed),
            _power_of_two(first.samples),  # does not change the first ones
            frames=first.frames,
            temperature=first.temperature,
            control=np.concatenate(controls) if controls else None,
            chain=first.chain,
        )
        for part in parts:
            yield [part[index, : request.samples] for index, request in enumerate(requests)]

    def _sampling(self, fields: Fields) -> dict[str, Any]:
        """Returns the fields of a `VideoRequest` that a deterministic model does not use."""
        temperature = fields.number("temperature", 1.0, 0.0, 4.0)
        return {
            "samples": fields.integer("samples", USUAL_SAMPLES, 1, MAX_SAMPLES),
            "seed": fields.integer("seed", 0, 0, 2**31 - 1),
            "temperature": 1.0 if temperature is None else temperature,
            "chain": cast(Chain, fields.choice("chain", "same_z", ("same_z", "fresh"))),
        }

    def _pokes(self, fields: Fields, pixels: np.ndarray, crop: str) -> list[Poke]:
        """Returns the requested pokes of an image [h, w, 3], at least one."""
        rows = fields.rows("poke", "x,y,dx,dy", MAX_POKES)
        if not rows:
            raise UserError("this model needs a poke: give poke=x,y,dx,dy", field="poke")
        scaling = Scaling(pixels.shape[1], pixels.shape[0], self.size, crop)
        return [scaling.poke(*row, impulse=self._about.impulse) for row in rows]

    def _control(self, poke: Poke) -> Array:
        position, displacement = poke
        return self._generator.encode_pokes(position[None], displacement[None])


def open_model(workdir: str | os.PathLike[str], checkpoint: Selection | None = None) -> ServedModel:
    """Returns the trained model of a work directory, of which only the configuration was read.

    Arguments and errors, those of `ServedModel.load` included, are those of `load.load_generator`.
    """
    config = read_workdir(workdir)
    load = functools.partial(load_generator, workdir, checkpoint=checkpoint)
    return ServedModel(describe(config), load, config.data.crop, config.data.resize)


def _control_names() -> tuple[str, ...]:
    """Returns the parameters of all controls except pokes, so that a model names those that it refuses."""
    return tuple(control.name for control in controls.every() if control.form and not control.takes_pokes)


def _power_of_two(count: int) -> int:
    """Returns the next power of two, so that few compiled programs serve all batch sizes."""
    return 1 << (count - 1).bit_length()
