"""The serial protocol in Python, built from the same table as the firmware's tf_messages.h.

``encode("step", 7, time_us=0, position=..., ...)`` gives the bytes on the wire; ``Decoder.feed(bytes)`` gives
the frames in them, whatever else they hold, and counts what it threw away.
"""

from __future__ import annotations

import importlib.util
import struct
import zlib
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from cobs import cobs

PROTOCOL_DIR = Path(__file__).resolve().parents[2] / "firmware" / "protocol"


def _table_module() -> ModuleType:
    """firmware/protocol/table.py: outside every package, because the firmware's build runs it without one."""
    import sys

    spec = importlib.util.spec_from_file_location("tinyfly_protocol_table", PROTOCOL_DIR / "table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


TABLE: Any = _table_module().load()
VERSION: int = TABLE.version
BAUD: int = TABLE.baud
MAX_FRAME: int = TABLE.max_frame
ENUMS: dict[str, dict[str, int]] = TABLE.enums
_NAMES = {enum: {v: k for k, v in values.items()} for enum, values in ENUMS.items()}
_HEADER = struct.Struct("<BBH")
_CRC = struct.Struct("<I")
_LETTER = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "f32": "f"}
_DTYPE = {"u8": "u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4", "f32": "<f4"}


def name_of(enum: str, value: int) -> str:
    """The name of an enum's value, e.g. ``name_of("state", 5) == "flying"``."""
    return _NAMES[enum].get(value, f"{enum} {value}")


class _Codec:
    """Packs and unpacks the body of one message."""

    def __init__(self, message: Any):
        self.message = message
        self.fields = message.body
        parts = [f"{f.bytes}s" if f.array else _LETTER[f.type] for f in self.fields if f.count is not None]
        self.struct = struct.Struct("<" + "".join(parts))
        self.body = namedtuple(message.name, [f.name for f in self.fields])  # type: ignore[misc]

    def pack(self, values: dict[str, Any]) -> bytes:
        if values.keys() != {f.name for f in self.fields}:
            expected = ", ".join(f.name for f in self.fields) or "nothing"
            raise ValueError(
                f"message {self.message.name} takes {expected}; got {', '.join(values) or 'nothing'}"
            )
        packed = [self._to_wire(f, values[f.name]) for f in self.fields]
        if self.message.rest:
            return self.struct.pack(*packed[:-1]) + packed[-1]
        return self.struct.pack(*packed)

    def unpack(self, body: bytes) -> Any:
        """The body as a named tuple, or None when its length is wrong."""
        extra = len(body) - self.struct.size
        if extra < 0 or (extra % 4 if self.message.rest else extra):
            return None
        values = list(self.struct.unpack_from(body))
        if self.message.rest:
            values.append(body[self.struct.size :])
        return self.body(*(self._from_wire(f, v) for f, v in zip(self.fields, values, strict=True)))

    @staticmethod
    def _to_wire(f: Any, value: Any) -> Any:
        if not f.array:
            return value
        if f.type == "char":
            data = value.encode()
            if len(data) > f.count:
                raise ValueError(f"{f.name} takes at most {f.count} bytes; got {len(data)}")
            return data
        array = np.asarray(value, _DTYPE[f.type])
        if array.ndim != 1 or (f.count is not None and array.size != f.count):
            raise ValueError(f"{f.name} takes {f.count or 'a run of'} values; got shape {array.shape}")
        return array.tobytes()

    @staticmethod
    def _from_wire(f: Any, value: Any) -> Any:
        if not f.array:
            return value
        if f.type == "char":
            return value.rstrip(b"\0").decode(errors="replace")
        return np.frombuffer(value, _DTYPE[f.type])


_BY_NAME = {name: _Codec(m) for name, m in TABLE.messages.items()}
_BY_TYPE = {codec.message.type: codec for codec in _BY_NAME.values()}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the message's name, its sequence number, and its body as a named tuple."""

    name: str
    sequence: int
    body: Any

    def __str__(self) -> str:
        return f"{self.name} #{self.sequence} {describe(self.body)}"


