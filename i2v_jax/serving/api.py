"""The HTTP API: POST /v1/poke, /v1/sample, /v1/image, /v1/render; GET /v1/models, /v1/model, /v1/model.i2v,
/v1/examples/NAME, /healthz, /metrics. A request may name one of the models as `model`; without, the first is meant.

Errors are {"error": "message"}, with status 400 for invalid requests, 413 and 415 for their bodies, 429 if the queue is
full, 503 while the model is not ready, and 500 for failures of the server.
"""

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import anyio.to_thread
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response

from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.media import images
from i2v_jax.sampling.arrays import Array
from i2v_jax.serving import metrics as metrics_module
from i2v_jax.serving.answers import CONTENT_TYPES, MAX_PIXELS, MAX_SCALE, Clip, Mark, encode, enlargement
from i2v_jax.serving.bodies import MAX_FRAMES_SENT, MAX_MARKS_SENT, read_body, take_image
from i2v_jax.serving.engine import Engine, Job
from i2v_jax.serving.examples import Example
from i2v_jax.serving.fields import Fields
from i2v_jax.serving.models import CROPS, VideoRequest
from i2v_jax.serving.offers import Offer, Offers

_OUTPUT = ("format", "fps", "scale", "arrows")
_RENDERED_PIXELS = 1024 * 1024  # of a frame that a client sends to /v1/render, at most


