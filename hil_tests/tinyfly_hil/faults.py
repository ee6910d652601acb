"""Faults on demand, each from its own seeded generator: on the line, in the sensors, in the chip's power.

A fault is written ``kind[=value][@start[..end]]``, and several are joined by commas:

    drop=0.05,delay=30ms          all the flight long
    nan=1@2s..2.1s,power@3s       at a time of the flight

The same faults and seed give the same bytes, and taking one fault away leaves the others as they were: so a
campaign can shrink a failure to its cause.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, POSITION

Array = NDArray[Any]
FOREVER_S = math.inf

# kind -> (unit of its value, default, largest, what it does)
LINK = {
    "drop": ("", 0.1, 1.0, "share of frames lost"),
    "corrupt": ("", 0.1, 1.0, "share of frames with one byte changed"),
    "truncate": ("", 0.1, 1.0, "share of frames cut short, their closing zero gone too"),
    "duplicate": ("", 0.1, 1.0, "share of frames sent twice"),
    "reorder": ("", 0.1, 1.0, "share of frames that arrive after the next one"),
    "noise": ("", 0.01, 1.0, "share of bytes with a random bit flipped, as at a wrong baud rate"),
    "flood": ("", 500.0, 900.0, "random bytes between frames; 900 fill the line at 100 Hz"),
    "delay": ("s", 0.03, 2.0, "every state arrives this late"),
    "stall": ("", 1.0, 1.0, "nothing arrives, then everything at once"),
}
SENSORS = {
    "nan": ("", 0.1, 1.0, "share of states with a NaN somewhere"),
    "inf": ("", 0.1, 1.0, "share of states with an infinity somewhere"),
    "frozen": ("", 1.0, 1.0, "the estimate stands still"),
    "spike": ("", 0.1, 1.0, "share of states with one number 1000 times too large"),
    "flip": ("", 1.0, 1.0, "angular velocity with the wrong sign"),
    "bias": ("m", 0.3, 100.0, "position off by this much"),
    "units": ("", 1.0, 1.0, "angular velocity in degrees, position in millimetres"),
}
CHIP = {
    "power": ("", 1.0, 1.0, "the power fails and returns"),
    "brown_out": ("", 1.0, 1.0, "the power dips in the middle of a frame"),
    "reset": ("", 1.0, 1.0, "somebody asks for a reset: refused while motors turn"),
}
KINDS = LINK | SENSORS | CHIP

_SPEC = re.compile(r"([a-z_]+)(?:=([0-9.e-]+)(ms|s|m)?)?(?:@([0-9.]+)(ms|s)(?:\.\.([0-9.]+)(ms|s))?)?\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, active from ``start_s`` to ``end_s`` of the flight (chip faults: at ``start_s``)."""

    kind: str
    value: float
    start_s: float = 0.0
    end_s: float = FOREVER_S

    def __str__(self) -> str:
        unit = KINDS[self.kind][0]
        value = "" if self.value == KINDS[self.kind][1] else f"={self.value:g}{unit}"
        end = "" if self.end_s == FOREVER_S else f"..{self.end_s:g}s"
        when = f"@{self.start_s:g}s{end}" if self.start_s or end else ""
        return f"{self.kind}{value}{when}"

    def active(self, t_s: float) -> bool:
        """Whether it acts at this time of the flight."""
        return self.start_s - 1e-9 <= t_s < self.end_s - 1e-9


def parse(text: str) -> tuple[Fault, ...]:
    """Read a list of faults; UserError says which part does not read and what does."""
    return tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())


def show(faults: tuple[Fault, ...]) -> str:
    """The inverse of ``parse``."""
    return ",".join(map(str, faults))


def _parse_one(part: str) -> Fault:
    match = _SPEC.match(part)
    if not match or match[1] not in KINDS:
        raise UserError(
            f"fault {part!r} does not read: expected kind[=value][@start[..end]] such as drop=0.05 or "
            f"nan=1@2s..2.1s; kinds: {', '.join(KINDS)}"
        )
    kind, value, value_unit, start, start_unit, end, end_unit = match.groups()
    unit, default, largest, _ = KINDS[kind]
    try:
        amount = default if value is None else float(value) * (1e-3 if value_unit == "ms" else 1)
        start_s = 0.0 if start is None else float(start) * (1e-3 if start_unit == "ms" else 1)
        end_s = FOREVER_S if end is None else float(end) * (1e-3 if end_unit == "ms" else 1)
    except ValueError:
        raise UserError(f"fault {part!r} holds something that is not a number") from None
    if value is not None and (value_unit or "").removeprefix("m" if unit == "s" else "") != unit:
        expected = {"s": "a time such as 30ms", "m": "metres such as 0.3m", "": "a plain number"}[unit]
        raise UserError(f"fault {part!r}: the value of {kind} is {expected}")
    if not 0 <= amount <= largest or end_s <= start_s:
        raise UserError(
            f"fault {part!r}: {kind} takes 0..{largest:g}{unit}, and its end must follow its start"
        )
    return Fault(kind, amount, start_s, end_s)


