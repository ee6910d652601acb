"""Several seeds: the best by the stated rule is kept, and a failure among them costs nothing but itself."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest
from policies import random_policy

from tinyfly import seeds
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.evaluate import Evaluation, Outcome
from tinyfly.seeds import Candidate, train_seeds
from tinyfly.trainer import Settings


def test_fewest_losses_come_first_and_errors_break_ties():
    sure, precise, lost = (Candidate(i, None, *q) for i, q in enumerate([(0, 0.09), (0, 0.08), (1, 0.01)]))
    assert sorted([lost, sure, precise], key=lambda c: c.rank) == [precise, sure, lost]


def test_lost_figure_eights_count_like_lost_hovers(monkeypatch):
    """A pilot that survives every throw and loses every eight comes after one that loses a throw."""
    policy = random_policy(paper_contract())
    monkeypatch.setattr(seeds, "train", lambda settings, curve: policy)

    def flown(hovers_lost, eights_lost):
        outcomes = [
            Outcome(name, 0.0, np.arange(n) >= lost, {}, np.ones(n, bool))
            for name, n, lost in (("hover", 100, hovers_lost), ("figure-eight 5.5 s", 20, eights_lost))
        ]
        row = {"survival": 1 - hovers_lost / 100, "hover_error_m": 0.1, "figure_eight_rmse_m": 0.1}
        monkeypatch.setattr(seeds, "evaluate", lambda *_, **__: Evaluation(100, [row], outcomes))
        return seeds._one(Settings("paper"))

    assert flown(1, 0).rank < flown(0, 20).rank


def test_a_senseless_count_is_refused():
    with pytest.raises(UserError, match="--seeds 0"):
        train_seeds(Settings(), 0, lambda share, metrics: None)


def test_two_seeds_are_trained_in_parallel_and_judged_on_validation_flights():
    shares = []
    found = train_seeds(Settings("paper", budget_s=0.5), 2, lambda share, metrics: shares.append(share))
    assert sorted(c.seed for c in found) == [0, 1]
    assert found[0].rank <= found[1].rank
    assert found[0].policy is not None
    assert 0 <= found[0].lost < 360
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
