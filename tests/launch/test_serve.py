"""`python -m launch.serve` as a user runs it: starts, answers over HTTP and in a browser, and stops."""

import contextlib
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from PIL import Image

from i2v_jax.configs import plants
from tests import compiling
from tests.compiling import HANG
from tests.launch.synthesis import ROOT, last_line, launch
from tests.sampling.random_run import write_run
from tests.serving.stand_ins import wait_until


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("serve") / "run"
    write_run(folder, plants.get_config("demo,runlocal"))
    return folder


@contextlib.contextmanager
def served(workdir: pathlib.Path):
    """(process, address) of a server that compiles its model."""
    command = [sys.executable, "-m", "launch.serve", f"--workdir={workdir}", "--port=0"]
    process = subprocess.Popen(command, cwd=ROOT, env=compiling.environment(), stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stdout.readline, "")  # which checkpoint it is comes first
        found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in lines)))
        yield process, found.group()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(workdir: pathlib.Path):
    """(process, address) of a server that is ready."""
    with served(workdir) as (process, address):
        assert process.stdout.readline().startswith("ready: compiled in")
        yield process, address


def ask(address: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
    request = urllib.request.Request(address + path, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=HANG) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.slow
def test_programs_and_those_who_send_garbage_or_leave(server) -> None:
    process, address = server
    assert ask(address, "/healthz")[0] == 200
    (example, *_) = json.loads(ask(address, "/v1/model")[1])["examples"]
    good = json.dumps({"example": example, "poke": [10, 12, 3, 0]}).encode()
    status, content = ask(address, "/v1/poke", good)
    assert (status, content[4:8]) == (200, b"ftyp")  # an mp4
    host = address.removeprefix("http://")
    for body in (b"garbage", b"[" * 10_000, b"\x00" * 10_000):
        assert ask(address, "/v1/poke", body)[0] == 400
    port = int(host.split(":")[1])
    for text in (
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"POST /v1/poke HTTP/1.1\r\nHost: %b\r\nContent-Length: 99999999999\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=HANG) as raw:
            raw.sendall(text.replace(b"%b", host.encode()))
    connection = http.client.HTTPConnection(host)
    connection.request("POST", "/v1/poke", good, {"Content-Type": "application/json"})
    connection.close()  # in mid-answer
    assert ask(address, "/v1/poke", good)[0] == 200
    assert b'i2v_requests_total{route="/v1/poke",status="400"} 3.0' in ask(address, "/metrics")[1]
    assert process.poll() is None


@pytest.mark.slow
def test_a_drag_in_a_browser(server, chromium, tmp_path: pathlib.Path) -> None:
    _, address = server
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.up()
    page.wait_for_function("() => document.getElementById('clock').textContent === '5 / 5'")
    page.screenshot(path=tmp_path / "page.png")
    assert Image.open(tmp_path / "page.png").size == (1280, 800)
    page.close()


@pytest.mark.slow
def test_the_benchmark(server) -> None:
    done = launch("benchmarks.serving", f"--url={server[1]}", "--repeats=3", "--clients=2")
    assert re.search(r"6 answers\nfirst frame   median +[\d.]+ ms, 95th percentile +[\d.]+ ms", done.stdout), done


@pytest.mark.slow
def test_the_benchmark_of_the_page(server, chromium) -> None:
    done = launch("benchmarks.serving", f"--url={server[1]}", "--browser", "--repeats=3")
    found = re.search(r"in Chromium, 3 answers\nfirst frame   median +([\d.]+) ms", done.stdout)
    assert found and float(found[1]) > 1, done


@pytest.mark.slow
def test_it_ends_when_told(server) -> None:
    process, address = server
    assert ask(address, "/healthz")[0] == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) == 0


@pytest.mark.slow
def test_it_answers_after_its_output_was_closed(workdir: pathlib.Path) -> None:
    with served(workdir) as (process, address):
        process.stdout.close()
        wait_until(lambda: ask(address, "/healthz")[0] == 200)
        (example, *_) = json.loads(ask(address, "/v1/model")[1])["examples"]
        good = json.dumps({"example": example, "poke": [10, 12, 3, 0]}).encode()
        assert ask(address, "/v1/poke", good)[0] == 200


@pytest.mark.slow
def test_a_model_that_cannot_be_compiled_ends_it_with_an_error(workdir: pathlib.Path) -> None:
    program = """if True:
        from i2v_jax.serving.models import ServedModel
        from launch import _app, serve

        def warm_up(model):
            raise RuntimeError("RESOURCE_EXHAUSTED: no room\\nfor this")

        ServedModel.warm_up = warm_up
        _app.run(serve.main)
    """
    done = subprocess.run(
        [sys.executable, "-c", program, f"--workdir={workdir}", "--port=0"],
        cwd=ROOT,
        env=compiling.environment(),
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 2
    assert "ready" not in done.stdout
    assert done.stderr.count("Traceback") == 1
    line = last_line(done.stderr)
    assert line.startswith("error: ") and line.endswith("RuntimeError: RESOURCE_EXHAUSTED: no room for this")


@pytest.mark.slow
def test_a_folder_without_a_model_is_refused(tmp_path: pathlib.Path) -> None:
    done = launch("launch.serve", f"--workdir={tmp_path}")
    assert done.returncode == 2
    assert last_line(done.stderr).startswith("error: ")
