"""One log for every run: what went to the chip, what came back, and what the world did meanwhile.

A log is a NumPy ``.npz`` file of columns of equal length, one row for each time something was sent:

    pandas.DataFrame(dict(tinyfly_hil.log.load("flight.npz").columns))

``sent`` and ``received`` hold the line's bytes in hexadecimal, so a log can be played back on any target; the
other columns are numbers for people and plots, NaN where a row has none. ``meta`` is a JSON text beside them.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.policy import Policy, write_atomically
from tinyfly_hil import protocol
from tinyfly_hil.protocol import Decoder, Frame
from tinyfly_hil.target import Target, open_target
from tinyfly_hil.world import World

VERSION = 1
# What may differ between two runs of the same flight: who answers, and what it cost.
_LOCAL = {
    "boot": {"boot_nonce", "cause"},
    "identity": {"boot_nonce", "cost_unit", "cost_hz", "target", "firmware"},
    "control": {"cost"},
    "inference": {"cost"},
    "stats": {"cost_max", "cost_min", "stack_bytes", "overruns", "late_steps", "late_us_max"},
}

# The 17 rows of tinyfly.state.
_STATE = [f"position_{x}" for x in "xyz"] + [f"quaternion_{x}" for x in "wxyz"]
_STATE += [f"{rate}_{x}" for rate in ("velocity", "angular_velocity") for x in "xyz"]
_STATE += [f"rotor_{i}" for i in range(1, 5)]


@dataclass(frozen=True, slots=True)
class Log:
    """A log as read."""

    columns: dict[str, NDArray[Any]]
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.columns["sent"])


class Recorder:
    """Collects a log: ``attach`` it to a target; ``note`` adds numbers to the last row."""

    def __init__(self) -> None:
        self.meta: dict[str, Any] = {"version": VERSION}
        self._rows: list[dict[str, Any]] = []

    def attach(self, target: Target) -> None:
        """Record from here on: a freshly started, identified chip."""
        self.meta["boot_nonce"] = target.identity.boot_nonce
        self.meta["policy_crc"] = target.identity.policy_crc
        target.link.tap = self.tap

    def tap(self, sent: bytes, frames: list[Frame]) -> None:
        """The link calls this for all that goes over the line; nothing at all is the power returning."""
        if sent or not frames:
            self._rows.append({"sent": sent, "received": []})
        self._rows[-1]["received"].extend(frames)

    def note(self, **numbers: float) -> None:
        """Numbers of the world at the last row: a column each."""
        if self._rows:
            self._rows[-1].update(numbers)

    def observe(self, step: int, world: World) -> None:
        """Note the simulator's state: give this to ``flight.fly``."""
        self.note(step=step, **dict(zip(_STATE, world.state[:, 0], strict=True)))

    def save(self, path: Path) -> Path:
        """Write the log in one go."""
        names = sorted({k for row in self._rows for k in row} - {"sent", "received"})
        columns: dict[str, NDArray[Any]] = {
            "sent": np.array([row["sent"].hex() for row in self._rows]),
            "received": np.array([b"".join(map(_wire, row["received"])).hex() for row in self._rows]),
        }
        for name in names:
            columns[name] = np.array([row.get(name, np.nan) for row in self._rows], np.float64)
        data = io.BytesIO()
        np.savez_compressed(data, meta=np.array(json.dumps(self.meta)), **columns)  # type: ignore[arg-type]
        return write_atomically(path, data.getvalue())


def _wire(frame: Frame) -> bytes:
    return protocol.encode(frame.name, frame.sequence, **frame.body._asdict())


def load(path: str | Path) -> Log:
    """Read a log; raises UserError with one line."""
    try:
        with open(path, "rb") as f, np.load(f, allow_pickle=False) as data:
            columns = {k: data[k] for k in data.files}
        meta = json.loads(str(columns.pop("meta")))
        lengths = {len(c) for c in columns.values()}
        whole = all(isinstance(meta[key], int) for key in ("version", "boot_nonce", "policy_crc"))
        whole &= len(lengths) == 1 and {"sent", "received"} <= columns.keys()
        if meta["version"] != VERSION or not whole:
            raise ValueError(f"version {meta['version']}, columns {', '.join(columns)}")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: record one with `tinyfly hil POLICY --log DIR`") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as e:
        raise UserError(f"{path} is not a tinyfly log, or is damaged: {e}") from None
    return Log(columns, meta)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay left the recording."""

    row: int
    expected: str
    got: str


def replay(log: Log, target: Target) -> Difference | None:
    """Send again what was sent; the first answer that differs in a bit, or None.

    The clock is the log's (lock-step), so any freshly opened target can play any log. The boot nonce is put
    in anew; who answers, and at what cost, may differ.
    """
    nonce = target.identity.boot_nonce
    recorded = log.meta["boot_nonce"]
    for row, (sent, received) in enumerate(zip(log.columns["sent"], log.columns["received"], strict=True)):
        expected = Decoder().feed(bytes.fromhex(str(received)))
        if sent:
            target.link.write(_renew(bytes.fromhex(str(sent)), recorded, nonce))
        else:
            target.power_up()
            expected = [f for f in expected if f.name != "boot"]
        for e in expected:
            g = target.link.wait(lambda f: True, f"row {row} of the log")
            if _bits(e) != _bits(g):
                return Difference(row, str(e), str(g))
            if e.name == "identity":
                recorded, nonce = e.body.boot_nonce, g.body.boot_nonce
    return None


def play(path: Path, policy: Path, port: str) -> Difference | None:
    """Replay a log on a freshly opened target: what `tinyfly hil --replay` runs."""
    log = load(path)
    crc = Policy.load(policy).crc32()
    if log.meta["policy_crc"] != crc:
        recorded = f"{log.meta['policy_crc']:08x}"
        raise UserError(f"{path} was recorded with another policy (crc {recorded}) than {policy} ({crc:08x})")
    with open_target(port, policy) as target:
        return replay(log, target)


def _bits(frame: Frame) -> Any:
    """What must be the same in every run."""
    local = _LOCAL.get(frame.name, set())
    values = {k: v for k, v in frame.body._asdict().items() if k not in local}
    return (
        frame.name,
        frame.sequence,
        {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in values.items()},
    )


def _renew(sent: bytes, old_nonce: int | None, nonce: int) -> bytes:
    """The same bytes, with the present boot nonce in an arm frame that carried the recorded one."""
    frames = Decoder().feed(sent)
    if len(frames) == 1 and frames[0].name == "arm" and frames[0].body.boot_nonce == old_nonce:
        body = frames[0].body._asdict() | {"boot_nonce": nonce}
        return b"\0" + protocol.encode("arm", frames[0].sequence, **body)
    return sent
