"""How far from nominal a policy still flies: maps over mass and latency, wind and battery, centre of mass.

A map is one flight of all its cells side by side: a control step of a thousand vehicles costs a few times
what one of forty does. Every cell has the same starts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.disturbance import Wind
from tinyfly.evaluate import SCENARIOS, draw, judge
from tinyfly.flight import Conditions, Controller, fly

MASSES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)  # over nominal
LATENCIES_MS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0)
WINDS = (0.0, 0.05, 0.1, 0.2, 0.3)  # steady and gusting force, share of the weight
BATTERIES = (0.7, 0.8, 0.9, 1.0)  # thrust over nominal
CENTRES = (-0.1, -0.05, 0.0, 0.05, 0.1)  # of mass, off its place over the mean lever
EPISODES = 40  # a cell

Array = NDArray[Any]


def mass_and_latency(
    controller: Controller, airframe: Airframe, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """One row per latency, one column per mass."""
    latency_ms, mass = _cells(LATENCIES_MS, MASSES)
    conditions = replace(conditions, latency_s=latency_ms / 1000)
    figures = _fly(controller, [airframe], conditions, mass, seed)
    return _map("Mass and latency", ("mass over nominal", MASSES), ("latency, ms", LATENCIES_MS), figures)


def wind_and_battery(
    controller: Controller, airframe: Airframe, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """One row per battery, one column per strength of the wind, steady and gusting alike."""
    battery, wind = _cells(BATTERIES, WINDS)
    conditions = replace(conditions, wind=Wind(force=wind, gust=wind))
    weaker = [airframe.varied(battery=b) for b in BATTERIES]
    figures = _fly(controller, weaker, conditions, np.ones_like(battery), seed)
    return _map(
        "Wind and battery",
        ("wind and gusts, std of force over weight", WINDS),
        ("battery, thrust over nominal", BATTERIES),
        figures,
    )


def centre_of_mass(
    controller: Controller, airframe: Airframe, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """One row for each offset to the left, one column for each forward."""
    x, y = np.abs(np.array(airframe.rotor_position_m)[:, :2]).mean(0)
    off = [airframe.varied(centre_m=(x_off * x, y_off * y)) for y_off in CENTRES for x_off in CENTRES]
    figures = _fly(controller, off, conditions, np.ones(len(off) * EPISODES), seed)
    return _map(
        "Centre of mass",
        ("forward, share of the arm", CENTRES),
        ("left, share of the arm", CENTRES),
        figures,
    )


def _cells(rows: tuple[float, ...], columns: tuple[float, ...]) -> tuple[Array, Array]:
    """The values of every vehicle: rows * columns * EPISODES of them, row by row."""
    row, column = np.meshgrid(rows, columns, indexing="ij")
    return row.repeat(EPISODES), column.repeat(EPISODES)


def _fly(
    controller: Controller, airframes: list[Airframe], conditions: Conditions, mass: Array, seed: int
) -> tuple[Array, Array]:
    """(cells,) mean error of the survivors in m (NaN when none), and the share that survived."""
    hover = SCENARIOS["hover"]
    case = draw(hover, airframes[0], controller.contract, EPISODES, seed)
    start = np.tile(case.start, (1, len(mass) // EPISODES))
    flight = fly(controller, airframes, start, case.reference, case.rng, conditions, mass[None])
    outcome = judge("hover", hover, flight, latency_ms=0.0)
    survived = outcome.survived.reshape(-1, EPISODES)
    error = np.nan_to_num(outcome.errors["hover_error_m"]).reshape(-1, EPISODES)
    with np.errstate(invalid="ignore"):
        return error.sum(1) / survived.sum(1), survived.mean(1)


def _map(
    title: str,
    x: tuple[str, tuple[float, ...]],
    y: tuple[str, tuple[float, ...]],
    figures: tuple[Array, Array],
) -> dict[str, Any]:
    error, survival = (f.reshape(len(y[1]), len(x[1])) for f in figures)
    return {
        "title": title,
        "x": {"label": x[0], "values": [f"{v:g}" for v in x[1]]},
        "y": {"label": y[0], "values": [f"{v:g}" for v in y[1]]},
        "error_mm": 1e3 * error,
        "survival": survival,
    }


MAPS = (mass_and_latency, wind_and_battery, centre_of_mass)
