"""What goes wrong, as a status of HTTP and in words."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from i2v_jax.errors import UserError
from i2v_jax.serving.engine import AnswerError, BusyError, NotReadyError

STATUSES: dict[type[Exception], int] = {
    UserError: 400,
    ClientDisconnect: 499,  # as nginx counts it: nobody reads the answer
    BusyError: 429,
    NotReadyError: 503,
    AnswerError: 500,
}

_LOG = logging.getLogger(__name__)


def response_to(error: Exception) -> Response:
    """`status_of` as an answer over HTTP."""
    status, words = status_of(error)
    retry = {"Retry-After": "1"} if status in (429, 503) else {}
    return JSONResponse({"error": words}, status, {**retry, **(getattr(error, "headers", None) or {})})


def status_of(error: Exception) -> tuple[int, str]:
    """Status and one line of words for a client, whose own words may stand in it, whatever they hold.

    What is not foreseen is logged, and told as no more than its type.
    """
    status, words = _told(error)
    return status, " ".join(words.split()).encode(errors="backslashreplace").decode()


def _told(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return status, str(error) or "the client went away"
    _LOG.error("a request failed", exc_info=error)
    return 500, f"the server failed to answer this ({type(error).__name__}), see its log"