def describe(body: Any) -> str:
    """A body for people: enums by name, numbers short."""
    return " ".join(f"{k}={_show(k, v)}" for k, v in body._asdict().items() if k != "reserved")


def _show(key: str, value: Any) -> str:
    if key in _NAMES and isinstance(value, int):
        return name_of(key, value)
    if isinstance(value, np.ndarray | list | tuple):
        value = np.asarray(value)
        shown = " ".join(f"{x:.6g}" for x in value[:18])
        return f"[{shown}{' ...' if value.size > 18 else ''}]"
    return f"0x{value:x}" if isinstance(value, int) and value > 0xFFFFFF else str(value)


def reply_of(name: str) -> str:
    """The name of the message that answers this one."""
    reply = TABLE.messages[name].reply
    if reply is None:
        raise ValueError(f"nothing answers {name}")
    return reply


def make_body(name: str, values: dict[str, Any]) -> Any:
    """A message's body as a named tuple, its values as given."""
    return _BY_NAME[name].body(**values)


def encode(name: str, sequence: int = 0, **values: Any) -> bytes:
    """One frame as it goes over the wire, closing zero included; ValueError for values that do not fit."""
    codec = _BY_NAME[name]
    try:
        body = codec.pack(values)
    except struct.error as e:
        raise ValueError(f"message {name}: {e}") from None
    return seal(_HEADER.pack(VERSION, codec.message.type, sequence & 0xFFFF) + body)


def seal(content: bytes) -> bytes:
    """Any header and body with a right CRC, as it goes over the wire (tests send wrong ones on purpose)."""
    if len(content) + _CRC.size > MAX_FRAME:
        raise ValueError(f"a frame holds at most {MAX_FRAME} bytes; got {len(content) + _CRC.size}")
    return cobs.encode(content + _CRC.pack(zlib.crc32(content))) + b"\0"


@dataclass(slots=True)
class Counters:
    """What a decoder met: good frames, and why it threw the others away."""

    frames: int = 0
    bad_frame: int = 0  # not COBS, too short or long, an unknown type, a body of the wrong length
    bad_crc: int = 0
    bad_version: int = 0


# COBS adds one byte per 254, and one: beyond that a run without a zero is not a frame.
_MAX_ENCODED = MAX_FRAME + MAX_FRAME // 254 + 1


@dataclass(slots=True)
class Decoder:
    """Bytes in, frames out. Never raises: a line carries noise, half frames and other people's boot logs."""

    counters: Counters = field(default_factory=Counters)
    other_version: int | None = None  # the version byte of the last sound frame of another protocol version
    _pending: bytearray = field(default_factory=bytearray)
    _overflow: bool = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in any split; return the frames that they complete."""
        frames = []
        *ended, rest = data.split(b"\0")
        for part in ended:
            self._append(part)
            frame = self._frame(bytes(self._pending))
            if frame is not None:
                frames.append(frame)
            self._pending.clear()
            self._overflow = False
        self._append(rest)
        return frames

    def _append(self, part: bytes) -> None:
        if len(self._pending) + len(part) > _MAX_ENCODED:
            self._overflow = True
            self._pending.clear()
        if not self._overflow:
            self._pending += part

    def _frame(self, encoded: bytes) -> Frame | None:
        counters = self.counters
        if self._overflow:
            counters.bad_frame += 1
            return None
        if not encoded:  # zeros between frames are how a sender resynchronises
            return None
        try:
            content = cobs.decode(encoded)
        except cobs.DecodeError:
            content = b""
        if not _HEADER.size + _CRC.size <= len(content) <= MAX_FRAME:
            counters.bad_frame += 1
            return None
        if _CRC.unpack(content[-4:])[0] != zlib.crc32(content[:-4]):
            counters.bad_crc += 1
            return None
        version, kind, sequence = _HEADER.unpack_from(content)
        if version != VERSION:
            counters.bad_version += 1
            self.other_version = version
            return None
        codec = _BY_TYPE.get(kind)
        body = codec.unpack(content[4:-4]) if codec else None
        if codec is None or body is None:
            counters.bad_frame += 1
            return None
        counters.frames += 1
        return Frame(codec.message.name, sequence, body)
