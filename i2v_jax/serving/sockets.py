"""The WebSocket /v1/stream: frames while they are computed.

The client sends one JSON object per request: the parameters of the model's route (/v1/poke with one poke, or
/v1/sample), perhaps `model`, an image in base64 or the name of an example, and an integer `id`. The server answers with

- a JSON text {"id", "type": "start", "frames", "samples"},
- binary messages, one per frame: id, sample and frame as three little-endian uint32, then the bytes of a PNG,
- a JSON text {"id", "type": "end"} or {"id", "type": "error", "status", "error"}.

A new request on the same socket ends the answer to the previous one; {"id", "cancel": true} only ends it.
"""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Sequence
from typing import Any

import anyio
import anyio.to_thread
from starlette.websockets import WebSocket, WebSocketDisconnect

from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.sampling.arrays import Array
from i2v_jax.serving.api import Api
from i2v_jax.serving.bodies import parse_json
from i2v_jax.serving.engine import Engine
from i2v_jax.serving.models import VideoRequest
from i2v_jax.serving.problems import status_of

HEADER = struct.Struct("<III")


async def stream(api: Api, socket: WebSocket) -> None:
    """Serves one socket until its client disconnects. Closes it with 1013 if too many are open."""
    await socket.accept()
    try:
        api.sockets.acquire_nowait()
    except anyio.WouldBlock:
        await socket.close(1013, "too many are connected already: try again in a moment")
        return
    task: asyncio.Task[None] | None = None
    try:
        while True:
            text = await _received(socket)
            if task is not None:
                await _ended(task)
            task = asyncio.create_task(_reply(api, socket, text))
    except WebSocketDisconnect:
        pass
    finally:
        try:
            if task is not None:
                await _ended(task)
        finally:
            api.sockets.release()


async def _received(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    return message.get("text") or message.get("bytes") or b""


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _reply(api: Api, socket: WebSocket, text: str | bytes) -> None:
    number = 0
    try:
        values = parse_json(text)
        number = values.pop("id", 0)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**32:
            number = 0
            raise UserError("invalid value for id (must be an integer from 0 to 4294967295)", "id")
        if not values.pop("cancel", False):
            await _answer(api, socket, number, values)
    except WebSocketDisconnect:
        return
    except Exception as error:  # only this request fails: the socket serves the next one
        status, words = status_of(error)
        api.metrics.requests.labels("/v1/stream", str(status)).inc()
        with contextlib.suppress(WebSocketDisconnect):
            await _sent(socket.send_json({"id": number, "type": "error", "status": status, "error": words}))


async def _sent(sending: Awaitable[None]) -> None:
    """Raises WebSocketDisconnect if the client has disconnected, when Starlette may raise a RuntimeError."""
    try:
        await sending
    except RuntimeError as error:
        raise WebSocketDisconnect(1006) from error


async def _prepared(api: Api, values: dict[str, Any]) -> tuple[Engine, Sequence[VideoRequest]]:
    """Returns `api.video_requests`. If cancelled, waits for the decoding thread, of which a socket has at most one."""
    preparing = asyncio.ensure_future(api.video_requests(values))
    try:
        return await asyncio.shield(preparing)
    except asyncio.CancelledError:
        await asyncio.gather(preparing, return_exceptions=True)
        raise


async def _answer(api: Api, socket: WebSocket, number: int, values: dict[str, Any]) -> None:
    engine, requests = await _prepared(api, values)
    if len(requests) != 1:
        raise UserError("a WebSocket takes one poke per request: send the next one separately", "poke", len(requests))
    (job,) = engine.submit(requests)
    start = {"id": number, "type": "start", "frames": requests[0].frames, "samples": requests[0].samples}
    try:
        await _sent(socket.send_json(start))
        first = 0
        async for part in job.parts():
            for message in await anyio.to_thread.run_sync(_messages, number, first, part):
                await _sent(socket.send_bytes(message))
            first += part.shape[1]
        await _sent(socket.send_json({"id": number, "type": "end"}))
        api.metrics.requests.labels("/v1/stream", "200").inc()
    finally:
        job.cancel()


def _messages(number: int, first: int, part: Array) -> list[bytes]:
    """Returns one message per frame and sample, the samples of a frame before those of the next frame."""
    return [
        HEADER.pack(number, sample, first + index) + media.png_bytes(part[sample, index])
        for index in range(part.shape[1])
        for sample in range(part.shape[0])
    ]
