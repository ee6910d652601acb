"""Several seeds: the best by the stated rule is kept, and a failure among them costs nothing but itself."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from tinyfly import seeds
from tinyfly.errors import UserError
from tinyfly.seeds import Candidate, train_seeds
from tinyfly.trainer import Settings


def test_fewest_losses_come_first_and_errors_break_ties():
    sure, precise, lost = (
        Candidate(i, None, *q) for i, q in enumerate([(1.0, 0.09), (1.0, 0.08), (0.9, 0.01)])
    )
    assert sorted([lost, sure, precise], key=lambda c: c.rank) == [precise, sure, lost]


def test_a_senseless_count_is_refused():
    with pytest.raises(UserError, match="--seeds 0"):
        train_seeds(Settings(), 0, lambda share, metrics: None)


def test_two_seeds_are_trained_in_parallel_and_judged_on_validation_flights():
    shares = []
    found = train_seeds(Settings("paper", budget_s=0.5), 2, lambda share, metrics: shares.append(share))
    assert sorted(c.seed for c in found) == [0, 1]
    assert found[0].rank <= found[1].rank
    assert found[0].policy is not None
    assert found[0].survival > 0
    assert len(found[0].learning) == found[0].policy.provenance["recipe"]["updates"]
    assert shares == [0.5, 1.0]


def test_an_interrupt_ends_the_workers_instead_of_waiting_for_what_they_train(monkeypatch):
    workers = []

    def interrupted(jobs):
        workers.extend(multiprocessing.active_children())
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(Settings("paper"), 2, lambda share, metrics: None)
    assert workers
    for worker in workers:
        worker.join(60)
        # None: the pool's own thread was the first to reap it
        assert worker.exitcode in (-signal.SIGTERM, None)
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)
