"""Training: how long a whole process takes, and how good the worst of many seeds is.

    python benchmarks/training.py time [--prototype DIR] [--repeats 10]
    python benchmarks/training.py quality --task paper [--seeds 20] [--baselines FILE ...]

`time` runs whole processes in turns, interpreter start to saved policy, and prints wall and processor time.
With --prototype, DIR/demo.py is run in the same turns as the yardstick for the machine. `quality` trains
seeds and prints them worst first, the baselines (the paper's weights, given by path) below them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from quality import (
    SEVEN,
    crazyflie_row,
    machine,
    median,
    paper_row,
    print_header,
    print_row,
    train_timed,
    worst,
)

from tinyfly.airframe import Airframe
from tinyfly.controllers import PaperPolicy
from tinyfly.task import make_task

TINYFLY = [str(Path(sys.executable).parent / "tinyfly"), "train"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    timing = commands.add_parser("time")
    timing.add_argument("--prototype", type=Path, help="folder with the prototype's demo.py")
    timing.add_argument("--repeats", type=int, default=10)
    quality = commands.add_parser("quality")
    quality.add_argument("--task", default="paper", choices=("paper", "crazyflie", "tracking"))
    quality.add_argument("--budget", type=float)
    quality.add_argument("--airframe", default="crazyflie", help="of the tracking task")
    quality.add_argument("--seeds", type=int, default=20)
    quality.add_argument("--episodes", type=int, default=1000)
    quality.add_argument("--baselines", type=Path, nargs="*", default=[])
    a = parser.parse_args()
    print(machine())
    if a.command == "time":
        time_processes(a.prototype, a.repeats)
    else:
        judge(a)


def time_processes(prototype: Path | None, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contenders = {
            "paper": ([*TINYFLY, "--task", "paper", "--out", f"{folder}/a.policy"], folder),
            "paper --budget 0.5": (
                [*TINYFLY, "--task", "paper", "--budget", "0.5", "--out", f"{folder}/b.policy"],
                folder,
            ),
            "crazyflie": ([*TINYFLY, "--out", f"{folder}/c.policy"], folder),
            "tracking": ([*TINYFLY, "--task", "tracking", "--out", f"{folder}/d.policy"], folder),
        }
        if prototype:
            for name in ("R2", "R3"):
                command = [sys.executable, str(prototype.resolve() / "demo.py"), name]
                contenders[f"prototype {name}"] = (command, folder)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(repeats):
            for name, (command, where) in contenders.items():
                spent[name].append(run(command, where))
    print("| process | wall s, median | wall s, best | processor s, median | of prototype R2 |")
    print("|---|---|---|---|---|")
    processor = {name: float(np.median([p for _, p in x])) for name, x in spent.items()}
    for name, x in spent.items():
        wall = [w for w, _ in x]
        ratio = f"{processor[name] / processor['prototype R2']:.2f}" if prototype else "-"
        print(f"| {name} | {np.median(wall):.2f} | {min(wall):.2f} | {processor[name]:.2f} | {ratio} |")
    print(f"peak memory, largest: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MB")


def run(command: list[str], folder: str) -> tuple[float, float]:
    """Wall and processor time of a process, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def judge(a: argparse.Namespace) -> None:
    task = make_task(a.task, Airframe.load(a.airframe), a.budget)
    rows = {}
    for seed in range(a.seeds):
        policy, seconds = train_timed(task, seed)
        if a.task == "crazyflie":
            each = {name: crazyflie_row(policy, name, a.episodes) for name in SEVEN}
            for name, row in each.items():
                rows[f"seed {seed} {name}"] = row | {"train s": seconds}
        else:
            latencies = (0.0,) if a.task == "paper" else (0.0, 10.0, 20.0)
            row = worst([paper_row(policy, a.episodes, ms) for ms in latencies])
            rows[f"seed {seed}"] = row | {"train s": seconds}
    print_header(f"{a.task}, worst first", next(iter(rows.values())))
    for label, row in sorted(rows.items(), key=lambda item: (item[1]["survival"], -badness(item[1]))):
        print_row(label, row)
    print_row("**worst**", worst(list(rows.values())))
    print_row("**median**", median(list(rows.values())))
    for path in a.baselines:
        baseline = PaperPolicy(path, Airframe.load("crazyflie"))
        print_row(path.stem, paper_row(baseline, a.episodes) | {"train s": float("nan")})


def badness(row: dict[str, float]) -> float:
    return row.get("hover mm", row.get("4..6 s mm", 0.0))


if __name__ == "__main__":
    main()
