"""The HTTP API: POST /v1/poke, /v1/sample, /v1/image, /v1/render; GET /v1/model, /v1/examples/NAME, /healthz, /metrics.

Errors are {"error": "words"}: 400 for what the client can mend, 413 and 415 for bodies, 429 when the queue is full, 503
while the model is not ready, 500 for what went wrong here.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.input import images
from i2v_jax.sampling.chunks import Array
from i2v_jax.serving import metrics as metrics_module
from i2v_jax.serving.answers import CONTENT_TYPES, MAX_SCALE, Clip, Mark, encode
from i2v_jax.serving.bodies import ImageReader, read_body
from i2v_jax.serving.engine import Engine
from i2v_jax.serving.examples import Example
from i2v_jax.serving.fields import Fields
from i2v_jax.serving.models import CROPS, PokeRequest, ServedModel

_OUTPUT = ("format", "fps", "scale", "arrows")


@dataclasses.dataclass(frozen=True)
class Api:
    """The handlers, on one engine."""

    engine: Engine
    model: ServedModel
    metrics: metrics_module.Metrics
    examples: Mapping[str, Example]
    reader: ImageReader
    fps: float  # of files, unless told otherwise

    async def healthz(self, request: Request) -> Response:
        """200 when requests are taken, 503 before that."""
        if self.engine.ready:
            return JSONResponse({"status": "ready"})
        status = "failed" if self.engine.failure else "compiling"
        return JSONResponse({"status": status}, 503, {"Retry-After": "1"})

    async def metrics_text(self, request: Request) -> Response:
        """Prometheus."""
        return Response(self.metrics.text(), media_type=metrics_module.CONTENT_TYPE)

    async def describe(self, request: Request) -> Response:
        """What the model is, and the names of the examples."""
        return JSONResponse({**self.model.describe(), "fps": self.fps, "examples": list(self.examples)})

    async def example(self, request: Request) -> Response:
        """An example as the model sees it, PNG."""
        name = request.path_params["name"]
        if name not in self.examples:
            return JSONResponse({"error": f"there is no example {name[:40]!r}"}, 404)
        return Response(self.examples[name].thumbnail(self.model.size, self.model.crop), media_type="image/png")

    async def image(self, request: Request) -> Response:
        """An image of any size and mode as the model sees it, PNG."""
        values = await read_body(request)
        pixels = await self.reader.take(values)
        crop = Fields(values, ("crop",)).choice("crop", self.model.crop, CROPS)
        height, width = pixels.shape[:2]
        start_frame = images.to_start_frame(pixels, self.model.size, crop)
        size = {"X-Image-Size": f"{width}x{height}"}
        return Response(media.png_bytes(start_frame), media_type="image/png", headers=size)

    async def poke(self, request: Request) -> Response:
        """Answers to pokes."""
        self._check_kind("poke")
        values, output = await self._asked(request)
        in_turn = Fields({"in_turn": values.pop("in_turn", None)}, ("in_turn",)).flag("in_turn", False)
        pixels = await self.reader.take(values)
        requests: Sequence[Any] = self.model.requests(values, pixels)
        clips = await (self._in_turn(requests) if in_turn else self._each(requests))
        return await self._answer(clips, output)

    async def sample(self, request: Request) -> Response:
        """Samples of an image."""
        self._check_kind("sample")
        values, output = await self._asked(request)
        pixels = await self.reader.take(values)
        (asked,) = self.model.requests(values, pixels)
        start_frame = asked.start_frame  # type: ignore[attr-defined]
        (job,) = self.engine.submit([asked])
        clips = [Clip(_with_start(start_frame, video)) for video in await job.whole()]
        return await self._answer(clips, output)

    async def render(self, request: Request) -> Response:
        """Frames that were seen, as a file: `frame` are PNGs, those of the first of `samples` videos first."""
        values = await read_body(request)
        contents = values.pop("frame", [])
        output = _Output.of({name: values.pop(name, None) for name in _OUTPUT}, "", self.fps)
        fields = Fields(values, ("samples", "marks"))
        samples = fields.integer("samples", 1, 1, 64)
        marks = tuple(_mark(text) for text in (fields.text("marks") or "").split(";") if text)
        if not contents or len(contents) % samples or not all(isinstance(item, bytes) for item in contents):
            raise UserError(f"frame: {len(contents)} pictures do not make {samples} videos of equal length")
        clips = await anyio.to_thread.run_sync(_clips, contents, samples, marks)
        return await self._answer(clips, output)

    def _check_kind(self, name: str) -> None:
        if self.model.name != name:
            raise UserError(
                "this model was not trained with pokes: ask /v1/sample"
                if name == "poke"
                else "this is a poke model, which answers to pokes: ask /v1/poke"
            )

    async def _asked(self, request: Request) -> tuple[dict[str, Any], "_Output"]:
        values = await read_body(request)
        accept = request.headers.get("accept", "")
        return values, _Output.of({name: values.pop(name, None) for name in _OUTPUT}, accept, self.fps)

    async def _each(self, requests: Sequence[PokeRequest]) -> list[Clip]:
        jobs = self.engine.submit(requests)
        videos = await asyncio.gather(*(job.whole() for job in jobs))
        return [
            Clip(_with_start(asked.start_frame, video[0]), (Mark(0, asked.position, asked.displacement),))
            for asked, video in zip(requests, videos, strict=True)
        ]

    async def _in_turn(self, requests: Sequence[PokeRequest]) -> list[Clip]:
        """One video, every poke's start frame before its answer."""
        parts, marks, last = [], [], requests[0].start_frame
        for asked in requests:
            (job,) = self.engine.submit([dataclasses.replace(asked, start_frame=last)])
            marks.append(Mark(sum(map(len, parts)), asked.position, asked.displacement))
            parts.append(_with_start(last, (await job.whole())[0]))
            last = parts[-1][-1]
        return [Clip(np.concatenate(parts), tuple(marks))]

    async def _answer(self, clips: Sequence[Clip], output: "_Output") -> Response:
        if not output.arrows:
            clips = [Clip(clip.frames) for clip in clips]
        content = await anyio.to_thread.run_sync(encode, clips, output.form, output.fps, output.scale)
        return Response(content, media_type=CONTENT_TYPES[output.form])


