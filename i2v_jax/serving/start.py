"""What a server needs before it starts: its libraries, an address, and its default settings."""

import contextlib
import importlib.util
import socket

from i2v_jax.errors import UserError

FPS = 8.0  # frames per second of pages and files
WAITING = 16  # requests that may wait in the queue
MAX_BODY = 32 * 2**20  # bytes of a request
_TRIED = 10  # ports
_EXTRA = ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client")


def require_extra() -> None:
    """Raises UserError when the libraries of the extra `serve` are not installed."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"serving needs {', '.join(missing)}, which the extra 'serve' brings: pip install 'i2v_jax[serve]'",
            "serve",
            tuple(missing),
        )


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Raises UserError if the port is taken or the host is not this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; give another --port or --host",
            "port",
            port,
        ) from error


def free_port(host: str, port: int) -> int:
    """Returns the first port from `port` on that is free, of ten, and otherwise another one.

    Raises UserError if the host is not this machine's.
    """
    for candidate in range(port, min(port + _TRIED, 65536)):
        with contextlib.suppress(UserError), listen(host, candidate):
            return candidate
    with listen(host, 0) as listener:
        return listener.getsockname()[1]


def address(listener: socket.socket) -> str:
    """Returns the URL of a listening socket."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
