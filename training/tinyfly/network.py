"""The tiny policy network: layers of weights, run two ways.

``act`` is for speed (BLAS, np.tanh). ``act_exact`` is the definition of the bits: one accumulator per output,
starting at the bias, inputs added in order, one rounding per multiply and per add. The C kernels, whatever
their loop structure, compute exactly this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import tanh_exact

Array = NDArray[np.float32]

FEW = 8  # columns


@dataclass(frozen=True, slots=True)
class Layer:
    """y = tanh(weight @ x + bias); weight (outputs, inputs), bias (outputs,), float32."""

    weight: Array
    bias: Array


def act(layers: tuple[Layer, ...], observation: Array) -> Array:
    """(inputs, n) -> (4, n) in [-1, 1], by matrix products."""
    x = observation
    for layer in layers:
        x = np.tanh(layer.weight @ x + layer.bias[:, None])
    return x


def act_exact(layers: tuple[Layer, ...], observation: Array) -> Array:
    """(inputs, n) -> (4, n) in [-1, 1], bit for bit what the chip computes."""
    x = np.ascontiguousarray(observation, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in layers:
            x = tanh_exact(sum_in_order(layer, x))
    return x


def sum_in_order(layer: Layer, x: Array) -> Array:
    if x.shape[1] <= FEW:  # a flight's one column: three calls instead of two an input
        terms = np.empty((len(layer.bias), x.shape[1], len(x) + 1), np.float32)
        terms[..., 0] = layer.bias[:, None]
        np.multiply(layer.weight[:, None], x.T, out=terms[..., 1:])
        return np.add.accumulate(terms, axis=-1)[..., -1]  # unlike a sum, it promises its order
    total = np.repeat(layer.bias[:, None], x.shape[1], axis=1)
    for column, value in zip(layer.weight.T, x, strict=True):
        total += column[:, None] * value
    return total
