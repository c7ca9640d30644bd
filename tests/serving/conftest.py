"""Pages in a headless browser and clients of the HTTP API, both of stand-in models."""

import pytest

from i2v_jax.serving.examples import Example
from tests.serving import stand_ins
from tests.serving.browser import DESKTOP, Seen, recorded


@pytest.fixture
def open_page(chromium):
    """(address and requests of `recorded`) -> a page; further arguments are those of a browser context."""
    contexts = []

    def opened(server, viewport=DESKTOP, **settings):
        address, requests = server
        context = chromium.new_context(viewport={"width": viewport[0], "height": viewport[1]}, **settings)
        context.set_default_timeout(300_000)  # ms; a page of a toy model answers in less than a second
        contexts.append(context)
        return Seen(context.new_page(), requests, address)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def poke_server():
    examples = {"gray": Example("gray", stand_ins.EXAMPLE), "dark": Example("dark", stand_ins.EXAMPLE // 4)}
    with recorded(stand_ins.pokes(), examples=examples) as server:
        yield server


@pytest.fixture(scope="module")
def poke_client():
    with stand_ins.client(stand_ins.pokes()) as client:
        yield client


@pytest.fixture(scope="module")
def sample_client():
    with stand_ins.client(stand_ins.samples()) as client:
        yield client


@pytest.fixture(scope="module")
def poke_sample_client():
    with stand_ins.client(stand_ins.poke_samples()) as client:
        yield client
