"""The path below which a proxy offers the server, for proxies that pass it on."""

import re

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from i2v_jax.errors import UserError


def checked(prefix: str) -> str:
    """Returns a prefix like /i2v without the slash at its end. Raises UserError if it is not the path of a URL."""
    path = prefix.rstrip("/")
    if path and not re.fullmatch(r"(/[\w.~!$&'()*+,;=:@-]+)+", path):
        raise UserError(f"--path_prefix={prefix} is not a path: write one like /i2v", "path_prefix", prefix)
    return path


class Prefix:
    """Takes the prefix off the paths of requests. Those without it are answered, too: a health check may be direct."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """`prefix`: as `checked` returns it."""
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if self._prefix and path == self._prefix:  # the page's own addresses are relative to the folder
            await RedirectResponse(f"{self._prefix.rpartition('/')[2]}/")(scope, receive, send)
            return
        if self._prefix and path.startswith(f"{self._prefix}/"):
            scope = {**scope, "path": path[len(self._prefix) :]}
        await self._app(scope, receive, send)
