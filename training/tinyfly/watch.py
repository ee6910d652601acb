"""A flight in the terminal while it happens: error, attitude, rates and motors, on stderr.

Whoever flies feeds it a state a step; it draws at most ten times a second, so it may be called at any rate.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinyfly import viewer
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, REFERENCE_POSITION, euler_rad

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.floating]
View = Callable[[float, Array, Array, Array], None]

DRAW_EVERY_S = 0.1
_BLOCKS = " ▁▂▃▄▅▆▇█"
_HISTORY = 24  # drawings in the sparkline


@contextmanager
def watch(label: str) -> Iterator[View]:
    """A view to call with (time_s, state, reference, command) while the body runs.

    ``state`` (13 or 17,) and ``reference`` (3 or more,) have the rows of `state`; ``command`` (4,) is the
    rotors' speed fraction in 0..1. In rerun's viewer where that is installed (see `viewer`), else in the
    terminal; silent when stderr is not a terminal.
    """
    if not sys.stderr.isatty():
        yield lambda time_s, state, reference, command: None
        return
    if viewer.available() and (window := viewer.open_viewer(label)):
        yield window
        return
    from rich.console import Console
    from rich.live import Live

    errors_m: deque[float] = deque(maxlen=_HISTORY)
    drawn = -math.inf
    with Live(console=Console(stderr=True), auto_refresh=False) as live:

        def view(time_s: float, state: Array, reference: Array, command: Array) -> None:
            nonlocal drawn
            now = monotonic()
            if now - drawn < DRAW_EVERY_S:
                return
            drawn = now
            errors_m.append(_norm(state[POSITION] - reference[REFERENCE_POSITION]))
            live.update(panel(label, time_s, state, reference, command, list(errors_m)), refresh=True)

        yield view


def panel(
    label: str, time_s: float, state: Array, reference: Array, command: Array, errors_m: list[float]
) -> Table:
    """One picture of the flight; ``errors_m`` are the errors of the last pictures, newest last."""
    from rich.table import Table

    error = state[POSITION] - reference[REFERENCE_POSITION]
    attitude = np.degrees(euler_rad(state[QUATERNION]))
    rates = np.degrees(state[ANGULAR_VELOCITY])
    table = Table(title=f"{label}  {time_s:.2f} s", title_justify="left", show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row("error", f"{_length(_norm(error))}", sparkline(errors_m))
    for name, values in (("x y z, mm", 1e3 * error), ("roll pitch yaw, °", attitude), ("rates, °/s", rates)):
        table.add_row(name, "  ".join(f"{v:+7.1f}" for v in values), "")
    for i, u in enumerate(command):
        filled = round(20 * min(max(float(u), 0.0), 1.0)) if math.isfinite(float(u)) else 0
        table.add_row(f"M{i + 1}", f"{float(u):.2f}", "█" * filled + "░" * (20 - filled))
    return table


def sparkline(values: list[float]) -> str:
    """Values as blocks, 1 mm at the bottom and 1 m at the top, by powers of ten; x where not a number."""

    def block(value: float) -> str:
        if not math.isfinite(value):
            return "x"
        level = (math.log10(max(value, 1e-3)) + 3) / 3
        return _BLOCKS[1 + round(min(level, 1.0) * (len(_BLOCKS) - 2))]

    return "".join(block(v) for v in values)


def _norm(v: Array) -> float:
    return float(np.linalg.norm(v))


def _length(value_m: float) -> str:
    return f"{value_m:.2f} m" if not value_m < 1 else f"{1e3 * value_m:.1f} mm"
