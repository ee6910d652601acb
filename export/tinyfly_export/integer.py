"""A policy in integers: scales chosen on recorded flights, and the bits they define.

An input of a layer is x 2^a in int16; a comes from the largest input seen in flight, with a quarter to spare
(beyond it, inputs saturate); hidden inputs are tanh's own 2^15. Sums are int32 and overflow for no inputs.
int16 weights are w 2^b, b the largest that lets neither a weight nor a sum overflow. int8 weights are w / s
with an s for every row: its largest weight is 127, unless a sum would overflow.
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
_ARGUMENT_BITS = 16  # of tanh's argument, below 1
_FRACTION_BITS = 11  # of an argument in units of 2^-16, below one step of the table


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """weight (rows, inputs) int16 or int8, bias (rows,) int32, scale (rows,) int32 with int8 alone.

    (A sum times its scale, 1 without one) / 2^shift is tanh's argument in units of 2^-16.
    """

    weight: NDArray[np.int16] | NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: int
    scale: NDArray[np.int32] | None = None

    def argument(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Integer inputs (inputs, n) -> tanh's argument (rows, n)."""
        products = self.weight.astype(np.float64) @ x  # by BLAS, and exact: far below 2^53
        total = products.astype(np.int64) + self.bias[:, None]
        return (total if self.scale is None else total * self.scale[:, None]) >> self.shift


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
            x = tanh_integer(layer.argument(x))
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


def quantise(policy: Policy, recorded: Array, weight_bits: int = 16) -> IntegerNetwork:
    """Choose the scales on ``recorded`` (inputs, n); UserError where integers cannot hold the network."""
    if recorded.ndim != 2 or len(recorded) != policy.contract.size or not np.isfinite(recorded).all():
        raise UserError(f"recorded observations must be finite and ({policy.contract.size}, n)")
    largest = max(float(np.abs(recorded).max()) * MARGIN, 1.0)
    input_bits = int(np.floor(np.log2(LARGEST / largest)))
    make = {16: _layer16, 8: _layer8}[weight_bits]
    layers, bits = [], input_bits
    for i, layer in enumerate(policy.layers):
        layers.append(make(i, layer, bits))
        bits = TANH_BITS
    return IntegerNetwork(input_bits, tuple(layers))


def _layer16(i: int, layer: Layer, input_bits: int) -> IntegerLayer:
    for bits in range(24, 0, -1):
        weight = np.round(layer.weight.astype(np.float64) * 2.0**bits)
        bias = np.round(layer.bias.astype(np.float64) * 2.0 ** (bits + input_bits))
        fits = np.abs(weight).max() <= LARGEST and _most(weight, bias).max() < 2**31
        if fits and input_bits + bits >= _ARGUMENT_BITS:
            shift = input_bits + bits - _ARGUMENT_BITS
            return IntegerLayer(weight.astype(np.int16), bias.astype(np.int32), shift)
    raise _saturated("int16", i, layer)


def _layer8(i: int, layer: Layer, input_bits: int) -> IntegerLayer:
    unit = np.maximum(np.abs(layer.weight).max(axis=1).astype(np.float64) / 127, 2.0**-20)  # of a row
    while True:
        weight = np.round(layer.weight / unit[:, None])
        bias = np.round(layer.bias * 2.0**input_bits / unit)
        over = _most(weight, bias) >= 2**31
        if not over.any():
            break
        unit[over] *= 2  # a large bias beside small weights
    argument = unit * 2.0 ** (_ARGUMENT_BITS - input_bits)  # of tanh, of one unit of a sum
    shift = int(np.clip(np.floor(30 - np.log2(argument.max())), 0, 31))
    scale = np.round(argument * 2.0**shift)
    if scale.max() >= 2**31 or (_most(weight, bias) * argument).max() >= 2**31 - 1:
        raise _saturated("int8", i, layer)
    return IntegerLayer(weight.astype(np.int8), bias.astype(np.int32), shift, scale.astype(np.int32))


def _saturated(kind: str, i: int, layer: Layer) -> UserError:
    largest = np.abs(layer.weight).max()
    return UserError(f"{kind}: layer {i} saturates every scale (weights to {largest:.3g}); use float32")


def _most(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows,) the largest sum, whatever the inputs."""
    return np.abs(bias) + np.abs(weight).sum(axis=1) * (LARGEST + 1)


def layer_arrays(layer: IntegerLayer) -> dict[str, NDArray[np.integer]]:
    """Bias, scale and weights as tf_network_i16.h lays them out: blocks of four rows, groups of inputs."""
    wide = layer.scale is None
    group, order = (2, [0, 1]) if wide else (4, [0, 2, 1, 3])
    outputs, inputs = layer.weight.shape
    rows, columns = -(-outputs // BLOCK_ROWS) * BLOCK_ROWS, -(-inputs // group) * group
    weight = np.zeros((rows, columns), layer.weight.dtype)
    weight[:outputs, :inputs] = layer.weight
    blocks = weight.reshape(-1, BLOCK_ROWS, columns // group, group)[..., order].transpose(0, 2, 1, 3)
    arrays: dict[str, NDArray[np.integer]] = {"bias": np.pad(layer.bias, (0, rows - outputs))}
    if layer.scale is not None:
        arrays["scale"] = np.pad(layer.scale, (0, rows - outputs))
    return arrays | {"weight" if wide else "weight8": blocks.ravel()}
