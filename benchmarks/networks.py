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
from tinyfly.task import Task, paper, with_recipe

HISTORIES = (0, 2, 4, 8, 16, 32)
WIDTHS = (16, 32, 64)
TOLERANCE = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--latency-ms", type=float, default=20)
    a = parser.parse_args()
    print(machine())
    quality: dict[tuple[int, int], tuple[int, float]] = {}
    for width in WIDTHS:
        for history in HISTORIES:
            rows = []
            for seed in range(a.seeds):
                try:
                    policy, seconds = train_timed(with_network(history, width), seed)
                except trainer.Diverged:
                    continue
                row = paper_row(policy, a.episodes, a.latency_ms, (5.5,))
                chosen = {k: row[k] for k in ("survival", "hover mm", "eight 5.5 s mm")}
                rows.append({"multiply-adds": policy.multiply_adds} | chosen | {"train s": seconds})
            if not rows:
                print(f"| {history} x {width} | diverged |")
                continue
            row = median(rows)
            if not quality:
                print_header("history x width, median", row)
            print_row(f"{history} x {width}", row)
            quality[history, width] = int(row["multiply-adds"]), row["hover mm"]
    largest = quality[max(quality, key=lambda k: quality[k][0])][1]
    good = {k: v for k, v in quality.items() if v[1] <= TOLERANCE * largest}
    history, width = min(good, key=lambda k: good[k][0])
    print(f"smallest within 5 % of the largest: history {history}, width {width}")


def with_network(history: int, width: int) -> Task:
    task = replace(paper(Airframe.load("crazyflie")), latency_s=0.02)
    c = task.contract
    channels = tuple(
        replace(x, size=4 * history) if x.name == "action_history" else x
        for x in c.channels
        if history or x.name != "action_history"
    )
    contract = replace(c, channels=channels, history_length=history)
    return with_recipe(replace(task, contract=contract), width=width)


if __name__ == "__main__":
    main()
