"""How fast a chip is flown in the loop: python benchmarks/hil.py POLICY [qemu host line:host ...]

Lock-step at 100 Hz, the fastest and the median of a few flights (a busy machine stretches both).
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from tinyfly_hil.flight import Chip, fly
from tinyfly_hil.target import open_target
from tinyfly_hil.world import Scenario

FLIGHTS, SECONDS, RATE_HZ = 5, 2.0, 100
STEPS = round(SECONDS * RATE_HZ) + 52  # those of settling and warm-up included


def main() -> None:
    policy, ports = Path(sys.argv[1]), sys.argv[2:] or ["qemu", "host"]
    print("| port | steps/s, best | median | times real time | worst round trip ms |")
    print("|---|---|---|---|---|")
    for port in ports:
        with open_target(port, policy) as target:
            rates = []
            for _ in range(FLIGHTS):
                target.restart()
                start = time.perf_counter()
                fly(Scenario("bench", SECONDS), Chip(target))
                rates.append(STEPS / (time.perf_counter() - start))
            best, median = max(rates), statistics.median(rates)
            worst = 1e3 * target.link.round_trip_s_max
            print(f"| {port} | {best:.0f} | {median:.0f} | {best / RATE_HZ:.1f} | {worst:.1f} |")


if __name__ == "__main__":
    main()
