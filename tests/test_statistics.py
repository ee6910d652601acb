"""Intervals that cover what they promise, tests that err as often as they say."""

import math

import numpy as np
import pytest

from tinyfly import statistics


def test_a_means_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    hits = 0
    for k in range(100):
        e = statistics.mean(rng.exponential(2.0, 60), seed=k)
        hits += e.low <= 2.0 <= e.high
    assert 0.88 <= hits / 100 <= 0.98


def test_one_value_has_a_mean_and_no_interval():
    e = statistics.mean([3.0])
    assert e.mean == 3.0
    assert math.isnan(e.low)


def test_a_share_of_one_is_not_certain():
    e = statistics.share(np.ones(1000, bool))
    assert e.mean == e.high == 1.0
    assert e.low == pytest.approx(0.9962, abs=1e-4)  # Wilson: n / (n + z^2)


def test_the_paired_test_finds_a_small_difference_that_spread_hides_from_the_means():
    rng = np.random.default_rng(1)
    cases = rng.exponential(1.0, 200)
    result = statistics.paired(cases, cases + 0.02 + 0.01 * rng.standard_normal(200))
    assert result.significant
    assert result.difference.low < 0.02 < result.difference.high + 0.005


def test_without_a_difference_the_paired_test_cries_wolf_one_time_in_twenty():
    rng = np.random.default_rng(2)
    alarms = sum(
        statistics.paired(rng.standard_normal(40), rng.standard_normal(40)).significant for _ in range(200)
    )
    assert alarms / 200 < 0.1


def test_worst_comes_first_and_nan_before_all():
    assert statistics.worst_first([1.0, math.nan, 3.0], lambda x: x)[1:] == [3.0, 1.0]
