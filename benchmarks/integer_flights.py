"""Do integers fly as floats do? The same held-out flights with float32, int16 and int8 weights, paired.

    python benchmarks/integer_flights.py [POLICY ...] [--episodes 200]

Each policy on its own airframe, at 0, 10 and 20 ms of latency: hovers from the paper's starts and its
figure-eight. Scales are chosen on other flights (tinyfly_export.recorded). Without a POLICY, one is trained
for each of the seven airframes first. The goal: survival and errors within 5 % of float32's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from quality import SEVEN

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract
from tinyfly.evaluate import Outcome, fly_scenario
from tinyfly.policy import Policy
from tinyfly.trainer import Settings, train
from tinyfly_export.kernels import KERNELS, kernel
from tinyfly_export.proof import Array

LATENCIES_MS = (0, 10, 20)
FLIGHTS = {"hover": "hover_error_m", "figure-eight 5.5 s": "rmse_m"}
EIGHTS_MAX = 20  # a figure-eight does not differ much from episode to episode
GOAL = 0.05


@dataclass(frozen=True)
class Flier:
    contract: Contract
    act: Callable[[Array], Array]


def compare(policy: Policy, airframe: Airframe, episodes: int) -> list[tuple[str, ...]]:
    """One row for each arithmetic, latency and flight."""
    fliers = {"float32": policy.act} | {name: kernel(policy, name).act for name in KERNELS[1:]}
    rows = []
    for flight, metric in FLIGHTS.items():
        for latency_ms in LATENCIES_MS:
            flown = {
                name: fly_scenario(
                    Flier(policy.contract, act),
                    airframe,
                    flight,
                    episodes=episodes if flight == "hover" else min(episodes, EIGHTS_MAX),
                    latency_ms=latency_ms,
                )
                for name, act in fliers.items()
            }
            rows.append((airframe.name, flight, f"{latency_ms}", *_cells(flown, metric)))
    return rows


def _cells(flown: dict[str, Outcome], metric: str) -> list[str]:
    reference = float(np.nanmean(flown["float32"].errors[metric]))
    kept = flown["float32"].survived.mean()
    cells = [f"{kept:.3f}, {1000 * reference:.2f} mm"]
    for name in KERNELS[1:]:
        error, survival = float(np.nanmean(flown[name].errors[metric])), flown[name].survived.mean()
        good = error <= reference * (1 + GOAL) and survival >= kept * (1 - GOAL)
        cells.append(f"{survival:.3f}, {error / reference - 1:+.1%}{'' if good else ' **missed**'}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policies", nargs="*", metavar="POLICY")
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args()
    head = ("airframe", "flight", "latency, ms", *KERNELS)
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    names = args.policies or SEVEN
    for name in names:
        policy = (
            Policy.load(name) if args.policies else train(Settings(task="crazyflie", airframe=name, seed=0))
        )
        airframe = Airframe.from_dict(policy.airframe)
        for row in compare(policy, airframe, args.episodes):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
