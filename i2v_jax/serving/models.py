"""The kinds of trained model as the engine runs them and a user asks them.

A further kind is a class like those below and a line in `open_model`: the HTTP API, the WebSocket and the page go by
what it describes.
"""

import dataclasses
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input.coordinates import Scaling
from i2v_jax.input.images import to_start_frame
from i2v_jax.input.transforms import eval_crop
from i2v_jax.sampling.chunks import Array
from i2v_jax.sampling.load import Choice, is_poke_model, load_poke_synthesizer, load_synthesizer
from i2v_jax.sampling.poke_samples import poke_control
from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer
from i2v_jax.sampling.synthesizer import CLIP_FRAMES, Chain, VideoSynthesizer
from i2v_jax.serving.fields import Fields
from i2v_jax.tasks import control as controls
from i2v_jax.workdir import read_workdir

MAX_FRAMES = 64
MAX_SAMPLES = 8
MAX_POKES = 8  # of one request
MAX_VIDEOS = 32  # of one request, the samples of all its pokes
CROPS = ("resize", "center")

Poke = tuple[np.ndarray, np.ndarray]  # position [2] and displacement [2] in the model's pixels


class Asked(Protocol):
    """A request as the API sees it."""

    @property
    def kind(self) -> Hashable:
        """Requests of equal kind can be computed together."""

    @property
    def start_frame(self) -> Array:
        """[H, W, 3]."""

    @property
    def frames(self) -> int:
        """T of the answer, the start frame not among them."""

    @property
    def samples(self) -> int:
        """S of the answer [S, T, H, W, 3]."""

    @property
    def poke(self) -> Poke | None: ...


class ServedModel(Protocol):
    """What the API and the page need of a model, beside what the engine needs."""

    name: str  # "poke" or "sample", of the route
    size: int
    crop: str

    def describe(self) -> dict[str, Any]:
        """What a page must know to ask.

        model (the name), size, crop, frames {default, most}, poke (None, or {impulse}), samples (None, or {default,
        most}), control (its name), and control_input (None, or {kind: "angle" or "text", form: how to write a value}).
        """

    def requests(self, values: Mapping[str, Any], pixels: np.ndarray) -> Sequence[Asked]:
        """What the parameters ask of an image, uint8 [h, w, 3]. Raises UserError."""

    @property
    def max_batch(self) -> int: ...

    def warm_up(self) -> None: ...

    def run(self, requests: Sequence[Any]) -> Iterator[Sequence[Array]]: ...


def open_model(workdir: str | os.PathLike[str], checkpoint: Choice = "latest") -> ServedModel:
    """The trained model of a work directory. Arguments and UserErrors are those of the loaders of `sampling.load`."""
    config = read_workdir(workdir)
    if is_poke_model(config):
        return ServedPokes(load_poke_synthesizer(workdir, checkpoint=checkpoint), config.data.crop)
    served = ServedPokeSamples if controls.get(config.control).takes_pokes else ServedSamples
    return served(load_synthesizer(workdir, checkpoint=checkpoint), config.data.crop)


@dataclasses.dataclass(frozen=True, eq=False)
class PokeRequest:
    """One poke of one image."""

    start_frame: Array  # [H, W, 3]
    poke: Poke
    frames: int
    samples: int = 1

    @property
    def kind(self) -> Hashable:
        return self.frames


class ServedPokes:
    """A poke model. One poke is one request; the answers to several are computed together."""

    name = "poke"
    parameters: tuple[str, ...] = ("poke", "in_turn", "frames", "crop")
    max_batch = 4

    def __init__(self, synthesizer: PokeSynthesizer, crop: str) -> None:
        self._synthesizer, self.crop = synthesizer, eval_crop(crop)
        self.size = synthesizer.size

    def describe(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "size": self.size,
            "crop": self.crop,
            "frames": {"default": self._synthesizer.frames, "most": MAX_FRAMES},
            "poke": {"impulse": self._synthesizer.impulse},
            "samples": None,
            "control": controls.NONE.name,
            "control_input": None,
        }

    def requests(self, values: Mapping[str, Any], pixels: np.ndarray) -> list[PokeRequest]:
        fields = Fields(values, self.parameters)
        crop = fields.choice("crop", self.crop, CROPS)
        frames = fields.integer("frames", self._synthesizer.frames, 1, MAX_FRAMES)
        start_frame = to_start_frame(pixels, self.size, crop)
        pokes = _pokes(fields, pixels, self.size, crop, impulse=self._synthesizer.impulse)
        self._synthesizer.check_pokes(*(np.array(side) for side in zip(*pokes, strict=True)))
        return [PokeRequest(start_frame, poke, frames) for poke in pokes]

    def warm_up(self) -> None:
        blank, poke = np.zeros((self.size, self.size, 3), np.float32), (np.zeros(2), np.array([1.0, 0.0]))
        for count in (1, 2, 4):
            list(self.run([PokeRequest(blank, poke, frames=2)] * count))

    def run(self, requests: Sequence[PokeRequest]) -> Iterator[list[Array]]:
        filled = [*requests, *[requests[-1]] * (_filled(len(requests)) - len(requests))]
        parts = self._synthesizer.stream(
            np.stack([request.start_frame for request in filled]),
            np.stack([request.poke[0] for request in filled]),
            np.stack([request.poke[1] for request in filled]),
            requests[0].frames,
        )
        for part in parts:
            yield [part[index : index + 1] for index in range(len(requests))]


