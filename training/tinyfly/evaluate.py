"""Judge a policy: fly it in the truth, on held-out episodes, and say how well with how much certainty.

Every episode draws its start, disturbance and noise from a stream that training never touches (`HELD_OUT`),
and the draws do not depend on the policy: with one seed, two policies fly the same cases and can be paired.

A vehicle is lost when it ever is further from its reference than the scenario allows, is upside down later
than 1.5 s (in recoveries: at the end), or is no longer finite. Errors are those of the survivors; when none
is left, `LOST_M`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly import statistics
from tinyfly.airframe import Airframe, names
from tinyfly.contract import Contract
from tinyfly.errors import UserError
from tinyfly.flight import Conditions, Controller, Flight, fly
from tinyfly.policy import Policy
from tinyfly.program import chunks
from tinyfly.start import Start
from tinyfly.state import POSITION, ROTOR_SPEED
from tinyfly.trajectory import Circle, FigureEight, Hover, MinimumSnap, Step, Trajectory, Zigzag, sample

HELD_OUT = 0x7E57  # first word of every evaluation seed; training uses other first words
LOST_M = 2.0
BATCH = 1000
UPRIGHT_AFTER_S = 1.5

Array = NDArray[Any]

AT_REST = Start(position_m=0.0, angle_deg=0.0, velocity_m_s=0.0, rate_rad_s=0.0, level=1.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A flight to judge by: where it starts, what it follows, with which vehicle, and when errors count."""

    duration_s: float
    errors_s: dict[str, tuple[float, float]]  # name of an error -> the span of time whose mean |p| it is
    start: Start = field(default_factory=Start)
    trajectory: Trajectory = field(default_factory=Hover)
    mass: tuple[float, float] = (1.0, 1.0)  # range of mass over the airframe's
    battery: float = 1.0
    lost_m: float = LOST_M
    rms: bool = False  # root mean square over the span instead of the mean


def _track(trajectory: Trajectory, begin_s: float, end_s: float) -> Scenario:
    return Scenario(end_s, {"rmse_m": (begin_s, end_s)}, AT_REST, trajectory, rms=True)


def _figure_eight(period_s: float) -> Scenario:
    return _track(FigureEight(period_s), 2.0, 2.0 + 2 * period_s)


def _at_rest(mass: float = 1.0, battery: float = 1.0) -> Scenario:
    return Scenario(8.5, {"error_8_s_m": (8.0, 8.5)}, AT_REST, mass=(mass, mass), battery=battery)


