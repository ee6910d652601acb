"""How far from nominal a policy still flies: maps over mass and latency, wind and battery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.disturbance import Wind
from tinyfly.evaluate import SCENARIOS
from tinyfly.flight import Conditions, Controller
from tinyfly.report.flights import fly_episodes

MASSES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)  # over nominal
LATENCIES_MS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0)
WINDS = (0.0, 0.05, 0.1, 0.2, 0.3)  # steady and gusting force, share of the weight
BATTERIES = (0.7, 0.8, 0.9, 1.0)  # thrust over nominal
EPISODES = 40  # a cell


def mass_and_latency(
    controller: Controller, airframe: Airframe, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """One row per latency, one column per mass; one flight of all masses per latency."""
    masses = np.repeat(MASSES, EPISODES)[None]
    rows = [
        _cells(controller, airframe, replace(conditions, latency_s=ms / 1000), seed, masses)
        for ms in LATENCIES_MS
    ]
    return _map(
        "Mass and latency", ("mass over nominal", MASSES), ("latency, ms", LATENCIES_MS), np.stack(rows)
    )


def wind_and_battery(
    controller: Controller, airframe: Airframe, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """One row per battery, one column per strength of the wind, steady and gusting alike."""
    nominal = np.ones((1, EPISODES))
    rows = []
    for battery in BATTERIES:
        weak = airframe.varied(battery=battery)
        cells = [
            _cells(controller, weak, replace(conditions, wind=Wind(force=w, gust=w)), seed, nominal)
            for w in WINDS
        ]
        rows.append(np.concatenate(cells, axis=1))
    return _map(
        "Wind and battery",
        ("wind and gusts, std of force over weight", WINDS),
        ("battery, thrust over nominal", BATTERIES),
        np.stack(rows),
    )


def _cells(
    controller: Controller, airframe: Airframe, conditions: Conditions, seed: int, mass: np.ndarray
) -> np.ndarray:
    """(2, cells): mean error of the survivors in m (NaN when none), and the share that survived."""
    flown = fly_episodes(controller, airframe, SCENARIOS["hover"], mass.size, conditions, seed, mass)
    survived = flown.survived.reshape(-1, EPISODES)
    error = np.where(survived, flown.final_error_m.reshape(-1, EPISODES), 0.0)
    with np.errstate(invalid="ignore"):
        return np.stack([error.sum(1) / survived.sum(1), survived.mean(1)])


def _map(
    title: str, x: tuple[str, tuple[float, ...]], y: tuple[str, tuple[float, ...]], cells: np.ndarray
) -> dict[str, Any]:
    return {
        "title": title,
        "x": {"label": x[0], "values": [f"{v:g}" for v in x[1]]},
        "y": {"label": y[0], "values": [f"{v:g}" for v in y[1]]},
        "error_mm": 1e3 * cells[:, 0],
        "survival": cells[:, 1],
    }
