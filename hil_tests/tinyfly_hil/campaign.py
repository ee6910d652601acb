"""Thousands of flights with random faults; a failure is shrunk to its cause, and a command replays it."""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tinyfly_hil import faults
from tinyfly_hil.faults import CHIP, KINDS, Fault, Injector
from tinyfly_hil.flight import FaultyChip, fly
from tinyfly_hil.log import Recorder
from tinyfly_hil.target import Target, TargetError, built_for, open_target
from tinyfly_hil.tools import cores
from tinyfly_hil.world import Scenario

FLIGHT_S = 2.0
RECOVERED_M = 0.3  # a second after the last fault, if the chip still flies and no sensor has lied
SHRINK_RUNS = 60  # at most


@dataclass(frozen=True, slots=True)
class Outcome:
    """One flight of the campaign."""

    broken: list[str]  # what did not hold
    state: str  # of the chip, at the end
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A fault sequence under which something did not hold, at its shortest."""

    seed: int
    found: tuple[Fault, ...]
    shrunk: tuple[Fault, ...]
    broken: list[str]
    command: str


@dataclass(slots=True)
class Campaign:
    """What a campaign found. Most flights have several kinds of fault, and count for each."""

    flights: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # how the flights ended: "state (reason)"
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind of fault, state at the end)
    failures: list[Failure] = field(default_factory=list)

    def add(self, sequence: tuple[Fault, ...], outcome: Outcome, failure: Failure | None) -> None:
        """Count one flight."""
        self.flights += 1
        self.ends[f"{outcome.state} ({outcome.reason})"] += 1
        self.kinds.update((f.kind, outcome.state) for f in sequence)
        if failure:
            self.failures.append(failure)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a kind that struck in no flight has no row."""
        failures = [
            {"seed": f.seed, "faults": faults.show(f.shrunk), "broken": f.broken[:5], "command": f.command}
            for f in sorted(self.failures, key=lambda f: f.seed)
        ]
        states = sorted({state for _, state in self.kinds})
        rows = {kind: {state: self.kinds[kind, state] for state in states} for kind in KINDS}
        rows = {kind: row for kind, row in rows.items() if any(row.values())}
        ends = dict(self.ends.most_common())
        return {"flights": self.flights, "ends": ends, "faults": rows, "failures": failures}


def draw(seed: int) -> tuple[Fault, ...]:
    """One to four random faults, somewhere in the flight, long or short, mild or fierce."""
    random = np.random.default_rng(seed)
    drawn = []
    for kind in random.choice(list(KINDS), random.integers(1, 5), replace=False):
        _, default, largest, _ = KINDS[kind]
        value = float(min(largest, default * math.exp(random.uniform(-2, 2))))
        start_s = round(float(random.uniform(0.05, 0.8 * FLIGHT_S)), 3)
        length_s = round(math.exp(random.uniform(math.log(0.01), math.log(FLIGHT_S))), 3)
        on_off = kind in CHIP or default == largest
        value = default if on_off else float(f"{value:.3g}")
        drawn.append(Fault(str(kind), value, start_s, round(start_s + length_s, 3)))
    return tuple(drawn)


def attempt(
    target: Target, sequence: tuple[Fault, ...], seed: int, recorder: Recorder | None = None
) -> Outcome:
    """Fly once under these faults, from a fresh start; every step is watched."""
    target.restart()
    if recorder:
        recorder.attach(target)
    scenario = Scenario("campaign", FLIGHT_S, noise=1.0, seed=seed)
    chip = FaultyChip(target, Injector(sequence, seed))
    flight = fly(scenario, chip)
    broken = list(chip.broken)
    if len(chip.controls) != scenario.steps:
        broken.append(f"{len(chip.controls)} answers in {scenario.steps} steps")
    end_s = max((f.end_s for f in sequence), default=0.0)
    honest = not any(f.kind in faults.SENSORS or f.kind == "delay" for f in sequence)
    if honest and chip.watch.state == "flying" and end_s < FLIGHT_S - 1 and flight.error_m[-1] > RECOVERED_M:
        broken.append(f"{flight.error_m[-1]:.2f} m off, {FLIGHT_S - end_s:.1f} s after the last fault")
    return Outcome(broken, chip.watch.state, chip.watch.reason)


def _survive(target: Target, sequence: tuple[Fault, ...], seed: int) -> Outcome:
    """An attempt; a chip that no longer answers is an outcome too, and is given its power anew."""
    try:
        return attempt(target, sequence, seed)
    except TargetError as e:
        target.power_cycle()
        return Outcome([str(e)], "lost", "no answer")


