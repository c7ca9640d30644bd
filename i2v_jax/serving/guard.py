"""Refuses requests from the pages of other sites, sets headers, and counts responses."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.routing import Match, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from i2v_jax.serving.hosts import Hosts
from i2v_jax.serving.metrics import Metrics
from i2v_jax.serving.problems import response_to

Routed = Route | WebSocketRoute | Mount
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # after an update, no page mixes old and new files
}


class Guard:
    """Refuses requests that the page of another site sends through a visitor's browser, and sets headers."""

    def __init__(self, app: ASGIApp, metrics: Metrics, hosts: Hosts, routes: Sequence[Routed]) -> None:
        """`routes`: the routes to count by their path."""
        self._app, self._metrics, self._hosts, self._routes = app, metrics, hosts, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # A page that is not admitted gets its scripts, so that it can say so.
        origin = None if scope["path"].startswith("/static/") else headers.get("origin")
        refusal = self._hosts.refusal(headers.get("host", ""), origin)
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
