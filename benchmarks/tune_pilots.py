"""Tune the stock controllers' gains: the cross-entropy method, on episodes that no table reports.

    python benchmarks/tune_pilots.py [--airframe crazyflie] [--generations 5] [--candidates 30]

Candidates are factors on the stock gains, the stock itself among the first. Each flies 12 thrown hovers and 2
figure-eights (5.5 s), half of them 10 ms late and half 20 ms, evaluation seed 101 (the tables use 0); its
cost is the mean error of both together, a lost flight counting as 2 m. Prints lines for `stock.TUNED`.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.evaluate import LOST_M, SCENARIOS, draw, judge
from tinyfly.flight import Conditions, fly
from tinyfly.stock import CascadedPid, Mellinger

SEED, LATENCIES_S = 101, (0.01, 0.02)
FLIGHTS = (("hover", 12), ("figure-eight 5.5 s", 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--airframe", nargs="*", default=["crazyflie"])
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=30)
    arguments = parser.parse_args()
    for name in arguments.airframe:
        for kind in (CascadedPid, Mellinger):
            best, cost, stock = tune(kind, Airframe.load(name), arguments.generations, arguments.candidates)
            factors = ", ".join(f"{x:.3g}" for x in best)
            print(f'("{kind.__name__}", "{name}"): ({factors}),')
            print(f"# {1e3 * cost:.0f} mm; the stock gains: {1e3 * stock:.0f} mm")


def tune(kind, airframe: Airframe, generations: int, candidates: int):
    """The best factors of all generations, their cost, and the stock's."""
    rng, size = np.random.default_rng(7), len(kind.FACTORS)
    mean, spread = np.zeros(size), np.full(size, 0.7)
    best, best_cost, stock = None, np.inf, np.nan
    for generation in range(generations):
        logs = mean + spread * rng.standard_normal((candidates, size))
        if generation == 0:
            logs[0] = 0
        costs = cost(kind, airframe, np.exp(logs).T)
        if generation == 0:
            stock = costs[0]
        elite = logs[np.argsort(costs)[: candidates // 6]]
        mean, spread = elite.mean(0), 0.8 * elite.std(0) + 0.05
        if costs.min() < best_cost:
            best, best_cost = np.exp(logs[costs.argmin()]), costs.min()
    return best, best_cost, stock


def cost(kind, airframe: Airframe, factors: np.ndarray) -> np.ndarray:
    """(candidates,) m; every candidate flies the same starts."""
    total = np.zeros(factors.shape[1])
    for name, episodes in FLIGHTS:
        pilot = kind(airframe, factors.repeat(episodes, axis=1))
        case = draw(SCENARIOS[name], airframe, pilot.contract, episodes, SEED)
        start = np.tile(case.start, (1, factors.shape[1]))
        late = Conditions(latency_s=np.resize(LATENCIES_S, start.shape[1]))
        flight = fly(pilot, airframe, start, case.reference, case.rng, late)
        outcome = judge(name, SCENARIOS[name], flight, latency_ms=0.0)
        (error,) = outcome.errors.values()
        total += np.where(outcome.survived, error, LOST_M).reshape(-1, episodes).mean(1) / len(FLIGHTS)
    return total


if __name__ == "__main__":
    main()
