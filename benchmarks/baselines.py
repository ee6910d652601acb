"""A policy beside controllers of others on the same cases: survival and errors with 95 % intervals.

    python benchmarks/baselines.py POLICY [--airframe crazyflie] [--paper FILE.f32 ...] [--episodes 200]

Rows: the policy, the paper's networks (files given by path), and classical controllers that know the
airframe's numbers exactly: a geometric one, an LQR, the Crazyflie's cascaded PID and the package
drone-controllers' Mellinger (`pip install -e '.[plants]'`), tuned and stock. Columns: the paper's thrown
start without and with latency, then trajectories at 10 ms. Every cell: survival, and the survivors' error in
mm. Last, the policy against the others, paired.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.controllers import Geometric, PaperPolicy
from tinyfly.evaluate import Outcome, compare, fly_scenario
from tinyfly.flight import Controller
from tinyfly.lqr import LinearQuadratic
from tinyfly.policy import Policy
from tinyfly.stock import CascadedPid, Mellinger

CASES = (
    ("hover", 0.0),
    ("hover", 20.0),
    ("step", 10.0),
    ("circle", 10.0),
    ("figure-eight 5.5 s", 10.0),
    ("figure-eight 4.5 s", 10.0),
    ("figure-eight 3.5 s", 10.0),
    ("figure-eight 2.5 s", 10.0),
    ("minimum snap", 10.0),
    ("zigzag", 10.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--airframe", default="crazyflie")
    parser.add_argument("--paper", nargs="*", default=[])
    parser.add_argument("--episodes", type=int, default=200)
    arguments = parser.parse_args()
    airframe = Airframe.load(arguments.airframe)
    pilots: dict[str, Controller] = {"tinyfly": Policy.load(arguments.policy)}
    pilots |= {os.path.basename(p).removesuffix(".f32"): PaperPolicy(p, airframe) for p in arguments.paper}
    pilots |= {"geometric": Geometric(airframe), "LQR": LinearQuadratic(airframe)}
    for kind, name in ((CascadedPid, "cascaded PID"), (Mellinger, "Mellinger")):
        stock = np.ones(len(kind.FACTORS))
        pilots |= {name: kind(airframe), f"{name}, stock gains": kind(airframe, stock)}
    outcomes: dict[str, list[Outcome]] = {}
    for name, pilot in pilots.items():
        for case, latency in CASES:
            n = arguments.episodes if case == "hover" else max(1, arguments.episodes // 10)
            outcome = fly_scenario(pilot, airframe, case, episodes=n, latency_ms=latency)
            outcomes.setdefault(name, []).append(outcome)
    print(f"{airframe.name}: survival, error in mm (95 % interval)")
    print("| | " + " | ".join(f"{case}, {latency:g} ms" for case, latency in CASES) + " |")
    print("|---" * (len(CASES) + 1) + "|")
    for name, row in outcomes.items():
        print(f"| {name} | " + " | ".join(_cell(o.row()) for o in row) + " |")
    print("\nthe others minus tinyfly, paired: error in mm where both survive, * at p < 0.05")
    for name, row in outcomes.items():
        if name != "tinyfly":
            pairs = zip(outcomes["tinyfly"], row, strict=True)
            print(f"| {name} | " + " | ".join(_difference(a, b) for a, b in pairs) + " |")


def _cell(row: dict) -> str:
    error = next(k for k in row if k.endswith("_m"))
    low, high = row[f"{error}_ci"]
    if row["survival"] == 0:
        return "0"
    return f"{row['survival']:.2f}, {1e3 * row[error]:.1f} ({1e3 * low:.1f}..{1e3 * high:.1f})"


def _difference(a: Outcome, b: Outcome) -> str:
    errors = {k: v for k, v in compare(a, b).items() if k != "survival"}
    if not errors:
        return "-"
    (paired,) = errors.values()
    return f"{1e3 * paired.difference.mean:+.1f}{'*' if paired.significant else ''}"


if __name__ == "__main__":
    main()
