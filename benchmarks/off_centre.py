"""How far off may the centre of mass be? Policies thrown, and flown along a figure-eight.

    python benchmarks/off_centre.py POLICY ... [--airframes NAME ...] [--episodes 300]

Off by so many mm from where the airframe's file has it, forwards and to the left in the ratio 4 : 3, 10 ms
late; a cell is the share of throws (mass +-30 %) that survive, the mean error 4 to 6 s in and that of the
figure-eight, mm.
"""

from __future__ import annotations

import argparse
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tinyfly.airframe import Airframe
from tinyfly.console import error_text
from tinyfly.evaluate import fly_scenario
from tinyfly.policy import Policy

OFF_MM = (0, 1, 2, 3, 4)
DIRECTION = (0.8, 0.6)
LATENCY_MS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policies", nargs="+")
    parser.add_argument(
        "--airframes", nargs="*", default=["crazyflie", "rltools_2025", "cf2x_L250", "cf21B_500"]
    )
    parser.add_argument("--episodes", type=int, default=300)
    a = parser.parse_args()
    print(f"| policy | airframe | {' | '.join(f'{mm} mm' for mm in OFF_MM)} |\n|{'---|' * (len(OFF_MM) + 2)}")
    for path in a.policies:
        policy = Policy.load(path)
        for name in a.airframes:
            cells = [cell(policy, off(Airframe.load(name), mm), a.episodes) for mm in OFF_MM]
            print(f"| {path} | {name} | {' | '.join(cells)} |", flush=True)


def off(airframe: Airframe, mm: float) -> Airframe:
    forward, left = (1e-3 * mm * share for share in DIRECTION)
    return airframe.varied(centre_m=(forward, left))


def cell(policy: Policy, airframe: Airframe, episodes: int) -> str:
    thrown = fly_scenario(policy, airframe, "thrown", episodes=episodes, latency_ms=LATENCY_MS).row()
    eight = fly_scenario(policy, airframe, "figure-eight 5.5 s", episodes=20, latency_ms=LATENCY_MS).row()
    flown = error_text(eight["rmse_m"], (math.nan, math.nan), eight["survival"], "")
    return f"{thrown['survival']:.3f}, {1e3 * thrown['error_5_s_m']:.1f}, {flown}"


if __name__ == "__main__":
    main()
