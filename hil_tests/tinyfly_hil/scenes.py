"""What a log shows: the flights in it, decoded from the line, for the flight report to replay.

Nothing but the frames is needed, so every log can be shown, a board's and a campaign's too. The vehicle is
drawn where the chip was told it was; the reference is what its set-point means, by `setpoint`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly.report.hil import ChipFlight
from tinyfly.trajectory import Hover, Trajectory
from tinyfly_hil import log as logs
from tinyfly_hil.protocol import Decoder, name_of
from tinyfly_hil.setpoint import path as path_of

IN_THE_AIR = {"flying", "degraded", "failsafe"}
SHORTEST_S = 1.0  # anything shorter is a test of something else
FARTHEST_M = 20.0  # a state beyond is a test's lie
MOST = 3

Array = NDArray[Any]


def flights(paths: list[Path], policy: Policy) -> list[ChipFlight]:
    """The longest flights of these logs, or of the logs in these folders, clean ones first.

    Raises:
        UserError: a log that does not read, of another policy, or no flight in any of them.
    """
    found = []
    for file in [f for p in paths for f in (sorted(p.glob("*.npz")) if p.is_dir() else [p])]:
        log = logs.load(file)
        if log.meta["policy_crc"] != policy.crc32():
            raise UserError(
                f"{file} is of another policy (CRC {log.meta['policy_crc']:#x}, not {policy.crc32():#x})"
            )
        found += of_log(log, file.stem.removeprefix("test_").replace("_", " "))
    if not found:
        named = ", ".join(map(str, paths))
        raise UserError(
            f"no flight of {SHORTEST_S:g} s or more in {named}: `tinyfly hil POLICY --log DIR` records some"
        )
    return sorted(found, key=lambda f: (not f.clean, -f.duration_s))[:MOST]


def of_log(log: logs.Log, about: str) -> list[ChipFlight]:
    """The flights of one log, in their order."""
    reader = _Reader(about)
    for sent, received in zip(log.columns["sent"], log.columns["received"], strict=True):
        reader.row(bytes.fromhex(str(sent)), bytes.fromhex(str(received)))
    reader.land()
    return reader.flights


@dataclass
class _Reader:
    """Follows a log; keeps what the chip was told last, and the flight that is under way."""

    about: str
    flights: list[ChipFlight] = field(default_factory=list)
    _told: Array = field(default_factory=lambda: np.full(13, np.nan))
    _asked: tuple[int, str, Array] | None = None  # sequence number of the last set-point sent, kind, values
    _setpoint: tuple[str, Array] | None = None  # the last one taken, until a control step uses it
    _path: Trajectory | None = None
    _since_us: int = 0
    _kinds: list[str] = field(default_factory=list)
    _rows: list[tuple[int, Array, Array, Array]] = field(default_factory=list)
    _end: str = ""
    _clean: bool = True

    def row(self, sent: bytes, received: bytes) -> None:
        for frame in Decoder().feed(sent):
            body = frame.body
            if frame.name == "step":
                parts = (body.position, body.quaternion, body.velocity, body.angular_velocity)
                with np.errstate(invalid="ignore"):  # tests send NaN of every kind
                    self._told = np.concatenate(parts).astype(float)
                    if not np.linalg.norm(self._told[:3]) < FARTHEST_M:
                        self._told[:] = np.nan
            elif frame.name == "setpoint":
                self._asked = frame.sequence, name_of("setpoint", body.kind), np.array(body.values, float)
        for frame in Decoder().feed(received):
            if frame.name == "control":
                self._control(frame.body)
            elif frame.name == "status" and self._asked and self._asked[0] == frame.sequence:
                if name_of("reason", frame.body.reason) != "bad_setpoint":
                    self._setpoint = self._asked[1:]
            elif frame.name == "boot":
                self.land()

    def _control(self, control: Any) -> None:
        self._end = name_of("state", control.state)
        if self._end not in IN_THE_AIR:
            self.land()
            return
        if self._setpoint is not None:  # its time runs from the first control step that uses it
            kind, values = self._setpoint
            self._setpoint, self._since_us = None, control.time_us
            self._kinds.append(kind)
            self._path = _path(kind, values, self._told[:3])
        time_s = (control.time_us - self._since_us) % (1 << 32) * 1e-6
        here = np.full(3, np.nan) if self._path is None else self._path.at(np.array([time_s]))[0][:, 0]
        self._clean &= self._end == "flying" and bool(np.isfinite(self._told).all())
        self._rows.append((control.time_us, self._told, here, np.array(control.motors, float)))

    def land(self) -> None:
        """The flight under way, if any, is over."""
        rows, self._rows = self._rows, []
        kinds, self._kinds = self._kinds, []
        clean, self._clean = self._clean, True
        self._path = None
        if len(rows) < 2:
            return
        time_us, told, reference, motors = (np.array(column) for column in zip(*rows, strict=True))
        steps_s = np.diff(time_us) % (1 << 32) * 1e-6  # the clock wraps
        if steps_s.sum() < SHORTEST_S:
            return
        kind = (kinds[0] if len(set(kinds)) == 1 else "several set-points") if kinds else "no set-point"
        self.flights.append(
            ChipFlight(
                kind.replace("_", "-"),
                self.about,
                float(np.median(steps_s)),
                told,
                reference,
                motors,
                self._end if self._end in IN_THE_AIR else f"{self._end} afterwards",
                clean,
            )
        )


def _path(kind: str, values: Array, start_m: Array) -> Trajectory | None:
    if kind == "reference":
        return Hover((values[0], values[1], values[2]))  # one sample, held until the next
    return None if kind == "velocity" else path_of(kind, values.tolist(), start_m)
