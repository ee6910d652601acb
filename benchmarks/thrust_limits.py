"""What the thrust allows: how closely could anyone have held a heavy vehicle, or one with a weak battery?

    python benchmarks/thrust_limits.py POLICY [--episodes 1000]

The bound is a vehicle that stays level, keeps its heading against the disturbance and gives full thrust until
it is back in its place: of those that keep their heading no other climbs faster. What can be flown lies
between it and the policy. At rest, at 10 ms, of the very same episodes: the share that survives, and the
survivors' mean error at 8 s.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from quality import SEVEN, steady_wind

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract
from tinyfly.disturbance import Latency
from tinyfly.dynamics import Dynamics
from tinyfly.evaluate import BATCH, SCENARIOS, Case, Outcome, draw, fly_scenario, judge
from tinyfly.flight import Flight
from tinyfly.policy import Policy
from tinyfly.program import chunks
from tinyfly.state import POSITION, ROTOR_SPEED, VELOCITY

Array = NDArray[np.floating]

LATENCY_MS = 10.0
UP = 2  # the vertical row of a position, a velocity, a force


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--airframes", nargs="*", default=SEVEN)
    arguments = parser.parse_args()
    policy, n = Policy.load(arguments.policy), arguments.episodes
    print("| airframe | at rest | survive, at best | policy | error mm, at best | policy |")
    print("|---|---|---|---|---|---|")
    for name in arguments.airframes:
        airframe = Airframe.load(name)
        for scenario in ("heavy", "weak battery"):
            bound = climb(airframe, scenario, policy.contract, n)
            flown = fly_scenario(policy, airframe, scenario, episodes=n, latency_ms=LATENCY_MS)
            shares = [f"{o.survived.mean():.3f}" for o in (bound, flown)]
            errors = [f"{1e3 * np.nanmean(o.errors['error_8_s_m']):.2f}" for o in (bound, flown)]
            print(f"| {name} | {scenario} | {' | '.join(shares + errors)} |", flush=True)


def climb(airframe: Airframe, name: str, contract: Contract, episodes: int) -> Outcome:
    """The bound, in the episodes of `fly_scenario`."""
    scenario, errors = SCENARIOS[name], []
    for batch, columns in enumerate(chunks(episodes, BATCH)):
        case = draw(scenario, airframe, contract, columns.stop - columns.start, 0, batch)
        errors.append(_climb(case, 1 / contract.rate_hz))
    error = np.concatenate(errors, 1)
    return judge(name, scenario, Flight(1 / contract.rate_hz, error, np.ones_like(error), None), LATENCY_MS)


def _climb(case: Case, dt_s: float) -> Array:
    """(steps, n) m that the bound is below its place; 0 from when it has come back."""
    vehicle, n, steps = case.vehicle, case.start.shape[1], len(case.reference) - 1
    wind = steady_wind(case)
    push = np.zeros_like(wind)
    push[UP] = wind[UP] - _not_upwards(vehicle, wind)
    state, mass, full = (
        case.start.astype(np.float32),
        case.mass.astype(np.float32),
        np.ones((4, n), np.float32),
    )
    dynamics = Dynamics(vehicle, n, dt_s)
    latency = Latency(LATENCY_MS / 1000 / dt_s, n, first=float(state[ROTOR_SPEED].mean()))
    height, climbing = state[POSITION][UP], state[VELOCITY][UP]
    errors, back = np.empty((steps, n), np.float32), np.zeros(n, bool)
    for k in range(steps):
        dynamics.step(state, latency.delay(full), push, mass)
        back |= (height >= 0) & (climbing > 0)
        errors[k] = np.where(back, 0, np.maximum(-height, 0))
    return errors


def _not_upwards(vehicle: Airframe, wind: Array) -> Array:
    """(n,) N of full thrust that a wind (6, n) takes: what balances its torque, and what leans against it.

    Rotors that give all can only give less; less thrust would lean further.
    """
    x, y = np.abs(np.array(vehicle.rotor_position_m)[:, :2]).mean(0)
    needed = wind[3:] / np.array([[y], [x], [vehicle.reaction_m]])
    full = 4 * sum(vehicle.thrust_n)
    left = full - np.max(-(np.array(vehicle.layout).T @ needed), axis=0)
    return full - np.sqrt(np.maximum(left**2 - np.square(wind[:2]).sum(0), 0))


if __name__ == "__main__":
    main()
