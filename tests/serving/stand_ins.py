"""Served models whose answers can be worked out by hand, and an application of them that is ready."""

import contextlib
import dataclasses
import io
import socket
import threading
import time

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer
from i2v_jax.serving import app
from i2v_jax.serving.examples import Example
from i2v_jax.serving.fields import Fields
from i2v_jax.serving.guard import LOOPBACK
from i2v_jax.serving.models import PokeRequest, ServedPokes, ServedSamples
from tests.sampling import stand_ins

SIZE = 16
EXAMPLE = np.full((SIZE, SIZE, 3), 100, np.uint8)


class Brightening(nn.Module):
    """Every frame is brighter than the one before by dx / 100."""

    def encode(self, images):
        return (images,)

    def encode_poke(self, poke):
        return poke[..., 0].max(axis=(1, 2))

    def begin(self, states):
        return states

    def advance(self, cells, latent, frames, first):
        steps = latent[:, None] * jnp.arange(1, frames + 1) / 100
        video = cells[0][:, None] + steps[:, :, None, None, None]
        return (video[:, -1],), video


def pokes(**fields):
    defaults = {"size": SIZE, "poke_size": 3, "frames": 4}
    return ServedPokes(PokeSynthesizer(model=Brightening(), variables={}, **{**defaults, **fields}), "resize")


def samples(control="direction"):
    return ServedSamples(stand_ins.synthesizer(control, chunk=8), "resize")


@contextlib.contextmanager
def raw_client(model, **settings):
    """A client of an application whose model may still be compiling."""
    application = app.create_app(model, {"grey": Example("grey", EXAMPLE)}, **settings)
    with TestClient(application, raise_server_exceptions=False) as opened:
        yield opened


@contextlib.contextmanager
def client(model, **settings):
    """A client of an application whose model is ready."""
    with raw_client(model, **settings) as opened:
        wait_until(lambda: opened.app.state.engine.ready)
        yield opened


def wait_until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def png(width=SIZE, height=SIZE, value=100, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), (value,) * 3 if mode == "RGB" else value).save(buffer, "PNG")
    return buffer.getvalue()


def video_of(response):
    """The `video` of an npz."""
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content)) as arrays:
        return arrays["video"]


class ScatteredPokes:
    """As a model of stochastic pokes would be: sample s is brighter by s * temperature / 10 than `pokes()`."""

    name = "poke"
    parameters = ("poke", "in_turn", "frames", "crop", "samples", "temperature", "seed")
    max_batch = 1

    def __init__(self):
        self._pokes = pokes()
        self.size, self.crop = self._pokes.size, self._pokes.crop
        self.warm_up = self._pokes.warm_up

    def describe(self):
        return {**self._pokes.describe(), "samples": {"default": 2, "most": 4}}

    def requests(self, values, pixels):
        samples, temperature = (
            Fields({name: values.get(name)}, self.parameters).number(name, default)
            for name, default in (("samples", 2), ("temperature", 1.0))
        )
        plain = {name: value for name, value in values.items() if name in self._pokes.parameters}
        return [
            ScatteredRequest(request, request.start_frame, request.poke, request.frames, int(samples), temperature)
            for request in self._pokes.requests(plain, pixels)
        ]

    def run(self, requests):
        (request,) = requests
        plain = dataclasses.replace(request.plain, start_frame=request.start_frame)
        offsets = 0.1 * request.temperature * np.arange(request.samples, dtype=np.float32)
        for ((video,),) in self._pokes.run([plain]):
            yield [video[None] + offsets[:, None, None, None, None]]


@dataclasses.dataclass(frozen=True, eq=False)
class ScatteredRequest:
    plain: PokeRequest
    start_frame: np.ndarray
    poke: tuple
    frames: int
    samples: int
    temperature: float
    kind: str = "scattered"


@contextlib.contextmanager
def server(model, examples=None, **settings):
    """The address of a real server of a model in a thread of its own."""
    chosen = {"grey": Example("grey", EXAMPLE)} if examples is None else examples
    application = app.create_app(model, chosen, hosts=LOOPBACK, **settings)
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(20)
