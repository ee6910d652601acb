"""Intervals that cover what they promise, tests that err as often as they say."""

import math
import tracemalloc

import numpy as np
import pytest

from tinyfly import statistics


@pytest.mark.parametrize("n", [2, 5, 10, 20, 60])
def test_a_means_interval_covers_the_truth_95_times_in_100_however_few_the_values(n):
    rng = np.random.default_rng(0)
    found = [statistics.mean(rng.normal(2.0, 1.0, n)) for _ in range(2000)]
    assert np.mean([e.low <= 2.0 <= e.high for e in found]) == pytest.approx(0.95, abs=0.015)


def test_of_skewed_values_it_covers_nearly_as_often():
    rng = np.random.default_rng(0)
    found = [statistics.mean(rng.exponential(2.0, 20)) for _ in range(1000)]
    assert 0.9 <= np.mean([e.low <= 2.0 <= e.high for e in found]) <= 0.97


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.7062), (10, 2.26216), (11, 2.22814), (31, 2.04227)])
def test_the_interval_is_students(n, quantile):
    """Quantiles from printed tables."""
    x = np.random.default_rng(0).standard_normal(n)
    e = statistics.mean(x)
    np.testing.assert_allclose(e.high - e.mean, quantile * x.std(ddof=1) / np.sqrt(n), rtol=1e-4)


def test_many_episodes_take_little_memory():
    x = np.random.default_rng(0).random(20_000)
    tracemalloc.start()
    statistics.paired(x, x[::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


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
