"""Connections that send nothing, or stop in the middle of a request, do not keep others out."""

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from i2v_jax.serving.connections import Connection
from tests.compiling import HANG
from tests.serving import stand_ins

HEAD = b"POST /v1/poke HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


def connect(address):
    place = urlsplit(address)
    return socket.create_connection((place.hostname, place.port), timeout=HANG)


def test_two_hundred_silent_connections_keep_nobody_out():
    with stand_ins.server(stand_ins.pokes()) as address, contextlib.ExitStack() as opened:
        silent = [opened.enter_context(connect(address)) for _ in range(200)]
        assert stand_ins.text_of(address, "/v1/model").startswith("{")
        assert silent[0].recv(1) == b""  # closed


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", HEAD, HEAD + b'{"exa'])
def test_a_client_that_stops_is_given_up(sent):
    with stand_ins.server(stand_ins.pokes(), patience=0.2) as address, connect(address) as client:
        client.sendall(sent)
        assert client.recv(1) == b""


class Clock:
    """An event loop's timers, for one connection, and a transport."""

    def __init__(self):
        self.now, self.timers, self.closed = 0.0, [], False

    def time(self):
        return self.now

    def call_later(self, delay, function):
        timer = asyncio.TimerHandle(self.now + delay, function, (), self)
        self.timers.append(timer)
        return timer

    def _timer_handle_cancelled(self, timer):
        pass

    def get_debug(self):
        return False

    def create_task(self, work):
        work.close()
        return asyncio.Future(loop=asyncio.new_event_loop())

    def pass_time(self, seconds):
        self.now += seconds
        due = [timer for timer in self.timers if not timer.cancelled() and timer.when() <= self.now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer._callback()

    def get_extra_info(self, name):
        return ("192.0.2.1", 1) if name in ("peername", "sockname") else None

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def pause_reading(self):
        pass

    resume_reading = pause_reading


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def connection(clock):
    async def app(scope, receive, send):
        pass

    made = Connection(config=Config(app), server_state=ServerState(), app_state={}, _loop=clock, patience=10.0)
    made.connection_made(clock)
    return made


def test_a_head_has_to_arrive_in_time_however_often_bytes_come(clock, connection):
    for byte in (b"G", b"E", b"T"):
        assert not clock.closed
        connection.data_received(byte)
        clock.pass_time(4)
    assert clock.closed


def test_a_body_may_take_its_time_but_not_pause(clock, connection):
    connection.data_received(HEAD)
    for _ in range(5):
        clock.pass_time(9)
        assert not clock.closed
        connection.data_received(b" ")
    clock.pass_time(11)
    assert clock.closed


def test_a_complete_request_may_be_answered_for_long(clock, connection):
    connection.data_received(HEAD + b" " * 100)
    clock.pass_time(1000)
    assert not clock.closed


def test_a_body_that_the_server_does_not_read_is_no_pause(clock, connection):
    connection.data_received(HEAD)
    connection.flow.pause_reading()
    clock.pass_time(11)
    assert not clock.closed
    connection.flow.resume_reading()
    clock.pass_time(11)
    assert clock.closed