@dataclasses.dataclass(frozen=True)
class Api:
    """The handlers of the routes."""

    offers: Offers
    metrics: metrics_module.Metrics
    fps: float  # the default frame rate of files
    max_body: int  # bytes
    # Large pictures and files need much memory. They have separate limits, so that files do not delay pictures.
    pictures: anyio.CapacityLimiter  # decoded at the same time
    files: anyio.CapacityLimiter  # written at the same time
    sockets: anyio.CapacityLimiter  # open at the same time

    async def healthz(self, request: Request) -> Response:
        """Returns status 200 if the server accepts requests of a model, otherwise 503."""
        engine = self.offers.engine(self._named(request))
        if engine.ready:
            return JSONResponse({"status": "ready"})
        state = {"status": "failed", "error": engine.problem} if engine.failure else {"status": "compiling"}
        return JSONResponse(state, 503, {"Retry-After": "1"})

    async def metrics_text(self, request: Request) -> Response:
        """Returns the metrics in the text format of Prometheus."""
        return Response(self.metrics.text(), media_type=metrics_module.CONTENT_TYPE)

    async def list_models(self, request: Request) -> Response:
        """Returns the names of the models, the first one first, and which of them are bundled."""
        return JSONResponse({"models": [{"name": each.name, "bundled": each.is_bundled} for each in self.offers]})

    async def model_file(self, request: Request) -> Response:
        """Returns the model as a file that every command takes."""
        offer = self._named(request)
        if offer.file is None:
            raise HTTPException(404, "this model has no file")
        path = await anyio.to_thread.run_sync(offer.file.path, limiter=self.files)
        return FileResponse(path, media_type="application/octet-stream", filename=offer.file.name)

    async def describe(self, request: Request) -> Response:
        """Returns the description of the model, the names of the examples, and the limits of requests."""
        offer = self._named(request)
        size = offer.model.size
        most = min(MAX_FRAMES_SENT, MAX_PIXELS // (size * media.usual_scale(size)) ** 2)
        about = {
            "fps": self.fps,
            "max_body": self.max_body,
            "examples": list(await self._examples(offer)),
            "save": {"frames": most, "pokes": MAX_MARKS_SENT},
        }
        return JSONResponse({"name": offer.name, **offer.model.describe(), **about})

    async def example(self, request: Request) -> Response:
        """Returns an example as the model sees it, as PNG."""
        name, offer = request.path_params["name"], self._named(request)
        examples, model = await self._examples(offer), offer.model
        if name not in examples:
            raise HTTPException(404, f"unknown example {name[:40]!r}: see /v1/model")
        pixels = examples[name].pixels
        return _picture(media.png_bytes(model.start_frame(pixels, model.crop)), pixels)

    async def image(self, request: Request) -> Response:
        """Returns an uploaded image as the model sees it, as PNG."""
        values = await read_body(request)
        offer = self.offers.named(values.pop("model", None))
        pixels = await self._image_of(offer, values)
        crop = Fields(values, ("crop",)).choice("crop", offer.model.crop, CROPS)

        def fitted() -> bytes:
            return media.png_bytes(offer.model.start_frame(pixels, crop))

        return _picture(await anyio.to_thread.run_sync(fitted, limiter=self.pictures), pixels)

    async def poke(self, request: Request) -> Response:
        """Returns videos of a poked image."""
        return await self._generated(request, "poke")

    async def sample(self, request: Request) -> Response:
        """Returns samples of an image."""
        return await self._generated(request, "sample")

    async def render(self, request: Request) -> Response:
        """Returns frames from the client as a file; `frame` has the PNGs of `samples` videos, video by video."""
        values = await read_body(request)
        impulse = self.offers.named(values.pop("model", None)).model.impulse
        contents = values.pop("frame", [])
        output = _Output.of({name: values.pop(name, None) for name in _OUTPUT}, "", self.fps)
        fields = Fields(values, ("samples", "mark"))
        samples = fields.integer("samples", 1, 1, 64)
        rows = fields.rows("mark", "first,x,y,dx,dy", MAX_MARKS_SENT)
        marks = tuple(sorted((_mark(row, impulse) for row in rows), key=lambda mark: mark.first))
        if not isinstance(contents, list) or not all(isinstance(item, bytes) for item in contents):
            raise UserError("frame: send pictures as the files of a form", "frame")
        if not contents or len(contents) % samples:
            raise UserError(
                f"frame: {len(contents)} pictures are not {samples} videos of equal length", "frame", len(contents)
            )
        clips = await anyio.to_thread.run_sync(_clips, contents, samples, marks, output, limiter=self.files)
        return await self._encoded(clips, output)

    async def video_requests(self, values: dict[str, Any]) -> tuple[Engine, Sequence[VideoRequest]]:
        """Returns the requests that parameters, with an image, describe, and what answers them.

        Raises:
            UserError: a parameter is invalid.
            NotReadyError: the model cannot be used.
        """
        offer = self.offers.named(values.pop("model", None))
        self.offers.engine(offer).require()
        pixels = await self._image_of(offer, values)
        requests = await anyio.to_thread.run_sync(offer.model.requests, values, pixels, limiter=self.pictures)
        return self.offers.engine(offer), requests

    def _named(self, request: Request) -> Offer:
        return self.offers.named(request.query_params.get("model"))

    async def _examples(self, offer: Offer) -> Mapping[str, Example]:
        return await anyio.to_thread.run_sync(lambda: offer.examples, limiter=self.pictures)

    async def _image_of(self, offer: Offer, values: dict[str, Any]) -> np.ndarray:
        examples = await self._examples(offer) if "example" in values else {}
        return await take_image(values, examples, self.pictures)

    async def _generated(self, request: Request, route: str) -> Response:
        values = await read_body(request)
        model = self.offers.named(values.get("model")).model
        if model.name != route:
            raise UserError(
                "this model was not trained with pokes: use /v1/sample"
                if route == "poke"
                else "this model was trained with pokes: use /v1/poke"
            )
        accept = request.headers.get("accept", "")
        output = _Output.of({name: values.pop(name, None) for name in _OUTPUT}, accept, self.fps)
        turns = {"in_turn": values.pop("in_turn", None)} if route == "poke" else {}
        in_turn = Fields(turns, ("in_turn",)).flag("in_turn", False)
        engine, requests = await self.video_requests(values)
        frames = sum(video.samples * (1 + video.frames) for video in requests)
        enlargement(frames * model.size**2, model.size, output.form, output.scale)  # before computing it
        answer = _in_turn(engine, requests, model.impulse) if in_turn else _each(engine, requests, model.impulse)
        return await self._encoded(await _unless_disconnected(request, answer), output)

    async def _encoded(self, clips: Sequence[Clip], output: "_Output") -> Response:
        if not output.arrows:
            clips = [Clip(clip.frames) for clip in clips]
        content = await anyio.to_thread.run_sync(
            encode, clips, output.form, output.fps, output.scale, limiter=self.files
        )
        return Response(content, media_type=CONTENT_TYPES[output.form])


@dataclasses.dataclass(frozen=True)
class _Output:
    """The requested file format of the answer."""

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


async def _each(engine: Engine, requests: Sequence[VideoRequest], impulse: bool) -> list[Clip]:
    jobs = engine.submit(requests)
    answers = await _complete(jobs)
    return [
        Clip(media.with_start(request.start_frame, video), _marks(request, impulse))
        for request, answer in zip(requests, answers, strict=True)
        for video in answer
    ]


async def _in_turn(engine: Engine, requests: Sequence[VideoRequest], impulse: bool) -> list[Clip]:
    """Returns one video in which each poke is applied to the last frame of the answer before it."""
    if requests[0].samples > 1:
        raise UserError("in_turn continues a single sample: give samples=1", "samples", requests[0].samples)
    parts: list[Array] = []
    marks: list[Mark] = []
    for number, request in enumerate(requests):
        following = dataclasses.replace(request, start_frame=parts[-1][-1]) if number else request
        marks.extend(_marks(following, impulse, sum(map(len, parts))))
        (answer,) = await _complete(engine.submit([following]))
        parts.append(media.with_start(following.start_frame, answer[0]))
    return [Clip(np.concatenate(parts), tuple(marks))]


def _marks(request: VideoRequest, impulse: bool, first: int = 0) -> tuple[Mark, ...]:
    return () if request.poke is None else (Mark(first, *request.poke, impulse),)


def _mark(numbers: Sequence[float], impulse: bool) -> Mark:
    first, x, y, dx, dy = numbers
    if not np.isfinite(numbers).all() or first < 0 or max(map(abs, (x, y, dx, dy))) > 4096:
        raise UserError("mark: give a frame and a poke as first,x,y,dx,dy", "mark", tuple(numbers))
    return Mark(int(first), np.array([x, y]), np.array([dx, dy]), impulse)


def _picture(content: bytes, pixels: np.ndarray) -> Response:
    """Returns a PNG of an image as the model sees it. A header has the original size, in whose pixels pokes are."""
    size = {"X-Image-Size": f"{pixels.shape[1]}x{pixels.shape[0]}"}
    return Response(content, media_type="image/png", headers=size)


async def _unless_disconnected(request: Request, answer: Coroutine[Any, Any, list[Clip]]) -> list[Clip]:
    """Returns the answer. Cancels it and raises ClientDisconnect if the client disconnects first."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work, gone = asyncio.create_task(answer), asyncio.create_task(disconnected())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _complete(jobs: Sequence[Job]) -> list[Array]:
    """Returns all answers. Cancels the others if one fails or the client disconnects."""
    try:
        return [await job.whole() for job in jobs]
    finally:
        for job in jobs:
            job.cancel()


def _clips(contents: Sequence[bytes], samples: int, marks: tuple[Mark, ...], output: "_Output") -> list[Clip]:
    """Decodes frames from the client, after checking from their headers that they fit into a file."""
    sizes = [images.upload_size(item, f"frame {number}", _RENDERED_PIXELS) for number, item in enumerate(contents)]
    enlargement(sum(width * height for width, height in sizes), sizes[0][1], output.form, output.scale)
    frames: list[np.ndarray] = []
    for number, content in enumerate(contents):
        frames.append(images.decode_upload(content, f"frame {number}", _RENDERED_PIXELS))
        if frames[-1].shape != frames[0].shape:
            raise UserError(f"frame {number}: all pictures must have the same size", "frame", number)
    videos = np.stack(frames).reshape(samples, -1, *frames[0].shape)
    return [Clip(video, tuple(mark for mark in marks if mark.first < len(video))) for video in videos]