# The words of evaluation seed 0's first batch as well, which is no harm: a path is no episode.
_WAYPOINTS = MinimumSnap.random(np.random.default_rng([HELD_OUT, 0]))
SCENARIOS: dict[str, Scenario] = {
    "hover": Scenario(5.0, {"hover_error_m": (3.0, 5.0)}),  # the paper's episode
    "thrown": Scenario(12.5, {"error_5_s_m": (4.0, 6.0), "error_12_s_m": (11.5, 12.5)}, mass=(0.7, 1.3)),
    "light": _at_rest(mass=0.7),
    "heavy": _at_rest(mass=1.3),
    "weak battery": _at_rest(battery=0.75),
    "recovery": Scenario(
        3.5,
        {"error_3_s_m": (2.9, 3.1)},
        Start(angle_deg=180.0, velocity_m_s=3.0, rate_rad_s=10.0, level=0.0),
        lost_m=10.0,
    ),
    "figure-eight 5.5 s": _figure_eight(5.5),
    "figure-eight 4.5 s": _figure_eight(4.5),
    "figure-eight 3.5 s": _figure_eight(3.5),
    "figure-eight 2.5 s": _figure_eight(2.5),
    "step": Scenario(5.0, {"settled_m": (3.0, 5.0)}, AT_REST, Step((0.5, 0.0, 0.0), at_s=1.0)),
    "circle": _track(Circle(0.5, 3.0), 2.0, 8.0),
    "minimum snap": _track(_WAYPOINTS, 0.0, _WAYPOINTS.duration_s),
    "zigzag": _track(Zigzag(), 0.0, 6.0),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario at one latency; arrays over episodes."""

    scenario: str
    latency_ms: float
    survived: NDArray[np.bool_]
    errors: dict[str, NDArray[np.floating]]  # m, NaN for the lost
    recovered: NDArray[np.bool_]  # level (20 deg) and within 0.5 m of the reference 3 s in

    def row(self) -> dict[str, Any]:
        """Means, and 95 % intervals under ``*_ci``; where nobody is left, `LOST_M` without an interval."""
        survival = statistics.share(self.survived)
        row: dict[str, Any] = {"scenario": self.scenario, "latency_ms": self.latency_ms}
        row |= {"survival": survival.mean, "survival_ci": [survival.low, survival.high]}
        for name, values in self.errors.items():
            if self.survived.any():
                e = statistics.mean(values[self.survived])
                row |= {name: e.mean, f"{name}_ci": [max(e.low, 0.0), e.high]}  # of few, t may reach below 0
            else:
                row |= {name: LOST_M, f"{name}_ci": [math.nan, math.nan]}
        if self.scenario == "recovery":
            row["recovered"] = float(self.recovered.mean())
        return row


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found."""

    episodes: int
    results: list[dict[str, Any]]  # one row per latency: issue keys, and intervals under ``*_ci``
    outcomes: list[Outcome]  # the episodes behind them

    def to_json(self) -> dict[str, Any]:
        return {"episodes": self.episodes, "results": self.results}


def airframe_of(policy: Policy, name: str | None = None) -> Airframe:
    """The airframe of that name or file, or else the one that the policy file carries; raises UserError.

    A file that holds no more than a name must name one of ours.
    """
    if name:
        return Airframe.load(name)
    raw = policy.airframe
    try:
        if set(raw) == {"name"} and raw["name"] in names():
            return Airframe.load(str(raw["name"]))
        return Airframe.from_dict(raw)
    except UserError as e:
        raise UserError(f"the policy's airframe does not read ({e}): say which one with --airframe") from None


def evaluate(
    controller: Controller,
    airframe: Airframe,
    episodes: int = 1000,
    latencies_ms: tuple[float, ...] = (0, 10, 20),
    seed: int = 0,
    plant: str = "rk4",
) -> Evaluation:
    """Hover from the paper's start states and fly its figure-eight (at most 20 times), with noise and wind.

    Rows of ``results``: latency_ms, survival (of the hover episodes), hover_error_m (mean |p| over the last
    2 s), figure_eight_rmse_m (3-D, after the ramp), figure_eight_survival, and 95 % intervals under ``*_ci``.
    """
    results, outcomes = [], []
    for latency_ms in latencies_ms:
        hover, eight = (
            fly_scenario(
                controller, airframe, name, episodes=n, latency_ms=latency_ms, seed=seed, plant=plant
            )
            for name, n in (("hover", episodes), ("figure-eight 5.5 s", min(episodes, 20)))
        )
        h, e = hover.row(), eight.row()
        row = {
            k: h[k] for k in ("latency_ms", "survival", "survival_ci", "hover_error_m", "hover_error_m_ci")
        }
        row |= {"figure_eight_rmse_m": e["rmse_m"], "figure_eight_rmse_m_ci": e["rmse_m_ci"]}
        results.append(row | {"figure_eight_survival": e["survival"]})
        outcomes += [hover, eight]
    return Evaluation(episodes, results, outcomes)


def fly_scenario(
    controller: Controller,
    airframe: Airframe,
    name: str,
    *,
    episodes: int = 1000,
    latency_ms: float = 0.0,
    seed: int = 0,
    plant: str = "rk4",
    conditions: Conditions | None = None,
) -> Outcome:
    """Fly one of `SCENARIOS`; raises UserError for bad arguments.

    ``conditions`` replaces the paper's wind and noise; its latency and plant are overridden by the arguments.
    """
    if name not in SCENARIOS:
        raise UserError(f"no scenario {name!r}: expected one of {', '.join(SCENARIOS)}")
    if not 1 <= episodes <= 1_000_000 or not 0 <= latency_ms <= 200:
        raise UserError(f"{episodes} episodes at {latency_ms} ms: expected 1..1000000 at 0..200 ms")
    scenario = SCENARIOS[name]
    conditions = replace(conditions or Conditions(), latency_s=latency_ms / 1000, plant=plant)
    parts = []
    for batch, columns in enumerate(chunks(episodes, BATCH)):
        case = draw(scenario, airframe, controller.contract, columns.stop - columns.start, seed, batch)
        parts.append(judge(name, scenario, case.fly(controller, conditions), latency_ms))
    return Outcome(
        name,
        latency_ms,
        np.concatenate([p.survived for p in parts]),
        {key: np.concatenate([p.errors[key] for p in parts]) for key in scenario.errors_s},
        np.concatenate([p.recovered for p in parts]),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """Episodes of a scenario, drawn and ready to be flown once: the generator goes on with wind and noise."""

    vehicle: Airframe
    start: Array  # (17, n)
    reference: Array  # (steps + 1, 9 + 3 k)
    mass: Array  # (1, n) over the airframe's
    rng: np.random.Generator

    def fly(self, controller: Controller, conditions: Conditions, keep_states: bool = False) -> Flight:
        return fly(
            controller,
            self.vehicle,
            self.start,
            self.reference,
            self.rng,
            conditions,
            self.mass,
            keep_states=keep_states,
        )


def draw(
    scenario: Scenario, airframe: Airframe, contract: Contract, episodes: int, seed: int, batch: int = 0
) -> Case:
    """Held-out episodes: a batch's stream depends on nothing but the seed and its number."""
    dt = 1 / contract.rate_hz
    times = np.arange(round(scenario.duration_s / dt) + 1, dtype=np.float64) * dt
    reference = sample(scenario.trajectory, times, contract.preview_s)
    rng = np.random.default_rng([HELD_OUT, seed, batch])
    start = scenario.start.draw(rng, episodes)
    start[POSITION] += reference[0, POSITION, None]
    if scenario.start.level == 1:
        start[ROTOR_SPEED] = airframe.hover_fraction
    mass = rng.uniform(*scenario.mass, (1, episodes))
    return Case(airframe.varied(battery=scenario.battery), start, reference, mass, rng)


def compare(a: Outcome, b: Outcome) -> dict[str, statistics.Paired]:
    """b minus a, paired by episode: survival, and every error over the episodes that both survived."""
    if a.scenario != b.scenario or len(a.survived) != len(b.survived):
        raise UserError("only flights of the same scenario and as many episodes can be compared")
    both = a.survived & b.survived
    result = {"survival": statistics.paired(a.survived, b.survived)}
    if both.any():
        result |= {k: statistics.paired(a.errors[k][both], b.errors[k][both]) for k in a.errors}
    return result


def judge(name: str, scenario: Scenario, flight: Flight, latency_ms: float) -> Outcome:
    """How a flight of ``scenario`` went."""
    survived = np.isinf(lost_s(scenario, flight))
    errors = {}
    with np.errstate(invalid="ignore"):
        for key, span in scenario.errors_s.items():
            e = flight.error_m[flight.between(*span)].astype(np.float64)
            value = np.sqrt((e * e).mean(0)) if scenario.rms else e.mean(0)
            errors[key] = np.where(survived, value, np.nan)
        at_3_s = min(round(3 / flight.dt_s), len(flight.error_m)) - 1
        level = flight.upright[at_3_s] > np.cos(np.deg2rad(20))
        recovered = survived & level & (flight.error_m[at_3_s] < 0.5)
    return Outcome(name, latency_ms, survived, errors, recovered)


def lost_s(scenario: Scenario, flight: Flight) -> Array:
    """(n,) the first moment at which a vehicle counts as lost; inf for the survivors."""
    with np.errstate(invalid="ignore"):
        lost = ~(flight.error_m < scenario.lost_m)  # a NaN is lost
        tumbling = ~(flight.upright > 0)
    first = round(UPRIGHT_AFTER_S / flight.dt_s)
    if scenario.lost_m > LOST_M:  # recoveries may take their time, what counts is how they end
        first = len(tumbling) - 1
    lost[first:] |= tumbling[first:]
    return np.where(lost.any(0), (1 + lost.argmax(0)) * flight.dt_s, np.inf)
