"""A policy in 16-bit integers: power-of-two scales chosen on recorded flights, and the bits they define.

An input of a layer is x 2^a in int16, a weight w 2^b in int16, a sum is in units of 2^-(a + b) in int32.
a comes from the largest input seen in flight, with a quarter to spare (beyond it, inputs saturate). b is
the largest that lets neither a weight nor any sum overflow, whatever the inputs. Hidden inputs are tanh's
own 2^15.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import tanh_exact
from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_export.proof import Array

LARGEST = 32767
BLOCK_ROWS = 4
MARGIN = 1.25
TANH_BITS = 15
STEPS_PER_UNIT, TANH_LIMIT = 32, 8
_FRACTION_BITS = 11  # of an argument in units of 2^-16, below one step of the table


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """weight (rows, inputs) int16, bias (rows,) int32, in units of 2^-shift."""

    weight: NDArray[np.int16]
    bias: NDArray[np.int32]
    shift: int


@dataclass(frozen=True, slots=True)
class IntegerNetwork:
    """The layers, and the scale that turns the observation into integers."""

    input_bits: int
    layers: tuple[IntegerLayer, ...]

    def act(self, observation: Array) -> Array:
        """(inputs, n) -> (4, n), bit for bit what the chip computes."""
        y = (
            np.nan_to_num(observation.astype(np.float64), nan=0.0, posinf=1e39, neginf=-1e39)
            * 2.0**self.input_bits
        )
        x = (np.sign(y) * np.minimum(np.floor(np.abs(y) + 0.5), LARGEST)).astype(np.int64)
        for layer in self.layers:
            total = layer.weight.astype(np.int64) @ x + layer.bias[:, None]
            x = tanh_integer(total >> (layer.shift - 16))
        return (x * 2.0**-TANH_BITS).astype(np.float32)


@cache
def tanh_table() -> NDArray[np.int16]:
    """(257,) tanh at steps of 1/32 on [0, 8], times 2^15; from the project's own tanh: alike everywhere."""
    x = np.arange(STEPS_PER_UNIT * TANH_LIMIT + 1, dtype=np.float32) / np.float32(STEPS_PER_UNIT)
    return np.minimum(np.round(tanh_exact(x).astype(np.float64) * 2**TANH_BITS), LARGEST).astype(np.int16)


def tanh_integer(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """tanh(x / 2^16) * 2^15."""
    m = np.minimum(np.abs(x), (TANH_LIMIT << 16) - 1)
    low = tanh_table().astype(np.int64)[m >> _FRACTION_BITS]
    high = tanh_table().astype(np.int64)[(m >> _FRACTION_BITS) + 1]
    y = low + (
        ((high - low) * (m & ((1 << _FRACTION_BITS) - 1)) + (1 << (_FRACTION_BITS - 1))) >> _FRACTION_BITS
    )
    return np.where(x < 0, -y, y)


def quantise(policy: Policy, recorded: Array) -> IntegerNetwork:
    """Choose the scales on ``recorded`` (inputs, n); UserError where 16 bits cannot hold the network."""
    if recorded.ndim != 2 or len(recorded) != policy.contract.size or not np.isfinite(recorded).all():
        raise UserError(f"recorded observations must be finite and ({policy.contract.size}, n)")
    largest = max(float(np.abs(recorded).max()) * MARGIN, 1.0)
    input_bits = int(np.floor(np.log2(LARGEST / largest)))
    layers, bits = [], input_bits
    for i, layer in enumerate(policy.layers):
        layers.append(_layer(i, layer, bits))
        bits = TANH_BITS
    return IntegerNetwork(input_bits, tuple(layers))


def _layer(i: int, layer: Layer, input_bits: int) -> IntegerLayer:
    for bits in range(24, 0, -1):
        weight = np.round(layer.weight.astype(np.float64) * 2.0**bits)
        bias = np.round(layer.bias.astype(np.float64) * 2.0 ** (bits + input_bits))
        most = np.abs(bias) + np.abs(weight).sum(axis=1) * (LARGEST + 1)
        if np.abs(weight).max() <= LARGEST and most.max() < 2**31 and input_bits + bits >= 16:
            return IntegerLayer(weight.astype(np.int16), bias.astype(np.int32), input_bits + bits)
    raise UserError(
        f"int16: layer {i} saturates every scale (weights to {np.abs(layer.weight).max():.3g}); use float32"
    )


def layer_image(layer: IntegerLayer) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Bias and weights as tf_network_i16.h lays them out: blocks of four rows, pairs of inputs."""
    outputs, inputs = layer.weight.shape
    rows, columns = -(-outputs // BLOCK_ROWS) * BLOCK_ROWS, inputs + inputs % 2
    bias, weight = np.zeros(rows, np.int32), np.zeros((rows, columns), np.int16)
    bias[:outputs], weight[:outputs, :inputs] = layer.bias, layer.weight
    blocks = weight.reshape(-1, BLOCK_ROWS, columns // 2, 2).transpose(0, 2, 1, 3)
    return bias, blocks.ravel()
