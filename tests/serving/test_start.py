"""Libraries that are missing, ports that are taken."""

import socket

import pytest

from i2v_jax.errors import UserError
from i2v_jax.serving import start


def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(UserError, match=r"serving needs uvicorn, .* pip install -e '\.\[serve\]'"):
        start.require_extra()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="give another --port"):
        start.listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match="cannot listen at 192"):
        start.listen("192.0.2.1", 0)
