"""The transfer gap: a policy in our truth and in dynamics that we did not write, on the same cases.

    python benchmarks/plants.py POLICY [--episodes 50]

For the four Crazyflies that the package drone-models identified: the thrown hover at 0 and 20 ms and the
figure-eight at 10 ms, in `dynamics` (RK4, 100 Hz) and in the package's first_principles model (RK4, 500 Hz).
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tinyfly.airframe import Airframe
from tinyfly.evaluate import fly_scenario
from tinyfly.policy import Policy

AIRFRAMES = ("cf2x_L250", "cf2x_P250", "cf2x_T350", "cf21B_500")
CASES = (("hover", 0.0), ("hover", 20.0), ("figure-eight 5.5 s", 10.0))
PLANTS = ("rk4", "drone-models")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--episodes", type=int, default=50)
    arguments = parser.parse_args()
    policy = Policy.load(arguments.policy)
    print("survival, error in mm: ours -> drone-models")
    print("| airframe | " + " | ".join(f"{case}, {latency:g} ms" for case, latency in CASES) + " |")
    print("|---" * (len(CASES) + 1) + "|")
    for name in AIRFRAMES:
        cells = []
        for case, latency in CASES:
            episodes = arguments.episodes if case == "hover" else 5
            how = {"episodes": episodes, "latency_ms": latency}
            rows = [fly_scenario(policy, Airframe.load(name), case, plant=p, **how).row() for p in PLANTS]
            error = next(k for k in rows[0] if k.endswith("_m"))
            cells.append(" -> ".join(f"{r['survival']:.2f}, {1e3 * r[error]:.1f}" for r in rows))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
