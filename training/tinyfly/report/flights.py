"""The flights of a report: scenarios of `evaluate`, flown by each policy, with everything kept to be shown.

The cases are those of `tinyfly evaluate`: same streams, same starts, same noise, same rule for who is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract
from tinyfly.evaluate import Scenario, draw, lost_s
from tinyfly.flight import Conditions, Controller, Flight
from tinyfly.state import POSITION, QUATERNION, REFERENCE_POSITION

SHOWN_HZ = 50  # what the eye needs
SATURATED = 0.99  # an action beyond this leaves a motor no room

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Flown:
    """One policy in one scenario, n episodes."""

    scenario: Scenario
    flight: Flight
    start: Array  # (17, n)
    actions: Array  # (steps, 4, n) in [-1, 1]
    reference: Array  # (steps + 1, 9 + 3 k)
    lost_s: Array  # (n,) when it was lost; inf for the survivors

    @property
    def survived(self) -> Array:
        """(n,) bool."""
        return np.isinf(self.lost_s)

    @property
    def final_error_m(self) -> Array:
        """(n,) error over the scenario's last span of time, as `evaluate` takes it; inf for the lost."""
        span = list(self.scenario.errors_s.values())[-1]
        e = self.flight.error_m[self.flight.between(*span)].astype(float)
        value = np.sqrt((e * e).mean(0)) if self.scenario.rms else e.mean(0)
        return np.where(self.survived, value, np.inf)

    def worst(self, count: int) -> list[int]:
        """Episodes, the worst first: those lost soonest, then those with the largest error."""
        return np.lexsort((-self.final_error_m, self.lost_s))[:count].tolist()

    def typical(self) -> int:
        """The episode with the median error."""
        return int(np.argsort(self.final_error_m)[len(self.lost_s) // 2])


class _Recorder:
    """A controller that remembers what it commanded."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.actions: list[Array] = []

    @property
    def contract(self) -> Contract:
        return self._controller.contract

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        self.actions.append(np.clip(self._controller.act(observation), -1, 1))
        return self.actions[-1]


def fly_episodes(
    controller: Controller,
    airframe: Airframe,
    scenario: Scenario,
    episodes: int,
    conditions: Conditions,
    seed: int = 0,
) -> Flown:
    """Fly the first batch of a scenario's held-out episodes and keep all of it."""
    recorder = _Recorder(controller)
    case = draw(scenario, airframe, controller.contract, episodes, seed)
    flight = case.fly(recorder, conditions, keep_states=True)
    actions = np.stack(recorder.actions)
    return Flown(scenario, flight, case.start, actions, case.reference, lost_s(scenario, flight))


def on_stage(
    flown: Sequence[Flown], episode: int, key: str, title: str, about: str, worst: bool = False
) -> dict[str, Any]:
    """One episode as page.js shows it, flown by every policy."""
    every = max(1, round(1 / (flown[0].flight.dt_s * SHOWN_HZ)))
    fates = [f"Lost after {f.lost_s[episode]:.2f} s." for f in flown if not f.survived[episode]]
    return {
        "id": key,
        "title": title,
        "about": " ".join([about, *fates]),
        "worst": worst,
        "dt_s": every * flown[0].flight.dt_s,
        "reference": flown[0].reference[::every, REFERENCE_POSITION].T,
        "flown": [_track(f, i, episode, every) for i, f in enumerate(flown)],
    }


def error_over_time(flown: Flown) -> dict[str, Any]:
    """Quantiles of the error over the episodes at each moment, and its distribution at the end, in mm."""
    dt = flown.flight.dt_s
    times = (1 + np.arange(len(flown.flight.error_m))) * dt
    error = np.where(times[:, None] < flown.lost_s, flown.flight.error_m, flown.scenario.lost_m)
    every = max(1, round(0.05 / dt))
    p5, median, p95, worst = 1e3 * np.quantile(error[every - 1 :: every], [0.05, 0.5, 0.95, 1.0], axis=1)
    final = np.sort(flown.final_error_m)
    return {
        "episodes": len(final),
        "time_s": times[every - 1 :: every],
        "p5_mm": p5,
        "median_mm": median,
        "p95_mm": p95,
        "worst_mm": worst,
        "final_mm": 1e3 * final[np.isfinite(final)],
    }


def motor_figures(flown: Flown) -> dict[str, float]:
    """Mean command, share of motor-steps without room, and mean change per step, over the survivors."""
    a = flown.actions[:, :, flown.survived]
    if not a.size:
        return {"mean": float("nan"), "saturated": float("nan"), "change": float("nan")}
    return {
        "mean": float((a.mean() + 1) / 2),
        "saturated": float((np.abs(a) > SATURATED).mean()),
        "change": float(np.abs(np.diff(a, axis=0)).mean() / 2),
    }


def _track(flown: Flown, policy: int, episode: int, every: int) -> dict[str, Any]:
    """One vehicle's way, NaN from where it was lost."""
    assert flown.flight.states is not None
    states = np.concatenate([flown.start[None, :, episode], flown.flight.states[:, :, episode]]).astype(float)
    motors = np.concatenate([flown.actions[:, :, episode], flown.actions[-1:, :, episode]])
    states[np.arange(len(states)) * flown.flight.dt_s >= flown.lost_s[episode]] = np.nan
    reference = flown.reference[:, REFERENCE_POSITION]
    return {"policy": policy, **track(states[::every], reference[::every], (motors[::every] + 1) / 2)}


def track(states: Array, reference: Array, motors: Array) -> dict[str, Any]:
    """What page.js draws of one vehicle; where its state is NaN there is none.

    Args:
        states: (T, 7 or more) rows of `state`: position, quaternion.
        reference: (T, 3) positions.
        motors: (T, 4) commands, fraction of full speed.
    """
    position, (w, x, y, z) = states[:, POSITION], states[:, QUATERNION].T
    gone = np.isnan(position).any(1)
    return {
        "position": _rounded(position.T, 4),
        "quaternion": _rounded(np.stack([w, x, y, z]), 4),
        "motor": _rounded(np.where(gone, np.nan, motors.T), 3),
        "error_mm": _rounded(1e3 * np.linalg.norm(position - reference, axis=1), 2),
        "tilt_deg": _rounded(np.degrees(np.arccos(np.clip(1 - 2 * (x * x + y * y), -1, 1))), 1),
    }


def _rounded(values: Array, digits: int) -> Array:
    return np.round(values, digits) + 0.0  # no minus zero
