"""How a policy came to be: loss and error over wall time, as CSV beside the policy file.

Beside it and not in it: the same seed gives the same policy file, and no two runs take the same time.
The first line names the policy; the rest is for `pandas.read_csv(path, comment="#")` and the flight report.
"""

from __future__ import annotations

import csv
import math
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from time import perf_counter

from tinyfly.console import Report
from tinyfly.errors import UserError
from tinyfly.policy import Policy, write_atomically


@dataclass(frozen=True, slots=True)
class Row:
    """After one update of the weights."""

    wall_s: float  # since training began
    share: float  # of the updates, 0..1
    loss: float  # mean over the window just flown
    error_m: float  # mean distance from the reference at its end


class LearningCurve:
    """A trainer's progress callback that keeps what it hears and passes it on."""

    def __init__(self, then: Report = lambda share, metrics: None) -> None:
        self.rows: list[Row] = []
        self._then, self._start = then, perf_counter()

    def __call__(self, share: float, metrics: dict[str, float]) -> None:
        if self.rows and share <= self.rows[-1].share:
            self.rows.clear()  # the trainer begins anew, from another seed
        if {"loss", "error_m"} <= metrics.keys():
            self.rows.append(Row(perf_counter() - self._start, share, metrics["loss"], metrics["error_m"]))
        self._then(share, metrics)

    def save(self, policy: Policy, path: Path) -> Path:
        """Write the curve beside the policy file ``path``."""
        head = f"# policy {policy.crc32():08x}\n" + ",".join(f.name for f in fields(Row)) + "\n"
        lines = "".join(",".join(f"{v:.6g}" for v in astuple(row)) + "\n" for row in self.rows)
        return write_atomically(_beside(path), (head + lines).encode())


def load_curve(policy: Policy, path: Path) -> list[Row]:
    """The curve beside the policy file ``path``; empty when there is none, or it is another policy's."""
    file = _beside(path)
    try:
        first, names, *lines = file.read_text(encoding="utf-8").splitlines()
        if first != f"# policy {policy.crc32():08x}":
            return []
        if names != ",".join(f.name for f in fields(Row)):
            raise ValueError(f"columns {names[:80]}")
        rows = [Row(*map(float, cells)) for cells in csv.reader(lines)]
        if not all(math.isfinite(v) for row in rows for v in astuple(row)):
            raise ValueError("a number is not finite")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as e:
        raise UserError(f"{file} does not read ({e}): delete it, or train again") from None
    return rows


def _beside(path: Path) -> Path:
    return path.with_suffix(".learning.csv")
