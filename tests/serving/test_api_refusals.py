"""The HTTP API on stand-in models: invalid, too large and untimely requests."""

import asyncio
import concurrent.futures
import io
import threading
import zlib

import pytest
from PIL import Image

from i2v_jax.serving import api
from i2v_jax.serving.hosts import Hosts
from tests.compiling import HANG
from tests.serving import stand_ins
from tests.serving.stand_ins import SIZE, ask, png


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"poke": "16,3,1,0"}, ("16,3", "16x16")),
        ({"poke": [3, 3, 0, 0]}, ("0,0",)),
        ({"poke": "3,nan,1,0"}, ("3,nan",)),
        ({"poke": "3,3,inf,0"}, ("inf,0",)),
        ({"poke": "3,3,20,12"}, ("20,12", "23", "16x16")),
        ({"poke": "3,3"}, ("poke=3,3", "x,y,dx,dy")),
        ({"poke": {"x": 3}}, ("poke=", "x,y,dx,dy")),
        ({"poke": [[3, 3, 1, None]]}, ("poke=3,3,1,?", "x,y,dx,dy")),
        ({"poke": [[3, 3, 1, 0]] * 9}, ("poke", "9")),
        ({}, ("poke=x,y,dx,dy",)),
        ({"poke": "3,3,1,0", "frames": 0}, ("frames=0", "64")),
        ({"poke": "3,3,1,0", "frames": "many"}, ("frames=many",)),
        ({"poke": "3,3,1,0", "frames": True}, ("frames=True",)),
        ({"poke": "3,3,1,0", "frames": 2.5}, ("frames=2.5",)),
        ({"poke": "3,3,1,0", "frames": 10**400}, ("frames=1000",)),
        ({"poke": "3,3,1,0", "format": "avi"}, ("format=avi", "mp4, gif, strip, npz")),
        ({"poke": "3,3,1,0", "format": "a\nb"}, ("format=a b",)),
        ({"poke": "3,3,1,0", "crop": "no"}, ("crop=no", "resize, center")),
        ({"poke": "3,3,1,0", "scale": 99}, ("scale=99", "16")),
        ({"poke": "3,3,1,0", "in_turn": "perhaps"}, ("in_turn=perhaps",)),
        ({"poke": "3,3,1,0", "seed": 3}, ("'seed'",)),
        ({"poke": "3,3,1,0", "example": "none"}, ("example", "'none'")),
        ({"poke": "3,3,1,0", "example": ["gray"]}, ("example", "['gray']")),
        ({"poke": "3,3,1,0", "image": "%%%"}, ("image=", "example=")),
        ({"poke": "3,3,1,0", "example": None, "image": "%%%"}, ("image:", "base64")),
        ({"poke": "3,3,1,0", "example": None, "image": 5}, ("image:", "base64")),
        ({"poke": "3,3,1,0", "example": None, "image": ""}, ("image:",)),
        ({"poke": "3,3,1,0", "example": None, "image": "aGVsbG8="}, ("image:",)),
    ],
)
def test_bad_parameters_are_named_in_one_line(poke_client, values, named):
    response = ask(poke_client, **values)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert all(text in error for text in named), error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, ("poke=x,y,dx,dy",)),
        ({"poke": "16,3,1,0"}, ("16,3", "16x16")),
        ({"poke": "3,3,1,0", "samples": 9}, ("samples=9", "8")),
        ({"poke": [[3, 3, 1, 0]] * 5, "samples": 8}, ("5 pokes", "8 samples")),
        ({"poke": "3,3,1,0", "direction": 90}, ("'direction'",)),
    ],
)
def test_bad_parameters_of_samples_of_pokes(poke_sample_client, values, named):
    response = ask(poke_sample_client, **values)
    assert response.status_code == 400, response.text
    assert all(text in response.json()["error"] for text in named), response.text
    assert "/v1/poke" in ask(poke_sample_client, "/v1/sample").json()["error"]


