"""NumPy calls written down once and replayed, on arrays of the best width: how the integrator gets its speed.

What a call costs (one core of an AMD EPYC, float32): 0.3 us where all arrays are contiguous, so that NumPy
sees one long row, about 1 us where one is not, or is broadcast; and 0.1 ns an element. In place, the very
same view twice is 0.2 us cheaper than two equal views. Making a view costs 0.1 us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

CHUNK = 8192  # columns: fewer, and calls cost more than elements; more, and the cache overflows


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Columns 0..n in runs of at most ``size``."""
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


class Program:
    """A straight line of calls on fixed arrays, ``f(*inputs, out)``: written once, run many times."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, f: Callable[..., Any], *arguments: Any) -> None:
        self._calls.append((f, arguments))

    def run(self) -> None:
        for f, arguments in self._calls:
            f(*arguments)
