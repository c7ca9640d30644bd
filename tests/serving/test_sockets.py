"""Frames over the WebSocket: order, values, and that a bad request or a leaving client does not affect others."""

import base64
import concurrent.futures
import http.client
import io
import json
import threading

import numpy as np
import pytest
from PIL import Image
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from i2v_jax.media import images
from i2v_jax.serving.sockets import HEADER
from tests.compiling import HANG
from tests.serving import stand_ins

REQUEST = {"id": 5, "example": "gray", "poke": [3, 3, 2, 0], "frames": 6}


def answer(socket):
    """Returns (texts, [(id, sample, frame, brightness)]) until the end or an error."""
    texts, frames = [], []
    while not texts or texts[-1]["type"] == "start":
        message = socket.receive()
        if message.get("text"):
            texts.append(json.loads(message["text"]))
        else:
            content = message["bytes"]
            picture = np.asarray(Image.open(io.BytesIO(content[HEADER.size :])))
            frames.append((*HEADER.unpack(content[: HEADER.size]), int(picture[0, 0, 0])))
    return texts, frames


def test_frames_come_in_order(poke_client):
    with poke_client.websocket_connect("/v1/stream") as socket:
        socket.send_json(REQUEST)
        texts, frames = answer(socket)
    assert texts == [{"id": 5, "type": "start", "frames": 6, "samples": 1}, {"id": 5, "type": "end"}]
    expected = np.rint(100 + 127.5 * 0.02 * np.arange(1, 7)).astype(int)
    assert [frame[:3] for frame in frames] == [(5, 0, index) for index in range(6)]
    np.testing.assert_allclose([frame[3] for frame in frames], expected, atol=1)


def test_samples_come_side_by_side():
    with (
        stand_ins.client(stand_ins.samples()) as client,
        client.websocket_connect("/v1/stream") as socket,
    ):
        socket.send_json({"id": 1, "example": "gray", "samples": 3, "frames": 17, "seed": 4})
        texts, frames = answer(socket)
    assert texts[0]["samples"] == 3
    assert [frame[1:3] for frame in frames] == [(sample, index) for index in range(17) for sample in range(3)]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ("[]", "JSON"),
        ('{"id": "a"}', "id"),
        ('{"id": -1}', "id"),
        ('{"id": 1}', "image"),
        ('{"id": 1, "example": "gray", "poke": [3, 3, 0, 0]}', "0,0"),
        ('{"id": 1, "example": "gray", "poke": [3, 3, NaN, 0]}', "nan,0"),
        ('{"id": 1, "example": "gray", "poke": [[3, 3, 1, 0], [3, 3, 2, 0]]}', "poke"),
        ('{"id": 1, "image": "AAAA", "poke": [3, 3, 1, 0]}', "image"),
        (r'{"id": 1, "example": "gray", "poke": "\ud800"}', r"poke=\ud800"),
    ],
)
def test_a_bad_request_is_refused_and_the_next_one_is_answered(poke_client, text, named):
    with poke_client.websocket_connect("/v1/stream") as socket:
        socket.send_text(text)
        texts, frames = answer(socket)
        assert (texts[-1]["type"], texts[-1]["status"], frames) == ("error", 400, [])
        assert named in texts[-1]["error"]
        socket.send_json(REQUEST)
        assert len(answer(socket)[1]) == 6


def test_bytes_are_read_as_text(poke_client):
    with poke_client.websocket_connect("/v1/stream") as socket:
        socket.send_bytes(b"\xff\x00")
        assert answer(socket)[0][-1]["status"] == 400


def test_a_failure_of_the_server_is_reported():
    model = stand_ins.pokes()
    with stand_ins.client(model) as client, client.websocket_connect("/v1/stream") as socket:
        model.requests = lambda values, pixels: 1 / 0
        socket.send_json(REQUEST)
        assert answer(socket)[0][-1]["status"] == 500


def test_a_runtime_error_of_the_model_is_reported():
    """jax's errors are RuntimeErrors, and so are some of Starlette's when a client has left."""
    model = stand_ins.pokes()
    requests = model.requests

    def failing(values, pixels):
        raise RuntimeError("out of memory")

    with stand_ins.client(model) as client, client.websocket_connect("/v1/stream") as socket:
        model.requests = failing
        socket.send_json(REQUEST)
        texts, _ = answer(socket)
        assert (texts[-1]["id"], texts[-1]["status"]) == (5, 500)
        assert "RuntimeError" in texts[-1]["error"]
        model.requests = requests
        socket.send_json(REQUEST)
        assert len(answer(socket)[1]) == 6


def test_a_closed_socket_ends_the_work():
    model = stand_ins.pokes()
    with stand_ins.client(model) as client:
        frames = stand_ins.engine_of(client)._metrics.frames
        _, may = stand_ins.hold(model, after=1)
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json({**REQUEST, "frames": 64})
            socket.receive()  # start
            socket.receive()  # the first frame
        may.set()
        assert len(client.post("/v1/poke", json={"example": "gray", "poke": "3,3,2,0"}).content) > 0
        assert frames._value.get() < 64