def shrink(
    sequence: tuple[Fault, ...], fails: Callable[[tuple[Fault, ...]], bool], runs: int = SHRINK_RUNS
) -> tuple[Fault, ...]:
    """A shorter sequence that still fails: fewer faults, then shorter ones. Asks ``runs`` times at most."""
    best, left = sequence, runs
    progress = True
    while progress and left > 0:
        progress = False
        for candidate in _simpler(best):
            if left <= 0:
                break
            left -= 1
            if fails(candidate):
                best, progress = candidate, True
                break
    return best


def _simpler(sequence: tuple[Fault, ...]) -> Iterator[tuple[Fault, ...]]:
    for i in range(len(sequence)):
        if len(sequence) > 1:
            yield sequence[:i] + sequence[i + 1 :]
    for i, f in enumerate(sequence):
        half = round((min(f.end_s, FLIGHT_S) - f.start_s) / 2, 3)
        if half >= 0.005:
            for start_s, end_s in ((f.start_s, f.start_s + half), (f.start_s + half, f.end_s)):
                yield (*sequence[:i], replace(f, start_s=start_s, end_s=end_s), *sequence[i + 1 :])


def run(
    policy: Path,
    port: str,
    count: int,
    seed: int = 0,
    progress: Callable[[float, dict[str, float]], None] | None = None,
    on_failure: Callable[[Failure], None] | None = None,
) -> Campaign:
    """Fly ``count`` random fault sequences, seeds ``seed`` .. ``seed + count - 1``; emulators on every core.

    ``on_failure`` hears of each as it is found: the rest may take hours. A flight starts from a reset and
    depends on its seed alone: who flies it, and after what, plays no part.
    """
    campaign = Campaign()
    workers = min(cores(), count) if built_for(port, policy) else 1
    with _flights(policy, port, range(seed, seed + count), workers) as flights:
        for k, outcome, failure in flights:
            campaign.add(draw(k), outcome, failure)
            if failure and on_failure:
                on_failure(failure)
            if progress:
                progress(campaign.flights / count, {"failures": float(len(campaign.failures))})
    return campaign


Found = tuple[int, Outcome, Failure | None]  # of one seed


@contextmanager
def _flights(policy: Path, port: str, seeds: range, workers: int) -> Iterator[Iterator[Found]]:
    """The flights of these seeds as they end, by processes with a target each, or by this one."""
    if workers == 1:
        with open_target(port, policy) as target:
            yield (_flight(target, k, policy, port) for k in seeds)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _open, (policy, port))
    try:
        yield (flown.result() for flown in as_completed([pool.submit(_fly_seed, k) for k in seeds]))
    finally:
        pool.shutdown(cancel_futures=True)


_here: tuple[Target, Path, str, ExitStack]  # of a worker process: its target, open until it ends


def _open(policy: Path, port: str) -> None:
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started us ends us
    stack = ExitStack()
    _here = stack.enter_context(open_target(port, policy)), policy, port, stack


def _fly_seed(seed: int) -> Found:
    target, policy, port, _ = _here
    return _flight(target, seed, policy, port)


def _flight(target: Target, seed: int, policy: Path, port: str) -> Found:
    sequence = draw(seed)
    outcome = _survive(target, sequence, seed)
    failure = _explain(target, sequence, seed, outcome.broken, policy, port) if outcome.broken else None
    return seed, outcome, failure


def once(
    policy: Path, port: str, sequence: tuple[Fault, ...], seed: int = 0, log: Path | None = None
) -> Outcome:
    """One flight under these faults, as in a campaign: what `tinyfly hil --faults` runs. Keeps its log."""
    with open_target(port, policy) as target:
        recorder = Recorder()
        outcome = attempt(target, sequence, seed, recorder)
        recorder.meta |= {"faults": faults.show(sequence), "seed": seed}
        if log:
            recorder.save(log)
    return outcome


def _explain(
    target: Target, sequence: tuple[Fault, ...], seed: int, broken: list[str], policy: Path, port: str
) -> Failure:
    shrunk = shrink(sequence, lambda s: bool(_survive(target, s, seed).broken))
    broken = _survive(target, shrunk, seed).broken or [*broken, "it did not happen again"]
    command = f"tinyfly hil {policy} --port {port} --faults {faults.show(shrunk)} --seed {seed}"
    return Failure(seed, sequence, shrunk, broken, command)
