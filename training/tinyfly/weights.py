"""The actor's three matrices, and what they are before training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Weights:
    """(width, history + inputs), (width, width + 1), (4, width + 1); biases are columns, for an input of one.

    In its modes (`symmetry`) every matrix is a stack of smaller ones.
    """

    first: Array
    second: Array
    last: Array

    def __iter__(self):
        return iter((self.first, self.second, self.last))


def initial_weights(
    rng: np.random.Generator,
    history: int,
    input_scale: Array,
    width: int,
    hover_action: float,
    size: float = 1.0,
    dtype: type[np.floating] = np.float32,
) -> Weights:
    """Uniform, small at the output: the first policy hovers.

    ``input_scale`` (history + inputs,) scales the first matrix's columns, ``size`` everything but the biases.
    """

    def uniform(rows: int, columns: int, scale: float) -> Array:
        return (rng.uniform(-1, 1, (rows, columns)) * (size * scale)).astype(dtype)

    state = uniform(width, len(input_scale) - history, 1 / np.sqrt(18))
    past = uniform(width, history, 1 / np.sqrt(max(history, 1) + 18))
    first = np.concatenate([past, state], 1) * input_scale.astype(dtype)
    second = np.concatenate([uniform(width, width, width**-0.5), np.zeros((width, 1), dtype)], 1)
    last = np.concatenate(
        [uniform(4, width, 0.1 * width**-0.5), np.full((4, 1), np.arctanh(hover_action), dtype)], 1
    )
    return Weights(first, second, last)
