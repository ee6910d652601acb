"""Train the same task from several seeds at once and keep the best, by a rule that is stated.

The rule: fewest flights lost of 360 in validation, 100 thrown hovers and 20 figure-eights at each of 0, 10
and 20 ms; among equals, the smallest sum of hover and figure-eight error, worst latency. Validation episodes
are neither trained on nor among those that `tinyfly evaluate` shows by default: the choice does not flatter
the winner's figures there.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace

from tinyfly.airframe import Airframe
from tinyfly.console import Report
from tinyfly.errors import UserError
from tinyfly.evaluate import evaluate
from tinyfly.learning import LearningCurve, Row
from tinyfly.policy import Policy
from tinyfly.trainer import Settings, train

VALIDATION_SEED = 0x5EED
HOVERS = 100  # at each latency


@dataclass(frozen=True, slots=True)
class Candidate:
    """One seed's policy and how it did in validation; policy None when training failed."""

    seed: int
    policy: Policy | None
    lost: float  # flights of all latencies, thrown hovers and figure-eights
    error_m: float  # survivors', hover plus figure-eight, worst latency
    failure: str = ""
    learning: list[Row] = field(default_factory=list)  # how the policy came to be

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better."""
        return self.lost, self.error_m


def train_seeds(settings: Settings, count: int, progress: Report) -> list[Candidate]:
    """Train seeds ``settings.seed`` .. ``+ count - 1`` in parallel; best first.

    Raises UserError when every one of them failed.
    """
    if not 1 <= count <= 1000:
        raise UserError(f"--seeds {count}: expected 1 to 1000")
    context = multiprocessing.get_context("spawn")  # a forked BLAS may hang
    candidates = []
    workers = min(count, os.cpu_count() or 1)
    # Not as a context manager: to leave one waits for what the workers train now; an interrupt shall not.
    pool = ProcessPoolExecutor(workers, context, initializer=_leave_interrupts_to_the_parent)
    try:
        jobs = [pool.submit(_one, replace(settings, seed=settings.seed + k)) for k in range(count)]
        for job in as_completed(jobs):
            candidates.append(job.result())
            best = min(candidates, key=lambda c: c.rank)
            progress(len(candidates) / count, {"lost": best.lost, "error_m": best.error_m})
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    candidates.sort(key=lambda c: (c.rank, c.seed))
    if candidates[0].policy is None:
        raise UserError(
            f"none of {count} seeds could be trained; seed {settings.seed}: {candidates[0].failure}"
        )
    return candidates


def _leave_interrupts_to_the_parent() -> None:
    """Ctrl-C reaches every process of a terminal; only the parent is to answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one(settings: Settings) -> Candidate:
    curve = LearningCurve()
    try:
        policy = train(settings, curve)
    except UserError as e:
        return Candidate(settings.seed, None, math.inf, math.inf, str(e))
    airframe = Airframe.load(settings.airframe)
    found = evaluate(policy, airframe, episodes=HOVERS, seed=VALIDATION_SEED)
    lost = sum(int((~o.survived).sum()) for o in found.outcomes)
    error_m = max(r["hover_error_m"] + r["figure_eight_rmse_m"] for r in found.results)
    return Candidate(settings.seed, policy, lost, error_m, learning=curve.rows)
