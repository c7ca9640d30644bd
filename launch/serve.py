"""Serves a trained model over HTTP: a page for people and an API for programs.

    python -m launch.serve --workdir=RUN
    python -m launch.serve --workdir=RUN --workdir=model.i2v --workdir=bundled:sky
    python -m launch.serve --workdir=RUN --host=0.0.0.0 --port=8080 --examples=IMAGES

The page offers what the model can do: random samples, directions or pokes. Of several models, each is loaded and
compiled when it is chosen for the first time.
"""

import contextlib
import functools
import signal
import sys
import traceback
from collections.abc import Sequence

from absl import flags

from i2v_jax.errors import UserError
from i2v_jax.launch import _checkpoint
from i2v_jax.launch._app import run
from i2v_jax.serving import start

WORKDIR = flags.DEFINE_multi_string(
    "workdir", None, "Work directory of a trained model, or its file; the first one is loaded at once.", required=True
)
HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on; 0.0.0.0 accepts connections from other machines."
)
PORT = flags.DEFINE_integer("port", 8000, "Port to listen on; 0 chooses a free one.", lower_bound=0, upper_bound=65535)
ALLOW_HOST = flags.DEFINE_multi_string(
    "allow_host",
    [],
    "Name, or NAME:PORT, under which a proxy or a cloud IDE offers the server; * lets in every name.",
)
PATH_PREFIX = flags.DEFINE_string(
    "path_prefix", "", "Path below which a proxy offers the server, as /i2v; only if the proxy passes it on."
)
EXAMPLES = flags.DEFINE_string(
    "examples", None, "Folder of images that the page offers; by default held-out frames of the data set."
)
FPS = flags.DEFINE_float("fps", start.FPS, "Frames per second of the videos.", lower_bound=0.1, upper_bound=60)
WAITING = flags.DEFINE_integer(
    "waiting", start.WAITING, "Number of requests that may wait; further ones are refused.", lower_bound=1
)
MAX_BODY = flags.DEFINE_float(
    "max_body_mib", start.MAX_BODY / 2**20, "Size limit of a request in MiB.", lower_bound=0.01
)


def main(argv: Sequence[str]) -> None:
    start.require_extra()
    from i2v_jax.distributed.processes import leave_at_once
    from i2v_jax.serving import app
    from i2v_jax.serving.hosts import Hosts
    from i2v_jax.serving.offers import Offer, open_offers
    from i2v_jax.serving.prefix import checked

    listener = start.listen(HOST.value, PORT.value)
    application = app.create_app(
        open_offers(WORKDIR.value, _checkpoint.chosen(), EXAMPLES.value),
        fps=FPS.value,
        waiting=WAITING.value,
        max_body=int(MAX_BODY.value * 2**20),
        hosts=Hosts.of(HOST.value, ALLOW_HOST.value),
        prefix=checked(PATH_PREFIX.value),
    )
    server, offers = app.server_of(application), application.state.offers
    first = offers.engine(offers.first)

    def compiled(offer: Offer, seconds: float) -> None:
        if first.failure:
            server.should_exit = True
        elif not offers.engine(offer).failure:
            name = "ready" if offer is offers.first else offer.name
            with contextlib.suppress(OSError):  # stdout may be closed, which would end the engine's thread
                print(f"{name}: compiled in {seconds:.0f} s", flush=True)

    for offer in offers:
        offers.engine(offer).on_compiled = functools.partial(compiled, offer)
    # uvicorn raises the signals that stopped it again; nothing is left to do for them.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    print(f"serving {', '.join(WORKDIR.value)} at {start.address(listener)} (Ctrl-C stops it); compiling", flush=True)
    server.run(sockets=[listener])
    if failure := first.failure:  # the log has its traceback
        words = " ".join("".join(traceback.format_exception_only(failure)).split())
        raise UserError(f"the model could not be compiled: {words[:200]}") from failure
    print("stopped", file=sys.stderr)
    leave_at_once(0)  # without waiting for what the engine still compiles


if __name__ == "__main__":
    run(main, buckets=("workdir",))
