"""The serial protocol's table, read and checked. Standard library only: it runs wherever firmware builds."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
OVERHEAD = 8  # version, type, sequence u16, crc32
WIDTH = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i32": 4, "f32": 4, "char": 1}
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_TYPE = re.compile(r"(u8|u16|u32|u64|i32|f32|char)(?:\[([1-9][0-9]*)?(\])|)\Z")
_RESERVED = {
    "auto",
    "bool",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
}
_RESERVED |= {
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
}
_RESERVED |= {
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
}
_RESERVED |= {"volatile", "while"}


class BadTable(Exception):
    """The table breaks a rule; the text is one line that says where and which."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body: ``count`` is 1 for a scalar, n for TYPE[n], None for f32[] (the rest)."""

    name: str
    type: str
    count: int | None
    array: bool

    @property
    def bytes(self) -> int:
        """Bytes on the wire; 0 for f32[]."""
        return WIDTH[self.type] * (self.count or 0)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type byte, its body, and the message that answers it (None for the chip's own)."""

    name: str
    type: int
    body: tuple[Field, ...]
    about: str
    reply: str | None

    @property
    def bytes(self) -> int:
        """Bytes of the body, without the f32[] at its end."""
        return sum(f.bytes for f in self.body)

    @property
    def rest(self) -> Field | None:
        """The f32[] at the end of the body, when there is one."""
        return self.body[-1] if self.body and self.body[-1].count is None else None


@dataclass(frozen=True, slots=True)
class Table:
    """The whole protocol."""

    version: int
    max_frame: int
    baud: int
    enums: dict[str, dict[str, int]]
    messages: dict[str, Message]


def load(path: Path = HERE / "messages.toml") -> Table:
    """Read and check the table; raises BadTable with one line."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadTable(f"{path}: {e.strerror}") from None
    except ValueError as e:
        raise BadTable(f"{path.name}: {e}") from None
    try:
        return _table(raw)
    except BadTable as e:
        raise BadTable(f"{path.name}: {e}") from None


def _table(raw: dict) -> Table:
    _only(raw, {"version", "max_frame", "baud", "enums", "messages"}, "the table")
    version = _integer(raw, "version", 1, 255)
    max_frame = _integer(raw, "max_frame", 64, 4096)
    baud = _integer(raw, "baud", 9600, 12_000_000)
    enums = {name: _enum(name, values) for name, values in _dict(raw, "enums").items()}
    messages = {name: _message(name, m, max_frame) for name, m in _dict(raw, "messages").items()}
    owner: dict[int, str] = {}
    for m in messages.values():
        if m.type in owner:
            raise BadTable(f"messages {owner[m.type]} and {m.name} share type 0x{m.type:02x}")
        owner[m.type] = m.name
        if m.reply is not None and m.reply not in messages:
            raise BadTable(f"message {m.name} names an unknown reply {m.reply!r}")
    return Table(version, max_frame, baud, enums, messages)


def _enum(name: str, values: dict) -> dict[str, int]:
    _check_name(name, "enum")
    if not isinstance(values, dict) or not values:
        raise BadTable(f"enum {name} has no values")
    for key in values:
        _check_name(key, f"enum {name}: value", reserved=False)
        _integer(values, key, 0, 255, f"enum {name}: ")
    if sorted(values.values()) != list(range(len(values))):
        raise BadTable(f"enum {name} must number its values 0, 1, 2, ... without gaps or repeats")
    return values


def _message(name: str, raw: dict, max_frame: int) -> Message:
    _check_name(name, "message")
    if not isinstance(raw, dict):
        raise BadTable(f"message {name} is not a table")
    _only(raw, {"type", "body", "about", "reply"}, f"message {name}")
    kind = _integer(raw, "type", 1, 255, f"message {name}: ")
    for key in ("about", "reply"):
        if not isinstance(raw.get(key, ""), str):
            raise BadTable(f"message {name}: {key} must be a string")
    body = raw.get("body")
    if not isinstance(body, list):
        raise BadTable(f"message {name}: body must be a list of [name, type]")
    fields = tuple(_field(name, f) for f in body)
    names = [f.name for f in fields]
    if len(set(names)) != len(names):
        raise BadTable(f"message {name} names a field twice: {', '.join(names)}")
    if any(f.count is None for f in fields[:-1]):
        raise BadTable(f"message {name}: f32[] takes the rest of the body, so it must come last")
    message = Message(name, kind, fields, raw.get("about", ""), raw.get("reply"))
    if message.bytes + OVERHEAD > max_frame:
        raise BadTable(f"message {name} takes {message.bytes + OVERHEAD} bytes; max_frame is {max_frame}")
    return message


def _field(message: str, raw: object) -> Field:
    if not (isinstance(raw, list) and len(raw) == 2 and all(isinstance(x, str) for x in raw)):
        raise BadTable(f"message {message}: a field is [name, type], not {raw!r}")
    name, text = raw
    _check_name(name, f"message {message}: field")
    match = _TYPE.match(text)
    if not match:
        raise BadTable(f"message {message}: field {name} has an unknown type {text!r}")
    kind, count, bracket = match.groups()
    if bracket and not count and kind != "f32":
        raise BadTable(f"message {message}: field {name}: only f32[] may take the rest of the body")
    if kind == "char" and not bracket:
        raise BadTable(f"message {message}: field {name}: write char[n]")
    return Field(name, kind, (int(count) if count else None) if bracket else 1, bool(bracket))


def _check_name(name: str, what: str, reserved: bool = True) -> None:
    if not _NAME.match(name) or (reserved and name in _RESERVED):
        raise BadTable(
            f"{what} {name!r} is not a name: lower-case letters, digits, underscores, no C keyword"
        )


def _only(raw: dict, known: set[str], where: str) -> None:
    unknown = sorted(set(raw) - known)
    if unknown:
        raise BadTable(f"{where} has an unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")


def _dict(raw: dict, key: str) -> dict:
    value = raw.get(key)
    if not isinstance(value, dict) or not value:
        raise BadTable(f"[{key}] is missing")
    return value


def _integer(raw: dict, key: str, low: int, high: int, where: str = "") -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadTable(f"{where}{key} is {value!r}; expected an integer in {low}..{high}")
    return value
