"""One serial line: requests out, answers in, each with a deadline, and a memory of the last frames."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import serial

from tinyfly.errors import UserError
from tinyfly_hil import protocol
from tinyfly_hil.protocol import Decoder, Frame

ANSWER_S = 2.0  # silence for longer is an error: a step takes milliseconds
TRANSCRIPT = 20  # frames kept for the report of a failure

Tap = Callable[[bytes, list[Frame]], None]  # (bytes sent, frames received)


class TargetError(UserError):
    """The chip did not do what it must; ``transcript`` holds the last frames in both directions."""

    def __init__(self, text: str, transcript: list[str] | None = None):
        super().__init__(text)
        self.transcript = transcript or []


class Restarted(TargetError):
    """The chip sent a boot frame in the middle of things."""


class Link:
    """A pyserial port that speaks the protocol.

    ``tap`` sees every run of bytes sent and every frame received: that is how a log is written. ``ours``: the
    other end of a socket ends with this link, so that nobody needs time to get ready for the next.
    """

    def __init__(self, url: str, answer_s: float = ANSWER_S, ours: bool = False):
        self.answer_s, self._ours = answer_s, ours
        self.tap: Tap | None = None
        self.round_trip_s_max = 0.0
        self._transcript: deque[tuple[str, Frame]] = deque(maxlen=TRANSCRIPT)
        self._open(url)

    def _open(self, url: str) -> None:
        self.url = url
        self.decoder = Decoder()
        self.received = 0  # bytes
        self._sequence = 0
        self._frames: deque[Frame] = deque()
        if url.startswith("socket://") and not _complete(url):
            raise UserError(
                f"port {url} is incomplete: expected socket://HOST:PORT, such as socket://localhost:4000"
            )
        try:
            # pyserial looks at the clock after a write that went well: on a busy machine 2 s may have passed.
            self._port = serial.serial_for_url(
                url, baudrate=protocol.BAUD, timeout=0, write_timeout=self.answer_s, do_not_open=True
            )
            self._port.reset_input_buffer = lambda: None  # socket:// would throw away a quick boot frame
            self._port.open()
            self._fd = self._port.fileno()
            if url.startswith("socket://"):
                _send_at_once(self._fd)
        except (serial.SerialException, OSError, ValueError) as e:
            raise UserError(_unopened(url, e)) from None
        except (AttributeError, NotImplementedError):
            raise UserError(f"port {url} cannot be waited on: use a device or socket://") from None

    def reopen(self, url: str) -> None:
        """The chip has gone; another one, freshly started, is there."""
        self.close()
        self._open(url)
        if self.tap:
            self.tap(b"", [])

    def start_over(self, after: int = 0) -> None:
        """The chip has booted and remembers no sequence number: ours begin again at 1, or after another."""
        self._sequence = after

    def close(self) -> None:
        """Give the port back."""
        connection = getattr(self._port, "_socket", None)
        if connection is not None and self._ours:
            self._port.is_open = (
                False  # pyserial's own close sleeps 0.3 s for the sake of a server that stays
            )
        self._port.close()
        if connection is not None:
            connection.close()  # pyserial leaves it open when the other end has gone first

    def request(self, name: str, deadline_s: float | None = None, **values: Any) -> Frame:
        """Send one message; the frame that answers it is its usual reply, or a status that refuses."""
        start = time.perf_counter()
        sequence = self.send(name, **values)
        frame = self.wait(lambda f: f.sequence == sequence, name, deadline_s)
        self.round_trip_s_max = max(self.round_trip_s_max, time.perf_counter() - start)
        return frame

    def send(self, name: str, **values: Any) -> int:
        """Send one message; returns its sequence number."""
        self.write(self.pack(name, **values))
        return self._sequence

    @property
    def sequence(self) -> int:
        """The number of the last message packed."""
        return self._sequence

    def pack(self, name: str, **values: Any) -> bytes:
        """The bytes of one message with the next sequence number, not yet sent.

        A zero before them ends what noise may have begun on the idle line.
        """
        self._sequence = self._sequence % 0xFFFF + 1
        self._transcript.append((">", Frame(name, self._sequence, protocol.make_body(name, values))))
        return b"\0" + protocol.encode(name, self._sequence, **values)

    def write(self, data: bytes) -> None:
        """Send any bytes at all."""
        if self.tap:
            self.tap(data, [])
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as e:
            raise TargetError(f"{self.url} broke: {e}", self.transcript) from None

    def wait(self, wanted: Callable[[Frame], bool], what: str, deadline_s: float | None = None) -> Frame:
        """The next frame that is wanted; others are dropped, but a boot frame raises Restarted."""
        deadline_s = self.answer_s if deadline_s is None else deadline_s
        deadline = time.monotonic() + deadline_s
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if wanted(frame):
                    return frame
                if frame.name == "boot":
                    raise Restarted(f"the chip restarted while {what} was under way", self.transcript)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                raise TargetError(self._unanswered(what, deadline_s), self.transcript)
            self._read()

    def arrivals(self, until_s: float) -> Iterator[tuple[Frame, float]]:
        """Every frame that comes until then, and when it came; both by time.monotonic."""
        while True:
            while self._frames:
                yield self._frames.popleft(), time.monotonic()
            left = until_s - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                return
            self._read()

    def _read(self) -> None:
        try:
            data = self._port.read(4096)
        except (serial.SerialException, OSError) as e:
            raise TargetError(f"{self.url} broke: {e}", self.transcript) from None
        self.received += len(data)
        frames = self.decoder.feed(data)
        if frames and self.tap:
            self.tap(b"", frames)
        self._transcript.extend(("<", frame) for frame in frames)
        self._frames.extend(frames)

    def _unanswered(self, what: str, deadline_s: float) -> str:
        other = self.decoder.other_version
        if other is not None and not self.decoder.counters.frames:
            return (
                f"{self.url} speaks version {other} of the protocol, not {protocol.VERSION}: "
                "flash it with this tinyfly, or use the tinyfly that built it"
            )
        if self.received and not self.decoder.counters.frames:
            return (
                f"{self.url} answers, but not in tinyfly's protocol ({self.received} bytes, no frame): "
                f"another device, or another speed than {protocol.BAUD} baud?"
            )
        if not self.received:
            return f"{self.url} is silent: no answer to {what} in {deadline_s:g} s; is it powered, flashed?"
        return f"{self.url} did not answer {what} within {deadline_s:g} s"

    @property
    def transcript(self) -> list[str]:
        """The last frames, oldest first; > sent, < received."""
        return [f"{direction} {frame}" for direction, frame in self._transcript]


def _complete(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number, or too large
        return False


def _send_at_once(fd: int) -> None:
    """Two writes and a read cost 40 ms on a socket that gathers small packets."""
    with socket.fromfd(fd, socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def usb_ports() -> list[str]:
    """The USB serial ports that are plugged in."""
    from serial.tools import list_ports

    return sorted(p.device for p in list_ports.comports() if p.vid is not None)


def _unopened(url: str, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error).split(": ")[-1]
    ports = ", ".join(usb_ports()) or "none"
    return f"port {url} does not open ({reason}); USB serial ports here: {ports}"
