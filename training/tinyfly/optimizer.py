"""Muon (Keller Jordan, 2024): momentum, then the nearest orthogonal matrix as the step.

Every singular direction of a layer moves at the same speed. On this problem it does in 40 updates what Adam
does in several hundred (docs/training.md). That speed is in units of the inputs, so an input that is small by
nature, a position in metres, would be learnt slowly: the first layer is turned as if each input came
multiplied by ``input_scale``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tinyfly.weights import Weights

Array = NDArray[np.floating]

# x -> a x + b x^3 + c x^5 drives singular values towards 1; tuned by Muon's author for few steps.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalise(m: Array) -> Array:
    """The matrix with m's singular vectors and singular values near 1 (within about 0.7..1.2).

    Of a stack of matrices, each by itself.
    """
    a, b, c = NEWTON_SCHULZ
    wide = m.shape[-2] <= m.shape[-1]
    x = m if wide else m.swapaxes(-1, -2)
    x = x / (np.sqrt(np.square(x).sum((-2, -1), keepdims=True)) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.swapaxes(-1, -2)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if wide else x.swapaxes(-1, -2)


class Muon:
    """One instance per training run; changes the weights in place.

    Without ``decay`` the weights grow for as long as the rate is high, until the network is so steep that
    nothing is learnt any more: twice the updates then fly worse, not better.
    """

    def __init__(
        self, weights: Weights, input_scale: Array, momentum: float = 0.85, decay: float = 0.0
    ) -> None:
        """``input_scale``: of the first matrix's columns; anything that broadcasts to it."""
        self.momentum, self.decay = momentum, decay
        self.scales: tuple[Array | float, ...] = (input_scale, 1.0, 1.0)
        self.velocity = [np.zeros_like(w) for w in weights]

    def step(self, weights: Weights, gradient: Weights, rate: float) -> None:
        """One update with Nesterov momentum, of size ``rate * sqrt(outputs)`` whatever the gradient's.

        But for what the iteration leaves of that: of a mode's only row, as the last layer has them, .7.
        """
        for w, g, v, scale in zip(weights, gradient, self.velocity, self.scales, strict=True):
            v *= self.momentum
            v += g
            w *= 1 - rate * self.decay
            w -= rate * math.sqrt(w[..., 0].size) * scale * orthogonalise((g + self.momentum * v) * scale)
