"""The web application and its server: routes, page, limits, start and stop."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from i2v_jax.serving.api import Api
from i2v_jax.serving.bodies import BodyLimit
from i2v_jax.serving.connections import PATIENCE, Connection
from i2v_jax.serving.guard import Guard, Routed
from i2v_jax.serving.hosts import EVERYWHERE, Hosts
from i2v_jax.serving.metrics import Metrics
from i2v_jax.serving.offers import Offer, Offers
from i2v_jax.serving.prefix import Prefix
from i2v_jax.serving.problems import STATUSES, response_to
from i2v_jax.serving.sockets import stream
from i2v_jax.serving.start import FPS, MAX_BODY, WAITING

STATIC = Path(__file__).parent / "static"


def create_app(
    offered: Sequence[Offer],
    *,
    fps: float = FPS,
    waiting: int = WAITING,
    max_body: int = MAX_BODY,
    sockets: int = 64,
    hosts: Hosts = EVERYWHERE,
    prefix: str = "",
) -> Starlette:
    """Returns the application of trained models, see `app.state.offers`.

    The first one is compiled when the application starts, the others when a request names them.

    Args:
        offered: the models, at least one.
        fps: frames per second of pages and files.
        waiting: maximum number of waiting requests of each model; further ones are refused with status 429.
        max_body: maximum size of a request, and of a message of a WebSocket, in bytes.
        sockets: maximum number of open WebSockets, less than the connections of the server, which also answers others.
        hosts: under which names the server may be reached; by default any.
        prefix: of paths, see `prefix.Prefix`.
    """
    metrics = Metrics()
    offers = Offers(offered, metrics, waiting)
    api = Api(
        offers,
        metrics,
        fps,
        max_body,
        pictures=anyio.CapacityLimiter(2),
        files=anyio.CapacityLimiter(2),
        sockets=anyio.CapacityLimiter(sockets),
    )
    metrics.sockets.set_function(lambda: api.sockets.borrowed_tokens)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        offers.named()
        yield
        await anyio.to_thread.run_sync(offers.stop)

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def socket(connection: WebSocket) -> None:
        await stream(api, connection)

    routes: list[Routed] = [
        Route("/", page),
        Route("/healthz", api.healthz, methods=["GET", "POST"]),  # a POST of the page names its Origin
        Route("/metrics", api.metrics_text),
        Route("/v1/models", api.list_models),
        Route("/v1/model", api.describe),
        Route("/v1/model.i2v", api.model_file),
        Route("/v1/examples/{name}", api.example),
        Route("/v1/image", api.image, methods=["POST"]),
        Route("/v1/poke", api.poke, methods=["POST"]),
        Route("/v1/sample", api.sample, methods=["POST"]),
        Route("/v1/render", api.render, methods=["POST"]),
        WebSocketRoute("/v1/stream", socket),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Prefix, prefix=prefix),
            Middleware(Guard, metrics=metrics, hosts=hosts, routes=routes),
            Middleware(BodyLimit, most=max_body),
        ],
        exception_handlers={
            **dict.fromkeys([*STATUSES, 405, 413, 415, 400], _error_response),
            404: _unknown_address,
        },
        lifespan=lifespan,
    )
    app.state.offers, app.state.max_body = offers, max_body
    return app


def server_of(app: Starlette, patience: float = PATIENCE) -> uvicorn.Server:
    """Returns a server of a `create_app` application. It closes WebSockets with 1009 if a message is too large.

    Args:
        app: the application.
        patience: how long a client may send nothing while the server waits for a request, in seconds.
    """
    settings = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], functools.partial(Connection, patience=patience)),
        log_level="warning",
        ws_max_size=app.state.max_body,
        limit_concurrency=100,  # more than the WebSockets that `create_app` allows, which count as well
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    return uvicorn.Server(settings)


async def _error_response(request: Request, error: Exception) -> Response:
    return response_to(error)


async def _unknown_address(request: Request, error: Exception) -> Response:
    path = request.url.path
    words = f"nothing is at {path[:80]}; behind a proxy that passes its own path on, give it as --path_prefix"
    return response_to(HTTPException(404, words))