@dataclasses.dataclass(frozen=True)
class _Output:
    """How the answer is wanted."""

    form: str
    fps: float
    scale: int
    arrows: bool

    @classmethod
    def of(cls, values: Mapping[str, Any], accept: str, fps: float) -> "_Output":
        fields = Fields(values, _OUTPUT)
        accepted = [form for form, content_type in CONTENT_TYPES.items() if content_type in accept.lower()]
        form = fields.choice("format", accepted[0] if accepted else "mp4", tuple(CONTENT_TYPES))
        rate = fields.number("fps", fps, 0.1, 60.0)
        return cls(
            form, fps if rate is None else rate, fields.integer("scale", 0, 0, MAX_SCALE), fields.flag("arrows", True)
        )


def _mark(text: str) -> Mark:
    """Of "first,x,y,dx,dy"."""
    fields = Fields({"marks": text}, ("marks",))
    first, x, y, dx, dy = fields.quadruples("marks", "first,x,y,dx,dy")[0]
    if not np.isfinite([first, x, y, dx, dy]).all() or first < 0 or max(map(abs, (x, y, dx, dy))) > 4096:
        raise UserError(f"marks={text[:40]}: first,x,y,dx,dy is needed, numbers of a poke")
    return Mark(int(first), np.array([x, y]), np.array([dx, dy]))


def _clips(contents: Sequence[bytes], samples: int, marks: tuple[Mark, ...]) -> list[Clip]:
    frames = [images.decode_upload(content, f"frame {number}") for number, content in enumerate(contents)]
    if len({frame.shape for frame in frames}) > 1 or max(frames[0].shape) > 1024:
        raise UserError("frame: pictures of one size are needed, of 1024 pixels at most")
    videos = np.stack(frames).reshape(samples, -1, *frames[0].shape)
    return [Clip(video, tuple(mark for mark in marks if mark.first < len(video))) for video in videos]


def _with_start(start_frame: Array, video: Array) -> Array:
    return np.concatenate([start_frame[None], video])
