"""Refuses requests from the pages of other sites, sets headers, and counts responses."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.routing import Match, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from i2v_jax.serving.metrics import Metrics
from i2v_jax.serving.problems import response_to

Routed = Route | WebSocketRoute | Mount
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # after an update, no page mixes old and new files
}


class Guard:
    """Refuses requests that the page of another site sends through a visitor's browser, and sets headers.

    Browsers send the site of the page that makes a request (Origin); programs do not. A server that listens only on
    this machine also refuses other host names, under which another site could pretend to be this server.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, hosts: frozenset[str] | None, routes: Sequence[Routed]) -> None:
        """`hosts`: host names of this server, None for any. `routes`: the routes to count by their path."""
        self._app, self._metrics, self._hosts, self._routes = app, metrics, hosts, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if scope["type"] == "websocket":
            if refusal:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal})
            else:
                await self._app(scope, receive, send)
            return
        route = next((route.path for route in self._routes if route.matches(scope)[0] != Match.NONE), "other")

        started = False

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_HEADERS)
                self._metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        answer: ASGIApp = JSONResponse({"error": refusal}, 403) if refusal else self._app
        try:
            await answer(scope, receive, counted)
        except Exception as error:  # handled here, so that the response is counted and has the headers
            if started:
                raise
            await response_to(error)(scope, receive, counted)

    def _refusal(self, headers: Headers) -> str:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _name(host) not in self._hosts:
            return "this server can only be reached as 127.0.0.1 or localhost"
        if origin is not None and _netloc(origin) != host:
            return "pages of other sites may not use this server"
        return ""


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as "http://["
        return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
