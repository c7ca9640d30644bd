"""A reverse proxy in a thread: it offers a server below a path, WebSockets included."""

import asyncio
import contextlib
import queue
import re
import threading
from urllib.parse import urlsplit


@contextlib.contextmanager
def proxy(address, prefix, strips=True, keeps_host=True):
    """The address of a proxy, like http://127.0.0.1:9/i2v/. All that is not below `prefix` is 404.

    Args:
      address: of the server behind it.
      prefix: like /i2v.
      strips: whether the server gets the paths without the prefix.
      keeps_host: whether the server gets the Host that visitors use, or its own.
    """
    place, started = urlsplit(address), queue.Queue()

    def forwarded(head):
        path = head.split(b" ")[1].decode()
        if not path.startswith(f"{prefix}/") and path != prefix:
            return None
        if strips:
            head = head.replace(path.encode(), path.removeprefix(prefix).encode() or b"/", 1)
        if not keeps_host:
            head = re.sub(rb"\r\nhost: [^\r]*", b"\r\nhost: " + place.netloc.encode(), head, flags=re.IGNORECASE)
        if b"upgrade: websocket" not in head.lower():  # one request for each connection
            head = (
                re.sub(rb"\r\nconnection: [^\r]*", b"", head, flags=re.IGNORECASE)[:-2] + b"Connection: close\r\n\r\n"
            )
        return head

    async def piped(reader, writer):
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(1 << 16):
                writer.write(content)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = forwarded(await reader.readuntil(b"\r\n\r\n"))
            if head is None:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                behind, before = await asyncio.open_connection(place.hostname, place.port)
                before.write(head)
                await asyncio.gather(piped(reader, before), piped(behind, writer))
        writer.close()

    async def run():
        end = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        started.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), end))
        await end.wait()

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    port, loop, end = started.get()
    try:
        yield f"http://127.0.0.1:{port}{prefix}/"
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
