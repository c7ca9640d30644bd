"""Libraries that are missing, ports that are taken."""

import socket

import pytest

from i2v_jax.errors import UserError
from i2v_jax.serving import start


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(UserError) as raised:
        start.require_extra()
    assert (raised.value.field, raised.value.value) == ("serve", ("uvicorn",))


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError) as raised:
        start.listen("127.0.0.1", port := taken.getsockname()[1])
    assert (raised.value.field, raised.value.value) == ("port", port)
    with pytest.raises(UserError) as raised:
        start.listen("192.0.2.1", 0)
    assert (raised.value.field, raised.value.value) == ("port", 0)


def test_the_next_free_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert start.free_port("127.0.0.1", port) != port
    assert start.free_port("127.0.0.1", port) == port
    with pytest.raises(UserError):
        start.free_port("192.0.2.1", port)
