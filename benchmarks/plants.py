"""The transfer gap: a policy in our truth and in dynamics that we did not write, on the same cases.

    python benchmarks/plants.py POLICY [--episodes 50] [--airframes-as no-drag]

Four identified Crazyflies and ours: the thrown hover at 0 and 20 ms, recovery from any attitude and two
figure-eights at 10 ms; in `dynamics` (RK4, 100 Hz) and in every plant of others that is installed and knows
the airframe. Survival, and the survivors' error in mm. ``--airframes-as`` takes from the airframe what l2f's
model has not, a term alone or all four, to see which of them makes a difference.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tinyfly.airframe import Airframe
from tinyfly.errors import UserError
from tinyfly.evaluate import fly_scenario
from tinyfly.plants import NAMES
from tinyfly.plants.l2f import reduced
from tinyfly.policy import Policy

AIRFRAMES = ("crazyflie", "cf2x_L250", "cf2x_P250", "cf2x_T350", "cf21B_500")
AS = {
    "they-are": lambda airframe: airframe,
    "no-drag": lambda airframe: _with_l2f_s(airframe, "drag_n_s_m"),
    "no-propeller-inertia": lambda airframe: _with_l2f_s(airframe, "rotor_inertia_kg_m2"),
    "linear-lag": lambda airframe: _with_l2f_s(airframe, "rotor_rise_per_s", "rotor_fall_per_s"),
    "torque-ratio": lambda airframe: _with_l2f_s(airframe, "torque_nm"),
    "l2f": reduced,
}
CASES = (
    ("hover", 0.0),
    ("hover", 20.0),
    ("recovery", 10.0),
    ("figure-eight 5.5 s", 10.0),
    ("figure-eight 3.5 s", 10.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--plants", nargs="*", default=NAMES)
    parser.add_argument("--airframes", nargs="*", default=AIRFRAMES)
    parser.add_argument("--airframes-as", choices=AS, default="they-are")
    arguments = parser.parse_args()
    policy = Policy.load(arguments.policy)
    print("| airframe | plant | " + " | ".join(f"{case}, {latency:g} ms" for case, latency in CASES) + " |")
    print("|---" * (len(CASES) + 2) + "|")
    for name in arguments.airframes:
        airframe = AS[arguments.airframes_as](Airframe.load(name))
        for plant in arguments.plants:
            try:
                cells = [
                    _cell(policy, airframe, case, latency, plant, arguments.episodes)
                    for case, latency in CASES
                ]
            except UserError as e:  # not installed, or it does not know this airframe
                print(f"| {name} | {plant} | {e} |")
                continue
            print(f"| {name} | {plant} | " + " | ".join(cells) + " |", flush=True)


def _with_l2f_s(airframe: Airframe, *keys: str) -> Airframe:
    less = reduced(airframe)
    return replace(airframe, **{key: getattr(less, key) for key in keys})


def _cell(policy: Policy, airframe: Airframe, case: str, latency_ms: float, plant: str, episodes: int) -> str:
    n = 5 if case.startswith("figure") else episodes
    how = {"episodes": n, "latency_ms": latency_ms, "plant": plant}
    row = fly_scenario(policy, airframe, case, **how).row()
    error = next(k for k in row if k.endswith("_m"))
    return f"{row['survival']:.2f}, {1e3 * row[error]:.1f}" if row["survival"] else "0"


if __name__ == "__main__":
    main()
