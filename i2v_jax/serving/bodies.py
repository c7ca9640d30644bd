"""Reads the bodies of requests: JSON or a form with an image, limited in size."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from i2v_jax.errors import UserError
from i2v_jax.media import images
from i2v_jax.serving.examples import Example

# Of a video that a client sends to be saved, after many pokes; if frames are large, a file holds fewer.
MAX_FRAMES_SENT, MAX_MARKS_SENT = 4096, 512
_LISTS = ("poke", "frame", "mark")


class BodyLimit:
    """Refuses bodies that are too large with status 413, from their header or while they arrive."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most or (declared.isdigit() and int(declared) > self._most):
                raise HTTPException(413, f"the body is larger than {self._most / 2**20:g} MiB")
            return message

        await self._app(scope, limited, send)


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Returns a JSON object as a dict. Raises UserError for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the request is not JSON ({str(error)[:80]})") from error
    if not isinstance(values, dict):
        raise UserError('the request is not a JSON object: send one like {"example": "plants-1"}')
    return values


async def read_body(request: Request) -> dict[str, Any]:
    """Returns the parameters of a request, with images as bytes.

    In a form, "poke", "frame" and "mark" are lists, everything else is text. The query of the URL counts like a form.

    Raises:
        UserError: the body is not JSON.
        HTTPException: 400 for an invalid form, 413 for a body that is too large, 415 for another content type.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        values = parse_json(await request.body())
    elif kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=MAX_FRAMES_SENT, max_fields=MAX_MARKS_SENT + 64) as form:
            values = _by_name(
                [
                    (name, await item.read() if isinstance(item, UploadFile) else item)
                    for name, item in form.multi_items()
                ]
            )
    else:
        raise HTTPException(415, f"content type {kind or 'missing'}: send application/json or multipart/form-data")
    return {**_by_name(request.query_params.multi_items()), **values}


def _by_name(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Returns values by name: lists for the names in `_LISTS`, the last value for all others."""
    values: dict[str, Any] = {}
    for name, value in items:
        if name in _LISTS:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values


async def take_image(
    values: dict[str, Any], examples: Mapping[str, Example], limiter: anyio.CapacityLimiter
) -> np.ndarray:
    """Removes "image" (bytes, or base64 text) or "example" (a name) from the parameters and returns uint8 [h, w, 3].

    Raises:
        UserError: there is neither or both of them, the name is unknown, or `images.decode_upload` refuses the image.
    """
    image, example = values.pop("image", None), values.pop("example", None)
    if (image is None) == (example is None):
        raise UserError("give one image: a file as image=..., or the name of an example as example=...")
    if example is not None:
        if not isinstance(example, str) or example not in examples:
            raise UserError(f"unknown example {str(example)[:40]!r}: see /v1/model", "example", example)
        return examples[example].pixels
    content = image if isinstance(image, bytes) else _from_base64(image)
    return await anyio.to_thread.run_sync(images.decode_upload, content, limiter=limiter)


def _from_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise UserError("image: send a file, or its bytes in base64", "image")
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError("image: invalid base64", "image") from error
