"""Reads the bodies of requests: JSON or a form, bounded in size, with an image in it."""

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
from i2v_jax.input import images
from i2v_jax.serving.examples import Example

# Of answers that come back to be saved, poked again and again; a file holds fewer where frames are large.
MAX_FRAMES_SENT, MAX_MARKS_SENT = 4096, 512
_LISTS = ("poke", "frame", "mark")


class BodyLimit:
    """Refuses bodies that are too long with 413, by their header or while they arrive."""

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
    """A JSON object. Raises UserError for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"this is not JSON ({str(error)[:80]})") from error
    if not isinstance(values, dict):
        raise UserError('a JSON object is needed, like {"example": "plants-1"}')
    return values


async def read_body(request: Request) -> dict[str, Any]:
    """The parameters of a request, with images as bytes.

    Of a form, "poke", "frame" and "mark" are lists, all else is text; parameters of the address count like a form's.

    Raises:
        UserError: garbage.
        HTTPException: 413 for too much, 415 for another type.
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
    """All values of what may come several times, of anything else the last one."""
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
    """Takes "image" (bytes, or text in base64) or "example" (a name) out of the parameters: uint8 [h, w, 3].

    Raises UserError for none, both, an unknown name, and for what `images.decode_upload` refuses.
    """
    image, example = values.pop("image", None), values.pop("example", None)
    if (image is None) == (example is None):
        raise UserError("give one image: a file as image=..., or the name of an example as example=...")
    if example is not None:
        if not isinstance(example, str) or example not in examples:
            raise UserError(f"there is no example {str(example)[:40]!r}: see /v1/model")
        return examples[example].pixels
    content = image if isinstance(image, bytes) else _from_base64(image)
    return await anyio.to_thread.run_sync(images.decode_upload, content, limiter=limiter)


def _from_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise UserError("image: a file, or its bytes in base64, is needed")
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError("image: this is not base64") from error