def test_not_a_number_in_json(poke_client):
    body = '{"example": "gray", "poke": [3, 3, NaN, 0]}'
    response = poke_client.post("/v1/poke", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "nan,0" in response.json()["error"]


def test_what_the_model_cannot_do(poke_client, sample_client):
    def refused(*arguments, **values):
        response = ask(*arguments, **values)
        assert response.status_code == 400
        return response.json()["error"]

    assert "/v1/sample" in refused(sample_client, poke="3,3,1,0")
    assert "/v1/poke" in refused(poke_client, "/v1/sample")
    assert "direction" in refused(sample_client, "/v1/sample", endpoint="1,2,3")
    assert "direction=nan" in refused(sample_client, "/v1/sample", direction="nan")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1, 2]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (rb'{"example": "gray", "poke": "3,3,1,0", "frames": "\ud800"}', "application/json", 400),
        (b"no boundary", "multipart/form-data", 400),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (b"", "", 415),
        (b"<a/>", "text/xml", 415),
    ],
)
def test_garbage(poke_client, content, kind, status):
    response = poke_client.post("/v1/poke", content=content, headers={"Content-Type": kind})
    assert response.status_code == status, response.text
    assert response.json()["error"]
    assert ask(poke_client, poke="3,3,1,0").status_code == 200


def test_files_that_are_not_images_or_too_large(poke_client):
    def sent(content):
        response = poke_client.post("/v1/image", files={"image": ("a.png", content, "image/png")})
        assert response.status_code == 400
        return response.json()["error"]

    for content in (b"hello", png(300, 300)[:150], header_of_a_bomb(20_000)):
        assert sent(content)
    assert "8000x8000" in sent(header_of_a_bomb(8_000))
    picture = poke_client.post("/v1/image", files={"image": ("a.png", png(40, 20, 7, "L"), "image/png")})
    assert Image.open(io.BytesIO(picture.content)).size == (SIZE, SIZE)
    assert picture.headers["x-image-size"] == "40x20"


def test_bodies_have_a_bound():
    with stand_ins.client(stand_ins.pokes(), max_body=5000) as client:
        response = client.post("/v1/poke", content=b" " * 5001, headers={"Content-Type": "application/json"})
        assert response.status_code == 413
        assert response.json()["error"]

        def pieces():  # without a length in the header
            for _ in range(10):
                yield b" " * 1000

        assert (
            client.post("/v1/poke", content=pieces(), headers={"Content-Type": "application/json"}).status_code == 413
        )
        large = {"image": ("a.png", bytes(6000), "image/png")}
        assert client.post("/v1/image", files=large).status_code == 413
        assert ask(client, poke="3,3,1,0").status_code == 200


def test_what_would_need_too_much_memory_is_refused(poke_client):
    def refused(frames, **data):
        files = [("frame", (f"{n}.png", frame, "image/png")) for n, frame in enumerate(frames)]
        response = poke_client.post("/v1/render", files=files, data=data)
        assert response.status_code == 400
        return response.json()["error"]

    assert "frame 1: 2000x2000" in refused([png(), header_of_a_bomb(2000)])
    assert "frame 1: " in refused([png(), png(8, 8)])
    assert "102 million pixels (scale=16)" in refused([png(200, 200)] * 10, scale="16")
    undecodable = header_of_a_bomb(1000)  # so they are counted before they are decoded
    for form in ("gif", "npz"):
        assert "101 million pixels (scale=1)" in refused([undecodable] * 101, scale="1", format=form)


def test_what_no_file_can_hold_is_not_computed():
    model = stand_ins.poke_samples()
    with stand_ins.client(model) as client:
        model.run = lambda requests: 1 / 0
        refused = ask(client, poke=[[3, 3, 1, 0]] * 4, samples=8, frames=64, format="gif", scale=16)
    assert refused.status_code == 400
    assert "136 million pixels (scale=16)" in refused.json()["error"]


def header_of_a_bomb(side):
    """A PNG that claims to be `side` x `side` pixels; it is refused before its data are looked at."""
    small = bytearray(png(1, 1))
    small[16:24] = side.to_bytes(4, "big") * 2
    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


def test_writing_large_files_keeps_no_picture_waiting(poke_client, monkeypatch):
    may, begun, encode = threading.Event(), threading.Semaphore(0), api.encode

    def held(*arguments):
        begun.release()
        may.wait(HANG)
        return encode(*arguments)

    monkeypatch.setattr(api, "encode", held)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        files = [pool.submit(ask, poke_client, poke="3,3,1,0") for _ in range(4)]
        assert begun.acquire(timeout=HANG) and begun.acquire(timeout=HANG)
        picture = poke_client.post("/v1/image", files={"image": ("a.png", png(), "image/png")})
        assert picture.status_code == 200
        assert not begun.acquire(blocking=False)  # two files at a time
        may.set()
        assert [file.result().status_code for file in files] == [200] * 4