def test_a_client_that_is_gone_before_the_start_leaves_nothing_in_the_queue(monkeypatch):
    model, gone = stand_ins.pokes(), threading.Event()

    async def leave(socket, data):
        gone.set()
        raise WebSocketDisconnect(1006)

    with stand_ins.client(model) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        begun, may = stand_ins.hold(model)
        answered = pool.submit(stand_ins.ask, client, poke="3,3,1,0")
        assert begun.wait(HANG)
        monkeypatch.setattr(WebSocket, "send_json", leave)
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(REQUEST)
            assert gone.wait(HANG)
        try:
            stand_ins.wait_until(lambda: all(job.cancelled for job in stand_ins.engine_of(client)._waiting))
        finally:
            may.set()
        assert answered.result().status_code == 200


@pytest.mark.parametrize("cancels", [[], [{"id": 6, "cancel": True}]])
def test_a_new_request_ends_the_one_before(cancels):
    """It is neither sent nor computed any further, also if it was given up already; the new request is answered."""
    model = stand_ins.pokes()
    with stand_ins.client(model) as client, client.websocket_connect("/v1/stream") as socket:
        frames = stand_ins.engine_of(client)._metrics.frames
        _, may = stand_ins.hold(model, after=1)
        socket.send_json({**REQUEST, "frames": 64})
        socket.receive()  # start
        socket.receive()  # the first frame
        for message in (*cancels, {**REQUEST, "id": 7}):
            socket.send_json(message)
        assert socket.receive_json() == {"id": 7, "type": "start", "frames": 6, "samples": 1}
        may.set()
        texts, pictures = answer(socket)
        assert texts == [{"id": 7, "type": "end"}]
        assert [picture[0] for picture in pictures] == [7] * 6
        assert frames._value.get() < 64


def test_requests_that_replace_one_another_decode_one_picture_at_a_time(poke_client, monkeypatch):
    begun, may, decode = threading.Semaphore(0), threading.Event(), images.decode_upload

    def held(content):
        begun.release()
        may.wait(HANG)
        return decode(content)

    monkeypatch.setattr(images, "decode_upload", held)
    picture = base64.b64encode(stand_ins.png()).decode()
    with poke_client.websocket_connect("/v1/stream") as socket:
        decoders = 0
        for number in range(1, 6):
            socket.send_json({"id": number, "image": picture, "poke": [3, 3, 2, 0]})
            decoders += begun.acquire(timeout=0.1 if decoders else HANG)
        may.set()
        assert decoders == 1
        texts = answer(socket)[0]
    assert [text["id"] for text in texts] == [5, 5]


def test_a_message_too_large_closes_the_socket_and_no_other():
    """A message of the largest allowed size is read, and refused because it is not JSON."""
    with stand_ins.server(stand_ins.pokes(), max_body=5000) as address:
        stand_ins.wait_until(lambda: stand_ins.text_of(address, "/healthz") == '{"status":"ready"}')
        url = address.replace("http", "ws") + "/v1/stream"
        with connect(url) as socket, connect(url) as other:
            socket.send("x" * 5000)
            assert json.loads(socket.recv(20))["status"] == 400
            socket.send("x" * 5001)
            with pytest.raises(ConnectionClosedError) as closed:
                socket.recv(20)
            assert closed.value.rcvd.code == 1009
            other.send(json.dumps(REQUEST))
            assert json.loads(other.recv(20))["type"] == "start"


def test_a_socket_too_many_is_closed_and_requests_are_answered():
    with stand_ins.client(stand_ins.pokes(), sockets=1) as client:
        with client.websocket_connect("/v1/stream") as socket:
            with client.websocket_connect("/v1/stream") as other, pytest.raises(WebSocketDisconnect) as refused:
                other.receive_text()
            assert refused.value.code == 1013
            assert "i2v_open_sockets 1.0" in client.get("/metrics").text
            socket.send_json(REQUEST)
            assert len(answer(socket)[1]) == 6
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(REQUEST)
            assert len(answer(socket)[1]) == 6


def test_pages_of_others_are_refused(poke_client):
    with (
        pytest.raises(WebSocketDisconnect),
        poke_client.websocket_connect("/v1/stream", headers={"Origin": "http://evil.example"}),
    ):
        pass


def test_an_http_client_that_leaves_ends_the_work():
    """Most of the 64 frames of its answer are never computed, and the next client is served."""
    model = stand_ins.slow(stand_ins.pokes(), 0.05)
    with stand_ins.server(model) as address:
        stand_ins.wait_until(lambda: stand_ins.text_of(address, "/healthz") == '{"status":"ready"}')
        _, may = stand_ins.hold(model, after=1)
        before = frames_computed(address)
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        body = json.dumps({"example": "gray", "poke": [3, 3, 2, 0], "frames": 64})
        connection.request("POST", "/v1/poke", body, {"Content-Type": "application/json"})
        stand_ins.wait_until(lambda: frames_computed(address) > before)
        connection.close()
        connection.request("POST", "/v1/poke", body.replace("64", "2"), {"Content-Type": "application/json"})
        stand_ins.wait_until(lambda: "i2v_waiting_requests 1.0" in stand_ins.text_of(address, "/metrics"))
        may.set()
        assert connection.getresponse().status == 200
        assert frames_computed(address) - before < 60


def frames_computed(address):
    (line,) = [
        line for line in stand_ins.text_of(address, "/metrics").splitlines() if line.startswith("i2v_frames_total")
    ]
    return float(line.split()[1])