class Injector:
    """Applies faults to one flight. Call ``sense``, ``carry`` and ``power`` once a step, in any order."""

    def __init__(self, faults: tuple[Fault, ...], seed: int = 0):
        self.faults = faults
        order = list(KINDS)
        self._random = [np.random.default_rng([seed, order.index(f.kind), i]) for i, f in _numbered(faults)]
        self._frozen: Array | None = None
        self._waiting: list[tuple[float, Array]] = []  # states under way, by time of arrival
        self._late: bytes = b""  # reordered: goes out after the next frame
        self._done: set[int] = set()

    def sense(self, t_s: float, sensed: Array) -> Array:
        """(13,) what the estimator reports -> what the chip is told."""
        out = sensed.copy()
        for fault, random in self._active(SENSORS, t_s):
            _SENSOR[fault.kind](out, fault.value, random)
        if any(f.kind == "frozen" for f, _ in self._active(SENSORS, t_s)):
            out = self._frozen = out if self._frozen is None else self._frozen
        else:
            self._frozen = None
        return out

    def carry(self, t_s: float, told: Array, frame: Callable[[Array, int], bytes]) -> bytes:
        """Put one state on the line; returns the bytes that arrive now, frames before and noise included.

        ``frame(told, age_us)`` packs a state when it arrives, stamped microseconds before now when several
        come at once: a late state is late, its sequence number and its stamp are not.
        """
        active = {f.kind: (f.value, random) for f, random in self._active(LINK, t_s)}
        late_s = active["delay"][0] if "delay" in active else 0.0
        self._waiting.append((t_s + late_s, told))
        wire = active["flood"][1].bytes(int(active["flood"][0])) + b"\0" if "flood" in active else b""
        if "stall" in active:
            return wire
        due = [state for at, state in self._waiting if at <= t_s + 1e-9]
        self._waiting = [(at, state) for at, state in self._waiting if at > t_s + 1e-9]
        for i, state in enumerate(due):
            wire += self._damage(frame(state, len(due) - 1 - i), active)
        return wire

    def _damage(self, frame: bytes, active: dict[str, tuple[float, np.random.Generator]]) -> bytes:
        def strikes(kind: str) -> np.random.Generator | None:
            if kind not in active:
                return None
            share, random = active[kind]
            return random if random.random() < share else None

        late, self._late = self._late, b""
        out = frame + frame if strikes("duplicate") else frame
        if random := strikes("corrupt"):
            at = int(random.integers(len(frame)))
            out = out[:at] + bytes([out[at] ^ int(random.integers(1, 256))]) + out[at + 1 :]
        if random := strikes("truncate"):
            out = out[: int(random.integers(len(frame)))]
        if "noise" in active:
            share, random = active["noise"]
            data = np.frombuffer(out, np.uint8)
            hit = random.random(len(data)) < share
            out = (data ^ (hit << random.integers(0, 8, len(data))).astype(np.uint8)).tobytes()
        if strikes("drop"):
            out = b""
        if strikes("reorder"):
            self._late, out = out, b""
        return out + late  # a reordered frame is old news: the chip must not act on it

    def power(self, t_s: float) -> str | None:
        """The chip fault that strikes now, once."""
        for i, f in enumerate(self.faults):
            if f.kind in CHIP and i not in self._done and f.active(t_s):
                self._done.add(i)
                return f.kind
        return None

    def forget(self) -> None:
        """The chip has restarted: what was under way to it is lost."""
        self._waiting, self._late = [], b""

    def cut(self, frame: bytes) -> bytes:
        """The part of a frame that still arrives when the power fails."""
        random = next(r for f, r in zip(self.faults, self._random, strict=True) if f.kind in CHIP)
        return frame[: int(random.integers(len(frame)))]

    def _active(self, kinds: dict[str, Any], t_s: float) -> list[tuple[Fault, np.random.Generator]]:
        pairs = zip(self.faults, self._random, strict=True)
        return [(f, random) for f, random in pairs if f.kind in kinds and f.active(t_s)]


def _numbered(faults: tuple[Fault, ...]) -> list[tuple[int, Fault]]:
    """Each fault with its number among those of its kind."""
    seen: dict[str, int] = {}
    out = []
    for f in faults:
        seen[f.kind] = seen.get(f.kind, -1) + 1
        out.append((seen[f.kind], f))
    return out


def _replace_one(value: float) -> Callable[[Array, float, np.random.Generator], None]:
    def apply(s: Array, share: float, random: np.random.Generator) -> None:
        where = random.integers(s.size)
        if random.random() < share:
            s[where] = value if random.random() < 0.5 else -value

    return apply


def _spike(s: Array, share: float, random: np.random.Generator) -> None:
    where = random.integers(s.size)
    if random.random() < share:
        s[where] = 1000 * (s[where] + np.float32(0.1))


def _flip(s: Array, value: float, random: np.random.Generator) -> None:
    s[ANGULAR_VELOCITY] = -s[ANGULAR_VELOCITY]


def _bias(s: Array, metres: float, random: np.random.Generator) -> None:
    s[POSITION] += np.float32(metres)


def _units(s: Array, value: float, random: np.random.Generator) -> None:
    s[ANGULAR_VELOCITY] *= np.float32(180 / np.pi)
    s[POSITION] *= np.float32(1000)


def _nothing(s: Array, value: float, random: np.random.Generator) -> None:
    """Frozen is handled by the injector, which keeps the old state."""


_SENSOR = {
    "nan": _replace_one(math.nan),
    "inf": _replace_one(math.inf),
    "frozen": _nothing,
    "spike": _spike,
    "flip": _flip,
    "bias": _bias,
    "units": _units,
}