@dataclasses.dataclass(frozen=True, eq=False)
class SampleRequest:
    """Samples of one image, or of one poke of it."""

    start_frame: Array  # [H, W, 3]
    samples: int
    frames: int
    seed: int
    temperature: float
    control: Array | None  # [1, n]
    chain: Chain
    poke: Poke | None = None

    @property
    def kind(self) -> Hashable:
        return id(self)  # the samples are a batch already


class ServedSamples:
    """A cINN, told nothing beside the picture, or where to: a direction or an end point."""

    name = "sample"
    parameters: tuple[str, ...] = ("samples", "seed", "temperature", "frames", "chain", "crop")
    max_batch = 1

    def __init__(self, synthesizer: VideoSynthesizer, crop: str) -> None:
        self._synthesizer, self.crop = synthesizer, eval_crop(crop)
        self.size = synthesizer.size

    def describe(self) -> dict[str, Any]:
        control = self._synthesizer.control
        return {
            "model": self.name,
            "size": self.size,
            "crop": self.crop,
            "frames": {"default": CLIP_FRAMES, "most": MAX_FRAMES},
            "poke": None,
            "samples": {"default": 4, "most": MAX_SAMPLES},
            "control": control.name,
            "control_input": {"kind": "angle" if control.takes_angle else "text", "form": control.form}
            if control.width
            else None,
        }

    def requests(self, values: Mapping[str, Any], pixels: np.ndarray) -> list[SampleRequest]:
        names = [control.name for control in controls.every() if control.form and not control.takes_pokes]
        fields = Fields(values, (*self.parameters, *names))
        given = {name: fields.text(name) for name in names}
        control = self._synthesizer.control.request(given, self.size)
        return [self._request(fields, pixels, control)]

    def _request(self, fields: Fields, pixels: np.ndarray, control: Array | None) -> SampleRequest:
        temperature = fields.number("temperature", 1.0, 0.0, 4.0)
        return SampleRequest(
            start_frame=to_start_frame(pixels, self.size, fields.choice("crop", self.crop, CROPS)),
            samples=fields.integer("samples", 4, 1, MAX_SAMPLES),
            frames=fields.integer("frames", CLIP_FRAMES, 1, MAX_FRAMES),
            seed=fields.integer("seed", 0, 0, 2**31 - 1),
            temperature=1.0 if temperature is None else temperature,
            control=control,
            chain=cast(Chain, fields.choice("chain", "same_z", ("same_z", "fresh"))),
        )

    def warm_up(self) -> None:
        control = self._any_control()
        blank = np.zeros((self.size, self.size, 3), np.float32)
        for count in (1, 2, 4, 8):
            list(self.run([SampleRequest(blank, count, CLIP_FRAMES + 1, 0, 1.0, control, "fresh")]))

    def _any_control(self) -> Array | None:
        """A control to warm up with; None is drawn."""
        return None

    def run(self, requests: Sequence[SampleRequest]) -> Iterator[list[Array]]:
        (request,) = requests
        parts = self._synthesizer.stream(
            request.start_frame[None],
            jax.random.key(request.seed),
            _filled(request.samples),  # which keeps the first ones
            frames=request.frames,
            temperature=request.temperature,
            control=request.control,
            chain=request.chain,
        )
        for part in parts:
            yield [part[0, : request.samples]]


class ServedPokeSamples(ServedSamples):
    """A cINN that is controlled by pokes: many answers to each. The same seed is the same residuals for all pokes."""

    name = "poke"
    parameters: tuple[str, ...] = ("poke", "in_turn", "samples", "seed", "temperature", "frames", "chain", "crop")

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "poke": {"impulse": False}, "control": controls.NONE.name, "control_input": None}

    def requests(self, values: Mapping[str, Any], pixels: np.ndarray) -> list[SampleRequest]:
        fields = Fields(values, self.parameters)
        crop = fields.choice("crop", self.crop, CROPS)
        pokes = _pokes(fields, pixels, self.size, crop, impulse=False)
        request = self._request(fields, pixels, None)
        if len(pokes) * request.samples > MAX_VIDEOS:
            raise UserError(
                f"{len(pokes)} pokes of {request.samples} samples each are too many, {MAX_VIDEOS} videos at most"
            )
        return [dataclasses.replace(request, poke=poke, control=self._control(poke)) for poke in pokes]

    def _any_control(self) -> Array:
        return self._control((np.zeros(2), np.array([1.0, 0.0])))

    def _control(self, poke: Poke) -> Array:
        position, displacement = poke
        return poke_control(self._synthesizer, position[None], displacement[None])


def _pokes(fields: Fields, pixels: np.ndarray, size: int, crop: str, *, impulse: bool) -> list[Poke]:
    """The pokes that are asked for, at least one, of an image [h, w, 3]. Raises UserError."""
    rows = fields.rows("poke", "x,y,dx,dy", MAX_POKES)
    if not rows:
        raise UserError("this model answers to pokes: give poke=x,y,dx,dy")
    scaling = Scaling(pixels.shape[1], pixels.shape[0], size, crop)
    return [scaling.poke(*row, impulse=impulse) for row in rows]


def _filled(count: int) -> int:
    """The power of two that so many are filled up to: few programs serve all numbers."""
    return 1 << (count - 1).bit_length()
