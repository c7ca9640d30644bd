"""Connections that keep the server waiting: how long one may, and how many at once."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0  # seconds
PER_ADDRESS, ALTOGETHER = 16, 32  # connections that wait for their clients


class Connection(H11Protocol):
    """An HTTP connection that is closed when it sends nothing for too long.

    uvicorn itself waits without end for a request, and counts connections that wait as if they were answered. Here the
    head of a request has to arrive within `patience` seconds, and its body without a pause as long as that. At most
    `PER_ADDRESS` connections from one address, and `ALTOGETHER` from all, may wait for their clients; a further one
    takes the place of the one that has waited longest. A WebSocket does not wait here: uvicorn pings its client.
    """

    def __init__(self, *, patience: float = PATIENCE, **settings: Any) -> None:
        super().__init__(**settings)
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None
        self._began_waiting = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        waiting = [each for each in self.connections if isinstance(each, Connection) and each._waits()]
        neighbors = [each for each in waiting if each._address() == self._address()]
        if len(neighbors) > PER_ADDRESS or len(waiting) > ALTOGETHER:
            group = neighbors if len(neighbors) > PER_ADDRESS else waiting
            min(group, key=lambda each: each._began_waiting)._give_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self not in self.connections:  # it became a WebSocket, or was closed
            return
        if not self._waits():
            self._stop_waiting()
        elif self._deadline is None or self._in_body():
            self._stop_waiting()
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._began_waiting = self.loop.time()  # for the next request; uvicorn limits how long
        super().on_response_complete()

    def _waits(self) -> bool:
        """Returns whether it is the client's turn to send."""
        return self.cycle is None or self.cycle.response_complete or self._in_body()

    def _in_body(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and self.cycle.more_body

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _wait(self) -> None:
        self._began_waiting = self.loop.time()
        self._deadline = self.loop.call_later(self._patience, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._stop_waiting()
        if self.flow.read_paused:  # it is the server that does not read
            self._wait()
        else:
            self.transport.close()
