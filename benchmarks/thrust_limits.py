"""What the thrust allows: how closely could anyone have held a heavy vehicle, or one with a weak battery?

    python benchmarks/thrust_limits.py POLICY [--episodes 1000]

The bound is a vehicle that stays level, holds its heading against the disturbance and gives full thrust
until it is back in its place: no other climbs faster. What can be flown lies between it and the policy. At
rest, at 10 ms, of the very same episodes: the share that survives, and the survivors' mean error at 8 s; for
the policy also over those alone that the bound has back by then.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from quality import SEVEN

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.disturbance import Push, Wind
from tinyfly.evaluate import BATCH, SCENARIOS, Case, draw, fly_scenario
from tinyfly.policy import Policy
from tinyfly.program import chunks
from tinyfly.state import ROTOR_SPEED

Array = NDArray[np.floating]

STEP_S = 0.001
LATENCY_MS = 10.0
BACK_M = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--airframes", nargs="*", default=SEVEN)
    arguments = parser.parse_args()
    policy = Policy.load(arguments.policy)
    print("| airframe | at rest | survive, at best | policy | error mm, at best | policy | of those back |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.airframes:
        for scenario in ("heavy", "weak battery"):
            cells = _row(policy, Airframe.load(name), scenario, arguments.episodes)
            print(f"| {name} | {scenario} | {' | '.join(cells)} |", flush=True)


def _row(policy: Policy, airframe: Airframe, name: str, episodes: int) -> list[str]:
    scenario, heights = SCENARIOS[name], []
    for batch, columns in enumerate(chunks(episodes, BATCH)):
        case = draw(scenario, airframe, policy.contract, columns.stop - columns.start, 0, batch)
        heights.append(climb(case, scenario.duration_s))
    height = np.concatenate(heights, 1)
    alive, least = height.min(0) > -scenario.lost_m, -height[round(8 / STEP_S) :].mean(0)
    outcome = fly_scenario(policy, airframe, name, episodes=episodes, latency_ms=LATENCY_MS)
    survived, error = outcome.survived, outcome.errors["error_8_s_m"]
    back = survived & (least < BACK_M)
    shares = [f"{share.mean():.3f}" for share in (alive, survived)]
    return shares + [f"{1e3 * e.mean():.2f}" for e in (least[alive], error[survived], error[back])]


def climb(case: Case, duration_s: float) -> Array:
    """(steps of 1 ms, n) height of the bound below its place; 0 from when it has come back."""
    vehicle, n = case.vehicle, case.start.shape[1]
    mass = vehicle.mass_kg * case.mass[0]
    push = Push(Wind(), vehicle, n, STEP_S, case.rng).now  # the first that a flight draws
    c0, c1, c2 = vehicle.thrust_n
    rise_0, rise_1 = vehicle.rotor_rise_per_s
    spent = spent_on_torque(vehicle, push[3:])
    rotor, height, speed = case.start[ROTOR_SPEED].mean(0), np.zeros(n), np.zeros(n)
    heights, back = np.empty((round(duration_s / STEP_S), n)), np.zeros(n, bool)
    for k in range(len(heights)):
        if k * STEP_S >= LATENCY_MS / 1000:
            rotor = np.minimum(1, rotor + STEP_S * (rise_0 + rise_1 * rotor) * (1 - rotor))
        thrust = np.maximum(4 * (c0 + c1 * rotor + c2 * rotor * rotor) - spent, 0)
        upwards = np.sqrt(np.maximum(thrust**2 - np.square(push[:2]).sum(0), 0))  # the rest leans on the wind
        speed += STEP_S * ((upwards + push[2] - vehicle.drag_n_s_m[2] * speed) / mass - GRAVITY_M_S2)
        height += STEP_S * speed
        back |= (height >= 0) & (speed > 0)
        heights[k] = np.where(back, 0, np.minimum(height, 0))
    return heights


def spent_on_torque(vehicle: Airframe, torque: Array) -> Array:
    """(n,) N of full thrust that balancing (3, n) Nm takes: rotors that give all can only give less."""
    x, y = np.abs(np.array(vehicle.rotor_position_m)[:, :2]).mean(0)
    needed = torque / np.array([[y], [x], [vehicle.reaction_m]])
    return np.max(-(np.array(vehicle.layout).T @ needed), axis=0)


if __name__ == "__main__":
    main()
