"""Which network does the chip deserve? Action history x width against quality and multiply-adds.

    python benchmarks/networks.py [--seeds 3] [--episodes 300] [--latency-ms 20]

Each network is trained on the `paper` task with latency (history is what makes latency bearable) and flown at
--latency-ms; the quality is the hover error. The last line names the smallest within 5 % of the largest.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from quality import machine, median, paper_row, print_header, print_row, train_timed

from tinyfly import trainer
from tinyfly.airframe import Airframe
from tinyfly.task import Task, paper, with_history, with_recipe

HISTORIES = ((0, 1), (2, 1), (4, 1), (8, 1), (16, 1), (32, 1), (4, 2), (8, 2), (16, 2))  # slots, stride
WIDTHS = (16, 32, 64)
TOLERANCE = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--latency-ms", type=float, default=20)
    a = parser.parse_args()
    print(machine())
    quality: dict[str, tuple[int, float]] = {}
    for width in WIDTHS:
        for history, stride in HISTORIES:
            label = f"{history}{' every second step' if stride == 2 else ''} x {width}"
            rows = []
            for seed in range(a.seeds):
                try:
                    policy, seconds = train_timed(with_network(history, stride, width), seed)
                except trainer.Diverged:
                    continue
                row = paper_row(policy, a.episodes, a.latency_ms, (5.5,))
                rows.append({"multiply-adds": policy.multiply_adds} | row | {"train s": seconds})
            if not rows:
                print(f"| {label} | diverged |")
                continue
            row = median(rows)
            if not quality:
                print_header("history x width, median", row)
            print_row(label, row)
            quality[label] = int(row["multiply-adds"]), row["hover mm"]
    largest = quality[max(quality, key=lambda k: quality[k][0])][1]
    good = {k: v for k, v in quality.items() if v[1] <= TOLERANCE * largest}
    print(f"smallest within 5 % of the largest: {min(good, key=lambda k: good[k][0])}")


def with_network(history: int, stride: int, width: int) -> Task:
    task = replace(paper(Airframe.load("crazyflie")), latency_s=0.02)
    return with_recipe(with_history(task, history, task.contract.rate_hz / stride), width=width)


if __name__ == "__main__":
    main()
