"""A serial line imitated over TCP: bytes take their time, and arrive in the chunks of a USB converter.

An emulator's socket is too kind: whole frames, at once. Behind this bridge they come at the line's rate, torn
into pieces, as from a real board.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from urllib.parse import urlsplit

from tinyfly_hil.protocol import BAUD

CHUNK = 61  # bytes in one read: a full-speed USB packet has 64, two of them status
LATENCY_S = 0.001  # the converter's timer, at its shortest setting
BITS_PER_BYTE = 10  # 8N1


class _Way:
    """One direction: what came in leaves in chunks, no faster than the line."""

    def __init__(self, source: socket.socket, sink: socket.socket, baud: int):
        self.source, self.sink = source, sink
        self._byte_s = BITS_PER_BYTE / baud
        self._chunks: deque[tuple[float, bytes]] = deque()  # when each may leave
        self._free_s = 0.0  # when the line has sent all that is queued

    def take(self) -> bool:
        """Read what is there; False when the other end has gone."""
        data = self.source.recv(4096)
        for i in range(0, len(data), CHUNK):
            chunk = data[i : i + CHUNK]
            self._free_s = max(self._free_s, time.monotonic()) + len(chunk) * self._byte_s
            self._chunks.append((self._free_s + LATENCY_S, chunk))
        return bool(data)

    def give(self) -> float | None:
        """Send what is due; seconds until the next is, or None."""
        while self._chunks:
            wait_s = self._chunks[0][0] - time.monotonic()
            if wait_s > 0:
                return wait_s
            self.sink.sendall(self._chunks.popleft()[1])
        return None


@contextlib.contextmanager
def serial_line(url: str, baud: int = BAUD) -> Iterator[str]:
    """The socket:// URL of a line of this speed that ends at ``url``."""
    with socket.create_server(("127.0.0.1", 0)) as server, _connect(url) as far:
        end, wake = socket.socketpair()
        thread = threading.Thread(target=_serve, args=(server, far, wake, baud), daemon=True)
        thread.start()
        try:
            yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        finally:
            end.close()
            thread.join()
            wake.close()


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    far = socket.create_connection((parts.hostname, parts.port))
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return far


def _serve(server: socket.socket, far: socket.socket, wake: socket.socket, baud: int) -> None:
    """Carry one connection, until either end or the owner closes."""
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        selector.register(wake, selectors.EVENT_READ)
        selector.register(server, selectors.EVENT_READ)
        if any(key.fileobj is wake for key, _ in selector.select()):
            return
        near, _ = server.accept()
        with near:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ways = (_Way(near, far, baud), _Way(far, near, baud))
            selector.unregister(server)
            for way in ways:
                selector.register(way.source, selectors.EVENT_READ, way)
            while True:
                waits = [w for w in (way.give() for way in ways) if w is not None]
                for key, _ in selector.select(min(waits, default=None)):
                    if key.fileobj is wake or not key.data.take():
                        return
