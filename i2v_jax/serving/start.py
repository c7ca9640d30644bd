"""What a server needs before it starts: its libraries and an address."""

import importlib.util
import socket

from i2v_jax.errors import UserError

_EXTRA = ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client")


def require_extra() -> None:
    """Raises UserError when the libraries of the extra `serve` are not installed."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"serving needs {', '.join(missing)}, which the extra 'serve' brings: pip install -e '.[serve]'"
        )


def listen(host: str, port: int) -> socket.socket:
    """Raises UserError when the port is taken or the address is none of this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; give another --port or --host"
        ) from error


def address(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
