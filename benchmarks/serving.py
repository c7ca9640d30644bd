"""Measures how long a user of a running server waits for the first and the last frame of an answer.

    python -m launch.serve --workdir=RUN                                    # in another terminal
    python -m benchmarks.serving [--url=http://127.0.0.1:8000] [--repeats=50] [--clients=1]
    python -m benchmarks.serving --browser [--repeats=50]

Each client sends requests over a WebSocket, one after another: the server's examples with a random poke or, for a model
without pokes, a random seed. With --browser the page in headless Chromium is dragged at random instead, and the time is
that from releasing the pointer to the first frame drawn.
"""

import base64
import concurrent.futures
import itertools
import json
import math
import random
import statistics
import time
import urllib.error
import urllib.request
from typing import Any

from absl import app, flags

from benchmarks import browser

URL = flags.DEFINE_string("url", "http://127.0.0.1:8000", "Address of the server.")
REPEATS = flags.DEFINE_integer("repeats", 50, "Requests of each client.", lower_bound=1)
CLIENTS = flags.DEFINE_integer("clients", 1, "Clients at the same time.", lower_bound=1)
FRAMES = flags.DEFINE_integer("frames", 0, "Frames of an answer; 0: the server's default.")
BROWSER = flags.DEFINE_bool("browser", False, "Measure the page in headless Chromium, one client.")
_WARM_UP = 3  # requests that are not measured


def fetch(path: str) -> bytes:
    try:
        with urllib.request.urlopen(URL.value + path, timeout=60) as answer:
            return answer.read()
    except urllib.error.URLError as error:
        raise SystemExit(f"{URL.value}{path}: {error.reason}; start python -m launch.serve --workdir=RUN") from error


def requests(model: dict[str, Any], rng: random.Random) -> Any:
    """Yields parameters without end, with images as the page sends them: PNGs of the model's size."""
    pictures = [base64.b64encode(fetch(f"/v1/examples/{name}")).decode() for name in model["examples"]]
    if not pictures:
        raise SystemExit("the server has no examples: start it with --examples=DIR")
    for picture in itertools.cycle(pictures):
        request = {"image": picture, "frames": FRAMES.value or model["frames"]["default"]}
        if model["poke"]:
            size, angle = model["size"], rng.uniform(0, 2 * math.pi)
            length = 1.0 if model["poke"]["impulse"] else size / 10
            position = [rng.uniform(0, size - 1) for _ in range(2)]
            request["poke"] = [*position, length * math.cos(angle), length * math.sin(angle)]
        if model["samples"]:
            request["seed"] = rng.randrange(2**31)
        yield request


def client(seed: int, model: dict[str, Any]) -> list[tuple[float, float]]:
    """Returns (seconds to the first frame, seconds to the end) of each request."""
    from websockets.sync.client import connect

    times = []
    with connect(f"ws{URL.value.removeprefix('http')}/v1/stream", max_size=None) as socket:
        drawn = requests(model, random.Random(seed))
        for number, request in zip(range(-_WARM_UP, REPEATS.value), drawn, strict=False):
            text, first = json.dumps({"id": number + _WARM_UP, **request}), math.nan
            began = time.perf_counter()
            socket.send(text)
            while True:
                message = socket.recv(timeout=60)
                if isinstance(message, bytes):
                    first = time.perf_counter() - began if math.isnan(first) else first
                    continue
                event = json.loads(message)
                if event["type"] == "error":
                    raise SystemExit(f"the server says: {event['error']}")
                if event["type"] == "end":
                    break
            if number >= 0:
                times.append((first, time.perf_counter() - began))
    return times


def page_times(model: dict[str, Any]) -> list[float]:
    """Returns the seconds from releasing the pointer to the first frame, as the page measures them."""
    if words := browser.missing():
        raise SystemExit(words)
    rng, times = random.Random(0), []
    with browser.launched() as running:
        page = running.new_page(viewport={"width": 1280, "height": 800})
        page.goto(URL.value)
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        if FRAMES.value:
            page.evaluate(f"document.getElementById('frames').value = {FRAMES.value}")
        box = page.locator("#picture").bounding_box()
        for number in range(-_WARM_UP, REPEATS.value):
            page.evaluate("performance.clearMeasures('first frame')")
            if model["poke"]:
                drag(page, box, rng)
            else:
                page.click("#run")
            page.wait_for_function(
                """() => performance.getEntriesByName("first frame").length
                    && !document.querySelector("#save button").disabled""",
                timeout=60_000,
            )
            if number >= 0:
                times.append(1e-3 * page.evaluate("performance.getEntriesByName('first frame')[0].duration"))
    return times


def drag(page: Any, box: dict[str, float], rng: random.Random) -> None:
    """Drags the picture from a random position by a tenth of its width in a random direction."""
    x, y = (box[corner] + rng.uniform(0.1, 0.9) * box[side] for corner, side in (("x", "width"), ("y", "height")))
    angle, reach = rng.uniform(0, 2 * math.pi), box["width"] / 10
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + reach * math.cos(angle), y + reach * math.sin(angle), steps=4)
    page.mouse.up()


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def main(argv: list[str]) -> None:
    del argv
    model = json.loads(fetch("/v1/model"))
    if BROWSER.value:
        shown = page_times(model)
        print(f"{model['model']} model, {model['size']}x{model['size']}, the page in Chromium, {len(shown)} answers")
        report("first frame", shown)
        return
    with concurrent.futures.ThreadPoolExecutor(CLIENTS.value) as pool:
        times = [pair for part in pool.map(client, range(CLIENTS.value), [model] * CLIENTS.value) for pair in part]
    print(f"{model['model']} model, {model['size']}x{model['size']}, {CLIENTS.value} client(s), {len(times)} answers")
    for name, values in zip(("first frame", "whole answer"), map(list, zip(*times, strict=True)), strict=True):
        report(name, values)


def report(name: str, values: list[float]) -> None:
    middle, high = 1e3 * statistics.median(values), 1e3 * percentile(values, 95)
    print(f"{name:13} median {middle:7.1f} ms, 95th percentile {high:7.1f} ms")


if __name__ == "__main__":
    app.run(main)
