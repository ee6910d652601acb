"""How fast a chip is flown in the loop: python benchmarks/hil.py POLICY [qemu host line:host ...]

First in lock-step at 100 Hz: the fastest and the median of a few flights. Then free-running, the chip on its
own clock and this program on the wall's: deadlines missed. A busy machine stretches all of it.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from tinyfly_hil import realtime
from tinyfly_hil.flight import Chip, fly
from tinyfly_hil.target import TargetError, open_target
from tinyfly_hil.world import Scenario

FLIGHTS, SECONDS, RATE_HZ, FREE_S = 5, 2.0, 100, 10.0
STEPS = round(SECONDS * RATE_HZ) + 52  # those of settling and warm-up included


def main() -> None:
    policy, ports = Path(sys.argv[1]), sys.argv[2:] or ["qemu", "host"]
    print("| port, lock-step | steps/s, best | median | times real time | worst round trip ms |")
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
    print(
        "\n| port, free-running | states | answers late | states sent late by us | answer ms, median, worst",
        end="",
    )
    print(" | chip's late steps | its worst, us | end, hover error mm |")
    print("|---|---|---|---|---|---|---|---|")
    for port in ports:
        for rate_hz in (RATE_HZ, realtime.RATE_HZ):
            try:
                r = realtime.measure(policy, port, FREE_S, rate_hz)
            except TargetError as e:
                print(f"| {port}, {rate_hz} Hz | {e} | | | | | | |")
                continue
            print(f"| {port}, {rate_hz} Hz | {r['states']} | {r['missed']} | {r['late_sends']} |", end="")
            print(
                f" {r['answer_ms_median']:.1f}, {r['answer_ms_max']:.1f} | {r['chip_late_steps']} |", end=""
            )
            print(f" {r['chip_late_us_max']} | {r['state']}, {1e3 * r['hover_error_m']:.0f} |")


if __name__ == "__main__":
    main()
