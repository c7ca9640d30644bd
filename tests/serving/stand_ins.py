"""Served models whose answers can be worked out by hand, and applications of them."""

import contextlib
import io
import itertools
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CinnNetworks
from i2v_jax.sampling.poke import PokeGenerator
from i2v_jax.serving import app
from i2v_jax.serving.examples import Example
from i2v_jax.serving.hosts import Hosts
from i2v_jax.serving.models import ServedModel
from i2v_jax.serving.offers import Offer
from i2v_jax.tasks.control import POKE
from tests.compiling import HANG
from tests.sampling import stand_ins

SIZE = 16
EXAMPLE = np.full((SIZE, SIZE, 3), 100, np.uint8)
GRAY = 100 / 127.5 - 1  # of the example and of `png()`, as the models see it


class Brightening(nn.Module):
    """Every frame is brighter than the one before by dx / 100."""

    def encode(self, images):
        return (images,)

    def encode_poke(self, poke):
        return poke[..., 0].max(axis=(1, 2))

    def begin(self, states):
        return states

    def advance(self, cells, latent, start_frame, frames, first):
        steps = latent[:, None] * jnp.arange(1, frames + 1) / 100
        video = cells[0][:, None] + steps[:, :, None, None, None]
        return (video[:, -1],), video


class Pulled(nn.Module):
    """z = (nu + dx) / 100, so that frame t of 1, 2, ... is brighter by t (nu[0] + dx) / 100 and next to nothing."""

    def inverse(self, residual, condition):
        shares = condition[:, 1:].reshape(-1, POKE.nodes**2, 3)  # of place, dx and dy, in distances between nodes
        dx = shares[:, :, 1].sum(axis=1, keepdims=True) * SIZE / (POKE.nodes - 1)
        return (residual + dx) / 100, jnp.zeros(len(residual))


def pokes(**fields):
    defaults = {"size": SIZE, "poke_size": 3, "frames": 4}
    return served(PokeGenerator(model=Brightening(), variables={}, **{**defaults, **fields}))


def samples(control="direction"):
    return served(stand_ins.generator(control, chunk=8))


def poke_samples():
    networks = CinnNetworks(stand_ins.MeanChange(), stand_ins.Brighten(), stand_ins.MeanBrightness(), Pulled())
    variables = {"encoder": {}, "decoder": {}, "image_encoder": {}, "flow": {}}
    return served(CinnGenerator(networks, variables, size=SIZE, z_dim=2, control=POKE))


def served(generator):
    return ServedModel.loaded(generator, "resize")


def offers(*models, examples=None):
    """Models under the names one, two, ..."""
    chosen = {"gray": Example("gray", EXAMPLE)} if examples is None else examples
    return [Offer(name, model, lambda: chosen) for name, model in zip(("one", "two"), models, strict=False)]


@contextlib.contextmanager
def raw_client(*models, example=EXAMPLE, **settings):
    """A client of an application whose models may still be compiling."""
    application = app.create_app(offers(*models, examples={"gray": Example("gray", example)}), **settings)
    with TestClient(application) as opened:
        yield opened


@contextlib.contextmanager
def client(*models, **settings):
    """A client of an application whose first model is ready."""
    with raw_client(*models, **settings) as opened:
        wait_until(lambda: engine_of(opened).ready)
        yield opened


def engine_of(client):
    """The engine of the first model."""
    offers = client.app.state.offers
    return offers.engine(offers.first)


def wait_until(condition, seconds=HANG):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def hold(model, after=0):
    """Holds back all answers, or what follows so many parts of them.

    Returns an event that is set when an answer begins, and one that lets them continue.
    """
    begun, may, run = threading.Event(), threading.Event(), model.run

    def held(requests):
        begun.set()
        parts = run(requests)
        yield from itertools.islice(parts, after)
        may.wait(HANG)
        yield from parts

    model.run = held
    return begun, may


def slow(model, seconds=0.02):
    run = model.run

    def slowly(requests):
        for parts in run(requests):
            time.sleep(seconds)
            yield parts

    model.run = slowly
    return model


def text_of(address, path):
    try:
        with urllib.request.urlopen(address + path, timeout=HANG) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return str(error.code)


def post(address, **values):
    """The status of an answer to a poke of the example."""
    body = json.dumps({"example": "gray", **values}).encode()
    request = urllib.request.Request(f"{address}/v1/poke", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANG) as answer:
        return answer.status


def png(width=SIZE, height=SIZE, value=100, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), (value,) * 3 if mode == "RGB" else value).save(buffer, "PNG")
    return buffer.getvalue()


def video_of(response):
    """The `video` of an npz."""
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content)) as arrays:
        return arrays["video"]


@contextlib.contextmanager
def server(*models, examples=None, patience=HANG, allow=(), **settings):
    """The address of a real server of models in a thread of its own."""
    application = app.create_app(offers(*models, examples=examples), hosts=Hosts.of("127.0.0.1", allow), **settings)
    listener = socket.create_server(("127.0.0.1", 0))
    running = app.server_of(application, patience)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(20)


def ask(client, route="/v1/poke", **values):
    """Returns the response for the gray example, an npz unless `format` is among the values."""
    return client.post(route, json={"example": "gray", "format": "npz", **values})
