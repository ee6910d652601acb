"""Scores shared by the benchmarks: policies trained or loaded, flown on held-out episodes; one dict each."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyfly import columns, trainer
from tinyfly.airframe import Airframe
from tinyfly.disturbance import Wind
from tinyfly.evaluate import LOST_M, Case, fly_scenario
from tinyfly.policy import Policy
from tinyfly.task import Task

SEVEN = (
    "crazyflie",
    "rltools_2025",
    "rltools_2026",
    "cf2x_L250",
    "cf2x_P250",
    "cf2x_T350",
    "cf21B_500",
)
LOST = " lost"  # after a column's name: the share lost there, shown in the column's cell
Row = dict[str, float]


def train_timed(task: Task, seed: int) -> tuple[Policy, float]:
    """A policy, accepted or not, and the processor time that it took."""
    start = time.process_time()
    weights, _ = trainer.optimise(task, seed)
    spent = time.process_time() - start
    return Policy.create(task.contract, columns.layers(task.contract, weights), {}, {}), spent


def paper_row(
    policy, episodes: int = 1000, latency_ms: float = 0.0, periods_s: tuple[float, ...] = (5.5, 3.5, 2.5)
) -> Row:
    """Hover from the paper's starts and figure-eights, on its airframe."""
    airframe = Airframe.load("crazyflie")
    hover = fly_scenario(policy, airframe, "hover", episodes=episodes, latency_ms=latency_ms).row()
    row = {"survival": hover["survival"], "hover mm": 1e3 * hover["hover_error_m"]}
    for period in periods_s:
        o = fly_scenario(
            policy, airframe, f"figure-eight {period} s", episodes=20, latency_ms=latency_ms
        ).row()
        row |= survivors(f"eight {period} s mm", o, "rmse_m")
    return row


def crazyflie_row(policy, airframe: str, episodes: int = 100) -> Row:
    """One airframe: thrown with mass +-30 % at 0, 10, 20 ms; at rest heavy, light, weak; recovery; eights."""
    vehicle, row = Airframe.load(airframe), {}
    thrown = {
        ms: fly_scenario(policy, vehicle, "thrown", episodes=episodes, latency_ms=ms).row()
        for ms in (0, 10, 20)
    }
    row["survival"] = min(o["survival"] for o in thrown.values())
    row["4..6 s mm"] = 1e3 * max(o["error_5_s_m"] for o in thrown.values())
    row["12 s mm"] = 1e3 * max(o["error_12_s_m"] for o in thrown.values())
    for name in ("light", "heavy", "weak battery"):
        o = fly_scenario(policy, vehicle, name, episodes=20, latency_ms=10).row()
        row |= survivors(f"{name} mm", o, "error_8_s_m")
    o = fly_scenario(policy, vehicle, "recovery", episodes=episodes, latency_ms=10).row()
    row["recovered"] = o["recovered"]
    for period in ("5.5", "3.5"):
        o = fly_scenario(policy, vehicle, f"figure-eight {period} s", episodes=10, latency_ms=10).row()
        row |= survivors(f"eight {period} s mm", o, "rmse_m")
    return row


def survivors(column: str, outcome: dict, error: str) -> Row:
    """An error of those who survived, in mm, and the share that did not."""
    return {column: 1e3 * outcome[error], column + LOST: 1 - outcome["survival"]}


def steady_wind(case: Case) -> NDArray[np.float32]:
    """(6, n) of a case's flight, as `Push` has it; the case's generator has drawn it then, so fly another."""
    return Wind().steady(case.rng, case.vehicle, case.start.shape[1])


def worst(rows: list[Row]) -> Row:
    """Column by column, whichever way is bad."""
    low = ("survival", "recovered")
    return {k: (min if k in low else max)(r[k] for r in rows) for k in rows[0]}


def median(rows: list[Row]) -> Row:
    return {k: float(np.median([r[k] for r in rows])) for k in rows[0]}


def print_row(label: str, row: Row) -> None:
    """One line of a markdown table."""
    cells = (cell(k, v, row.get(k + LOST, 0.0)) for k, v in row.items() if not k.endswith(LOST))
    print(f"| {label} | {' | '.join(cells)} |", flush=True)


def cell(column: str, value: float, lost: float = 0.0) -> str:
    """A figure as tables show it: shares in full, errors with the share that was lost."""
    if column in ("survival", "recovered"):
        return f"{value:.3f}"
    if lost == 1 or (column.endswith("mm") and value == 1e3 * LOST_M):
        return "lost"
    return f"{value:.3g}" + (f" ({100 * lost:.3g} % lost)" if lost else "")


def print_header(label: str, row: Row) -> None:
    columns = [k for k in row if not k.endswith(LOST)]
    print(f"| {label} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")


def machine() -> str:
    """What the figures were measured on."""
    try:
        info = Path("/proc/cpuinfo").read_text()
        name = next(line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, one core, Python {platform.python_version()}, NumPy {np.__version__}"
