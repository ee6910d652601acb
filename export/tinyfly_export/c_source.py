"""Python values written as C source: exact floats, safe strings, no dependence on locale or machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError

Array = NDArray[np.float32]
PAD_ROWS = 4  # the kernels take a layer's rows by so many
_TRAILING_ZEROS = re.compile(r"\.?0*p")
_PLAIN = re.compile(r"[A-Za-z0-9 _.,:+=()-]")


def padded(rows: int) -> int:
    """Rows of a layer as stored."""
    return -(-rows // PAD_ROWS) * PAD_ROWS


def number(x: float) -> str:
    """One float32 as a C hex float; no digit of it is lost."""
    return numbers(np.array([x], np.float32))[0]


def numbers(values: Array) -> list[str]:
    """Every value, flattened in C order, as a C hex float."""
    flat = np.ascontiguousarray(values, np.float32).ravel()
    if not np.isfinite(flat).all():
        raise UserError("the policy holds a number that is not finite: it cannot be written as C")
    hexes = " ".join(map(float.hex, flat.tolist()))
    return [f"{x}f" for x in _TRAILING_ZEROS.sub("p", hexes).split(" ")]


def array(values: Array, columns: int = 8) -> str:
    """The braces and what is in them, ``columns`` numbers to the line."""
    text = numbers(values)
    lines = [", ".join(text[i : i + columns]) for i in range(0, len(text), columns)]
    return "{\n    " + ",\n    ".join(lines) + ",\n}"


def lines(entries: Iterable[str]) -> str:
    """The braces and what is in them, an entry to the line."""
    return "{\n" + "".join(f"    {entry},\n" for entry in entries) + "}"


def modes(entries: Sequence[str], state: Sequence[NDArray[np.intp]], slots: int) -> tuple[str, str, str]:
    """Layers in modes: the hidden ones' table, the last one, and which inputs after the history each has."""
    *parts, last = entries
    hidden = [f"{{{', '.join(parts[i : i + 4])}}}" for i in range(0, len(parts), 4)]
    places = [str(place - 4 * slots) for mode in state for place in mode]
    return lines(hidden), last, f"{{{', '.join(places) or '0'}}}"


def string(text: str, size: int) -> str:
    """A C string literal of at most ``size`` bytes; what is not plainly harmless becomes an octal escape."""
    data = text.encode()[:size].decode(errors="ignore").encode()
    return '"' + "".join(chr(b) if _PLAIN.match(chr(b)) else f"\\{b:03o}" for b in data) + '"'


def defines(macros: dict[str, Any]) -> str:
    """``#define NAME value`` lines."""
    return "".join(f"#define {name} {value}\n" for name, value in macros.items())
