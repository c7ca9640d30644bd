"""Turns errors into an HTTP status and a message."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from i2v_jax.errors import UserError
from i2v_jax.serving.engine import AnswerError, BusyError, NotReadyError
from i2v_jax.serving.offers import ChangedError

STATUSES: dict[type[Exception], int] = {
    UserError: 400,
    ClientDisconnect: 499,  # the status that nginx logs: no client reads the answer
    ChangedError: 409,
    BusyError: 429,
    NotReadyError: 503,
    AnswerError: 500,
}

_LOG = logging.getLogger(__name__)


def response_to(error: Exception) -> Response:
    """Returns the HTTP response for an error, see `status_of`."""
    status, words = status_of(error)
    retry = {"Retry-After": "1"} if status in (429, 503) else {}
    return JSONResponse({"error": words}, status, {**retry, **(getattr(error, "headers", None) or {})})


def status_of(error: Exception) -> tuple[int, str]:
    """Returns the status and a message of one line, which may quote text from the client.

    An unexpected error is logged, and the message only has its type.
    """
    status, words = _described(error)
    return status, " ".join(words.split()).encode(errors="backslashreplace").decode()


def _described(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return status, str(error) or "the client disconnected"
    _LOG.error("a request failed", exc_info=error)
    return 500, f"the server failed to answer this ({type(error).__name__}): see its log"
