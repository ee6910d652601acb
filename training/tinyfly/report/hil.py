"""What a hardware-in-the-loop run left behind, as tables: its JSON summary, or its log."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly.report.page import facts, note, table

MAX_BYTES = 64 << 20
_WORDS = {
    "hover_error_m": "hover error, m",
    "figure_eight_rmse_m": "figure-eight error, m",
    "instructions_per_step": "instructions per control step",
    "flash_bytes": "flash, bytes",
    "ram_bytes": "RAM, bytes",
    "round_trip_ms_max": "worst serial round trip, ms",
    "passed": "checks passed",
    "failed": "checks failed",
}


def read_hil(path: Path, policy: Policy) -> dict[str, Any]:
    """The summary that `tinyfly hil --json` prints, or what a log (.npz) says; raises UserError.

    A log of another policy is refused: its flights would be shown under the wrong name.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 20} MB: not a result of `tinyfly hil`")
        result = _log(path) if zipfile.is_zipfile(path) else json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: make one with `tinyfly hil POLICY --json > {path}`"
        ) from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as e:
        raise UserError(f"{path} is neither a log nor the JSON summary of `tinyfly hil`: {e}") from None
    if not isinstance(result, dict):
        raise UserError(f"{path} is neither a log nor the JSON summary of `tinyfly hil`")
    # `tinyfly fly --json` holds the summary of its last step
    result = result["hil"] if isinstance(result.get("hil"), dict) else result
    if result.get("policy_crc", policy.crc32()) != policy.crc32():
        raise UserError(
            f"{path} is of another policy (CRC {result['policy_crc']:#x}, not {policy.crc32():#x})"
        )
    return result


def hil_html(result: dict[str, Any] | None) -> str:
    """Tables: the figures, then every list of checks or flights in it."""
    if result is None:
        return note(
            "No run given. tinyfly hil POLICY --json > hil.json, then tinyfly report POLICY --hil hil.json."
        )
    numbers = [(_WORDS.get(k, k.replace("_", " ")), _cell(v)) for k, v in result.items() if _simple(v)]
    parts = [facts(numbers)]
    for key, value in result.items():
        if isinstance(value, dict) and value:
            named = [(str(k), v if isinstance(v, str) else json.dumps(v)) for k, v in value.items()]
            parts += [note(key.replace("_", " ")), facts(named)]
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(c for row in value for c in row if _simple(row[c])))
            rows = [[_cell(row.get(c, "")) for c in columns] for row in value]
            parts += [note(key.replace("_", " ")), table([c.replace("_", " ") for c in columns], rows)]
    return "".join(parts)


def _log(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as data:
        meta = json.loads(str(data["meta"]))
        columns = {k: data[k] for k in data.files if k not in ("meta", "sent", "received")}
        rows = len(data["sent"])
    numbers = [
        {"column": k, "median": float(np.median(v)), "worst": float(np.abs(v).max())}
        for k, v in ((k, v[np.isfinite(v)]) for k, v in columns.items() if v.dtype.kind == "f")
        if len(v)
    ]
    return {**meta, "exchanges": rows, "columns": numbers}


def _simple(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _cell(value: Any) -> str:
    if value is None:
        return "not measured on this target"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
