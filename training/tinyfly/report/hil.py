"""What runs in the loop left behind: their JSON summary as tables, the chip's flights to be replayed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly.report.flights import SHOWN_HZ, track
from tinyfly.report.page import facts, note, table

Array = NDArray[Any]

MAX_BYTES = 64 << 20
_WORDS = {
    "policy_crc": "policy (CRC-32)",
    "hover_error_m": "hover error, m",
    "figure_eight_rmse_m": "figure-eight error, m",
    "instructions_per_step": "instructions per control step",
    "flash_bytes": "flash, bytes",
    "ram_bytes": "RAM, bytes",
    "round_trip_ms_max": "worst serial round trip, ms",
    "passed": "checks passed",
    "failed": "checks failed",
}


@dataclass(frozen=True, slots=True)
class ChipFlight:
    """A flight of the very binary, one row per control step."""

    kind: str  # of set-point
    about: str
    dt_s: float
    states: Array  # (T, 13) what the chip was told, rows of `state`
    reference: Array  # (T, 3) m
    motors: Array  # (T, 4) its commands, fraction of full speed
    end: str  # the chip's state at the end
    clean: bool  # it was flying from the first step to the last, on honest numbers

    @property
    def duration_s(self) -> float:
        return (len(self.states) - 1) * self.dt_s

    @property
    def error_m(self) -> Array:
        """(T,) distance from the reference; NaN where either is not known."""
        return np.linalg.norm(self.states[:, :3] - self.reference, axis=1)

    def on_stage(self, key: str) -> dict[str, Any]:
        """The flight as page.js shows it."""
        every = max(1, round(1 / (self.dt_s * SHOWN_HZ)))
        states, reference, motors = (x[::every] for x in (self.states, self.reference, self.motors))
        return {
            "id": key,
            "title": f"Chip: {self.kind}, {self.duration_s:.1f} s",
            "about": f"Flown by the chip, in the loop: {self.about}. As its estimator told it.",
            "worst": False,
            "dt_s": every * self.dt_s,
            "reference": reference.T,
            "flown": [{"policy": 0, **track(states, reference, motors)}],
        }


def read_hil(path: Path, policy: Policy) -> dict[str, Any]:
    """The summary that `tinyfly hil --json` prints; raises UserError.

    One of another policy is refused: its figures would be shown under the wrong name.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 20} MB: not a result of `tinyfly hil`")
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: make one with `tinyfly hil POLICY --json > {path}`"
        ) from None
    except (OSError, ValueError) as e:
        raise UserError(f"{path} is not the JSON summary of `tinyfly hil`: {e}") from None
    if not isinstance(result, dict):
        raise UserError(f"{path} is not the JSON summary of `tinyfly hil`")
    # `tinyfly fly --json` holds the summary of its last step
    result = result["hil"] if isinstance(result.get("hil"), dict) else result
    if result.get("policy_crc", policy.crc32()) != policy.crc32():
        raise UserError(
            f"{path} is of another policy (CRC {result['policy_crc']:#x}, not {policy.crc32():#x})"
        )
    return result


def hil_html(result: dict[str, Any] | None, flights: Sequence[ChipFlight] = ()) -> str:
    """Tables: the summary's figures, then every list of checks in it, then the flights."""
    if result is None and not flights:
        return note(
            "No run given. tinyfly hil POLICY --json --log DIR > hil.json, then "
            "tinyfly report POLICY --hil hil.json DIR."
        )
    return _summary(result or {}) + _flights(flights)


def _flights(flights: Sequence[ChipFlight]) -> str:
    if not flights:
        return ""
    rows = []
    for f in flights:
        error = f.error_m[np.isfinite(f.error_m)]
        figures = (
            [f"{1e3 * x:.1f}" for x in (error.mean(), error.max(), error[-1])] if len(error) else ["-"] * 3
        )
        rows.append((f.about, f.kind, f"{f.duration_s:.1f} s", *figures, f.end))
    columns = ("flight", "set-point", "lasted", "mean error, mm", "worst", "last", "state at the end")
    return note("Flights, to be replayed at the top of the page.") + table(columns, rows)


def _summary(result: dict[str, Any]) -> str:
    numbers = [
        (_WORDS.get(k, k.replace("_", " ")), f"{v:08x}" if k == "policy_crc" else _cell(v))
        for k, v in result.items()
        if _simple(v)
    ]
    parts = [facts(numbers)] if numbers else []
    for key, value in result.items():
        if isinstance(value, dict) and value:
            named = [(str(k), v if isinstance(v, str) else json.dumps(v)) for k, v in value.items()]
            parts += [note(key.replace("_", " ")), facts(named)]
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(c for row in value for c in row if _simple(row[c])))
            rows = [[_cell(row.get(c, "")) for c in columns] for row in value]
            parts += [note(key.replace("_", " ")), table([c.replace("_", " ") for c in columns], rows)]
    return "".join(parts)


def _simple(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _cell(value: Any) -> str:
    if value is None:
        return "not measured on this target"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