def test_a_model_that_cannot_be_compiled_is_reported():
    model = stand_ins.pokes()
    model.warm_up = lambda: 1 / 0
    with stand_ins.raw_client(model) as client:
        stand_ins.wait_until(lambda: stand_ins.engine_of(client).failure)
        health, answer = client.get("/healthz"), ask(client, poke="3,3,1,0")
        assert (health.status_code, health.json()["status"]) == (503, "failed")
        assert "log" in health.json()["error"]
        assert answer.status_code == 503
        assert "i2v_ready 0.0" in client.get("/metrics").text


def test_it_is_not_ready_before_it_is_compiled():
    model, may = stand_ins.pokes(), threading.Event()
    warm_up, run = model.warm_up, model.run
    model.warm_up = lambda: (may.wait(HANG), warm_up())
    with stand_ins.raw_client(model, waiting=1) as client:
        assert client.get("/healthz").status_code == 503
        early = ask(client, poke="3,3,1,0")
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        may.set()
        stand_ins.wait_until(lambda: client.get("/healthz").status_code == 200)
        never = ask(client, poke=[[3, 3, 1, 0], [3, 3, 2, 0]])
        assert (never.status_code, "retry-after" in never.headers) == (400, False)
        model.run = lambda requests: 1 / 0
        broken = ask(client, poke="3,3,1,0")
        assert (broken.status_code, "ZeroDivisionError" in broken.json()["error"]) == (500, True)
        model.run = run
        assert ask(client, poke="3,3,1,0").status_code == 200


def test_an_unexpected_error_is_reported_counted_and_logged_once(caplog):
    model = stand_ins.pokes()
    with stand_ins.client(model) as client:
        model.requests = lambda values, pixels: 1 / 0
        broken = ask(client, poke="3,3,1,0")
        assert (broken.status_code, "ZeroDivisionError" in broken.json()["error"]) == (500, True)
        assert "default-src 'self'" in broken.headers["content-security-policy"]
        assert 'i2v_requests_total{route="/v1/poke",status="500"} 1.0' in client.get("/metrics").text
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_full_queue_refuses_over_http_and_empties_again():
    """One request is computed, one waits, and the third is refused."""
    model = stand_ins.pokes()
    with stand_ins.client(model, waiting=1) as client, concurrent.futures.ThreadPoolExecutor(2) as pool:
        begun, may = stand_ins.hold(model)
        answers = [pool.submit(ask, client, poke="3,3,1,0")]
        assert begun.wait(HANG)
        answers.append(pool.submit(ask, client, poke="3,3,1,0"))
        stand_ins.wait_until(lambda: len(stand_ins.engine_of(client)._waiting) == 1)
        full = ask(client, poke="3,3,1,0")
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert full.json()["error"].startswith("1 requests ")
        may.set()
        assert [answer.result().status_code for answer in answers] == [200, 200]
        assert ask(client, poke="3,3,1,0").status_code == 200


def test_one_failure_among_several_leaves_nobody_waiting():
    model = stand_ins.pokes()
    run = model.run

    def failing(requests):
        if any(request.poke[1][0] == 2 for request in requests):
            raise ZeroDivisionError
        yield from run(requests)

    with stand_ins.client(model) as client:
        before = client.portal.call(tasks)
        model.run = failing
        assert ask(client, poke=["3,3,2,0", "3,3,1,0"]).status_code == 500
        stand_ins.wait_until(lambda: client.portal.call(tasks) == before)


async def tasks():
    """How many there are, this one among them."""
    return len(asyncio.all_tasks())


def test_pages_of_others_are_refused(poke_client):
    for origin in ("http://evil.example", "null", "http://["):
        assert poke_client.get("/v1/model", headers={"Origin": origin}).status_code == 403
    assert poke_client.get("/v1/model", headers={"Origin": "http://testserver"}).status_code == 200
    with stand_ins.client(stand_ins.pokes(), hosts=Hosts.of("127.0.0.1")) as client:
        assert client.get("/v1/model", headers={"Host": "localhost:8000"}).status_code == 200
        assert client.get("/v1/model", headers={"Host": "evil.example"}).status_code == 403


def test_the_page_needs_nothing_from_elsewhere(poke_client):
    page = poke_client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    names = ["static/" + part.split('"')[0] for part in page.text.split('"static/')[1:]]
    assert names
    for name in names:
        answer = poke_client.get(name)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
        assert "https://" not in answer.text
    assert poke_client.get("/static/../app.py").status_code == 404
    assert "--path_prefix" in poke_client.get("/i2v/").json()["error"]
    assert poke_client.get("/v1/poke").status_code == 405
