"""Opens a trained model to a browser and to programs: what the work directory holds decides what can be asked.

python -m launch.serve --workdir=RUN [--host=127.0.0.1 --port=8000 --examples=DIR]
"""

import signal
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from i2v_jax.errors import UserError
from launch._app import run

if TYPE_CHECKING:
    from i2v_jax.serving.models import ServedModel

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model.", required=True)
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 lets other machines in.")
PORT = flags.DEFINE_integer("port", 8000, "0: any that is free.", lower_bound=0, upper_bound=65535)
EXAMPLES = flags.DEFINE_string("examples", None, "Folder of images to offer; by default held-out frames of the data.")
FPS = flags.DEFINE_float("fps", 8, "Frames per second of what is shown and written.", lower_bound=0.1, upper_bound=60)
WAITING = flags.DEFINE_integer("waiting", 16, "Requests that may wait; more are refused.", lower_bound=1)
MAX_BODY = flags.DEFINE_float("max_body_mib", 16, "Largest request.", lower_bound=0.01)


def main(argv: Sequence[str]) -> None:
    import uvicorn

    from i2v_jax.config import read_workdir
    from i2v_jax.serving import app, examples
    from i2v_jax.serving.guard import LOOPBACK

    config = read_workdir(WORKDIR.value)
    listener = _listen(HOST.value, PORT.value)
    offered = examples.from_folder(EXAMPLES.value) if EXAMPLES.value else examples.from_data(config.data)
    body = int(MAX_BODY.value * 2**20)
    application = app.create_app(
        _model(),
        offered,
        fps=FPS.value,
        waiting=WAITING.value,
        max_body=body,
        hosts=LOOPBACK if HOST.value in LOOPBACK else None,
    )
    # uvicorn raises the signals again that ended it: by then they have done their work
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(f"serving {WORKDIR.value} at http://{shown}:{port} (Ctrl-C ends it)", flush=True)
    settings = uvicorn.Config(
        application,
        log_level="warning",
        ws_max_size=body,
        limit_concurrency=100,
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    server, engine = uvicorn.Server(settings), application.state.engine
    engine.on_failure = lambda: setattr(server, "should_exit", True)
    server.run(sockets=[listener])
    if engine.failure:
        raise engine.failure
    print("stopped", file=sys.stderr)


def _model() -> "ServedModel":
    from i2v_jax.config import read_workdir
    from i2v_jax.sampling.load import is_poke_model, load_poke_synthesizer, load_synthesizer
    from i2v_jax.serving.models import ServedPokes, ServedSamples

    config = read_workdir(WORKDIR.value)
    if is_poke_model(config):
        return ServedPokes(load_poke_synthesizer(WORKDIR.value), config.data.crop)
    return ServedSamples(load_synthesizer(WORKDIR.value), config.data.crop)


def _listen(host: str, port: int) -> socket.socket:
    """Raises UserError when the port is taken or the address is none of this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; give another --port or --host"
        ) from error


if __name__ == "__main__":
    run(main)
