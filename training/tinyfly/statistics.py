"""Statistics people can trust: means with 95 % intervals, worst first, paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyfly.program import chunks

RESAMPLES = 2000
_BLOCK = 1 << 22  # signs flipped at a time
_Z = 1.959964  # 95 % of a normal distribution
# The same of Student's t with 1, 2, ... degrees of freedom.
_T = (12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and the 95 % interval that holds it."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


def mean(values: ArrayLike) -> Estimate:
    """Mean of independent values with Student's t-interval; one value has no interval (NaN).

    Of few values it covers what it promises, where a percentile bootstrap of five covers 80 %.
    """
    x = np.asarray(values, float)
    if len(x) < 2:
        return Estimate(float(x.mean()) if len(x) else math.nan, math.nan, math.nan)
    middle, half = float(x.mean()), _student(len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Estimate(middle, middle - half, middle + half)


def share(successes: ArrayLike) -> Estimate:
    """Share of true values with Wilson's interval, which stays sensible at 0 and 1."""
    x = np.asarray(successes, bool)
    n, p = len(x), float(x.mean())
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True, slots=True)
class Paired:
    """b minus a on the same cases."""

    difference: Estimate
    p_value: float  # two-sided: that a difference this large comes from chance alone

    @property
    def significant(self) -> bool:
        return self.p_value < 0.05


def paired(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Paired:
    """Compare two treatments of the same cases: the mean difference, and the sign-flip permutation test.

    The test asks nothing of the distribution but that, without a difference, every sign were a coin toss.
    """
    d = np.asarray(b, float) - np.asarray(a, float)
    observed = abs(d.mean())
    rng, larger = np.random.default_rng(seed), 0
    for block in chunks(RESAMPLES, max(1, _BLOCK // len(d))):
        flips = rng.integers(0, 2, (block.stop - block.start, len(d)), dtype=np.int8) * 2 - 1
        larger += int((np.abs(flips @ d / len(d)) >= observed * (1 - 1e-12)).sum())
    return Paired(mean(d), (1 + larger) / (1 + RESAMPLES))


def upper_median(values: NDArray[np.floating]) -> float:
    """The median of (n,), of an even number the larger of the two: np.median costs an import of 15 ms."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def worst_first(items: Iterable[T], badness: Callable[[T], float]) -> list[T]:
    """Sorted from the worst; NaN counts as worst of all."""
    return sorted(items, key=lambda x: math.inf if math.isnan(badness(x)) else badness(x), reverse=True)


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to 2e-4: by table, then Abramowitz and Stegun's 26.7.5."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**k for k, term in enumerate(terms, 1))
