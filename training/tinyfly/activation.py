"""tanh, defined by its table, so that NumPy and C11 agree to the last bit on every float32.

libm's tanhf differs between C libraries. Ours is a piecewise cubic on |x|: 64 pieces of width 1/8 on [0, 8),
clamped above, the sign put back. Each operation below is one IEEE float32 operation; the C twin in
firmware/core performs the same ones in the same order (and must be compiled with -ffp-contract=off).
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

PIECES = 64
LIMIT = 8.0  # tanh(8) = 1 - 2.3e-7
PIECES_PER_UNIT = PIECES / LIMIT
_BELOW_LIMIT = np.nextafter(np.float32(LIMIT), np.float32(0))


@cache
def tanh_table() -> NDArray[np.float32]:
    """(64, 4) float32 coefficients c0..c3 of c0 + t (c1 + t (c2 + t c3)), t in [0, 1) across a piece.

    Cubic through the four Chebyshev nodes of each piece, in decimal arithmetic: correctly rounded exp makes
    the table identical on every machine, which a libm would not promise. The first piece takes the nodes
    that include 0, so that tanh(0) = 0 exactly.
    """
    with localcontext() as context:
        context.prec = 40
        inner = [Decimal(s) for s in ("0.03806023374435662", "0.30865828381745511")]
        chebyshev = [*inner, 1 - inner[1], 1 - inner[0]]  # (1 - cos((2k + 1) pi / 8)) / 2
        through_zero = [Decimal(0), Decimal("0.25"), Decimal("0.75"), Decimal(1)]
        table = np.empty((PIECES, 4), np.float32)
        for i in range(PIECES):
            nodes = chebyshev if i else through_zero
            values = [_tanh((Decimal(i) + t) / Decimal(int(PIECES_PER_UNIT))) for t in nodes]
            table[i] = [np.float32(float(c)) for c in _interpolate(nodes, values)]
        return table


def tanh_exact(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 -> float32, any shape; |error| <= 4e-7 against tanh; NaN gives +1; the chip's bits."""
    x = np.asarray(x, np.float32)
    y = np.abs(x)
    y = np.where(y < _BELOW_LIMIT, y, _BELOW_LIMIT)  # a NaN fails the comparison and is clamped as well
    s = y * np.float32(PIECES_PER_UNIT)
    piece = s.astype(np.int32)
    t = s - piece.astype(np.float32)
    c0, c1, c2, c3 = np.moveaxis(tanh_table()[piece], -1, 0)
    r = ((c3 * t + c2) * t + c1) * t + c0
    return np.where(x < 0, -r, r)  # not copysign: the sign of a NaN differs between processors


def _tanh(x: Decimal) -> Decimal:
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


def _interpolate(nodes: list[Decimal], values: list[Decimal]) -> list[Decimal]:
    """Monomial coefficients, lowest first, of the polynomial through the points (Newton's form, expanded)."""
    divided = list(values)
    n = len(nodes)
    for order in range(1, n):
        for i in range(n - 1, order - 1, -1):
            divided[i] = (divided[i] - divided[i - 1]) / (nodes[i] - nodes[i - order])
    coefficients = [divided[n - 1]]
    for i in range(n - 2, -1, -1):  # p <- p * (t - node_i) + divided_i
        shifted = [Decimal(0), *coefficients]
        for k, c in enumerate(coefficients):
            shifted[k] -= nodes[i] * c
        shifted[0] += divided[i]
        coefficients = shifted
    return coefficients
