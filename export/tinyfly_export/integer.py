"""A policy in integers: scales chosen on recorded flights, and the bits they define.

An input of a layer is x 2^a in int16; a comes from the largest input seen in flight, with a quarter to spare
(beyond it, inputs saturate); hidden inputs are tanh's own 2^15. Sums are int32 and overflow for no inputs.
int16 weights are w 2^b, b the largest that lets neither a weight nor a sum overflow. int8 weights are w / s
with an s for every row: its largest weight is 127, unless a sum would overflow.

Of a policy with mirrors every hidden layer is in its four modes (`tinyfly.modal`). Of the sums and
differences of four units or motors a quarter is taken, which int16 holds for sure. The history is taken two
bits finer than the state, so that a quarter of its sums has the state's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import tanh_exact
from tinyfly.errors import UserError
from tinyfly.modal import MOTORS, fold
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_export.proof import HISTORY_MAX, Array

Index = NDArray[np.intp]
LARGEST = 32767
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
class WholeIntegers:
    """Layer by layer, and the scale that turns the observation into integers."""

    input_bits: int
    layers: tuple[IntegerLayer, ...]

    def act(self, observation: Array) -> Array:
        """(inputs, n) -> (4, n), bit for bit what the chip computes."""
        x = _integers(observation, self.input_bits)
        for layer in self.layers:
            x = tanh_integer(layer.argument(x))
        return _action(x)


@dataclass(frozen=True, slots=True)
class ModalIntegers:
    """Every hidden layer in its four modes, the last one whole, as `tinyfly.modal.ModalNetwork` has them."""

    input_bits: int
    slots: int
    state: tuple[Index, ...]
    hidden: tuple[tuple[IntegerLayer, ...], ...]
    last: IntegerLayer

    def act(self, observation: Array) -> Array:
        """(inputs, n) -> (4, n), bit for bit what the chip computes."""
        x = _integers(observation, self.input_bits)
        past = _integers(observation[: 4 * self.slots], self.input_bits + 2)
        sisters = past.reshape(self.slots, 4, x.shape[1])[:, MOTORS].swapaxes(0, 1)
        modes: Any = [np.concatenate([p, x[i]]) for p, i in zip(_quarter(sisters), self.state, strict=True)]
        for layer in self.hidden:
            arguments = [part.argument(m) for part, m in zip(layer, modes, strict=True)]
            sisters = tanh_integer(fold(np.stack(arguments)))
            modes = _quarter(sisters)
        return _action(tanh_integer(self.last.argument(sisters.reshape(-1, x.shape[1]))))


Integers = WholeIntegers | ModalIntegers


def _integers(x: Array, bits: int) -> NDArray[np.int64]:
    """x 2^bits, rounded half away from zero, at most +-LARGEST; a NaN counts as 0."""
    y = np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=1e39, neginf=-1e39) * 2.0**bits
    return (np.sign(y) * np.minimum(np.floor(np.abs(y) + 0.5), LARGEST)).astype(np.int64)


def _quarter(sisters: NDArray[np.int64]) -> NDArray[np.int64]:
    """(4, ...) sister by sister -> a quarter of their modes, rounded half up."""
    return (fold(sisters) + 2) >> 2


def _action(x: NDArray[np.int64]) -> Array:
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


def quantise(policy: Policy, recorded: Array, weight_bits: int = 16) -> Integers:
    """Choose the scales on ``recorded`` (inputs, n); UserError where integers cannot hold the network."""
    if recorded.ndim != 2 or len(recorded) != policy.contract.size or not np.isfinite(recorded).all():
        raise UserError(f"recorded observations must be finite and ({policy.contract.size}, n)")
    make = {16: _layers16, 8: _layers8}[weight_bits]
    largest = max(float(np.abs(recorded).max(initial=0)) * MARGIN, 1.0)
    modal = policy.modal
    if modal is None:
        bits = _bits(largest)
        layers = [make(i, [x], TANH_BITS if i else bits)[0] for i, x in enumerate(policy.layers)]
        return WholeIntegers(bits, tuple(layers))
    if modal.slots:
        largest = max(largest, 4 * HISTORY_MAX * policy.contract.channels[0].scale)
    bits = _bits(largest)
    hidden = [make(i, parts, TANH_BITS - 2 if i else bits) for i, parts in enumerate(modal.hidden)]
    (last,) = make(len(hidden), [modal.last], TANH_BITS)
    return ModalIntegers(bits, modal.slots, modal.state, tuple(hidden), last)


def _bits(largest: float) -> int:
    return int(np.floor(np.log2((LARGEST + 1) / largest)))


def _layers16(i: int, parts: Sequence[Layer], input_bits: int) -> tuple[IntegerLayer, ...]:
    """With one scale for all parts, whose sums are added."""
    for bits in range(24, 0, -1):
        weight = [np.round(part.weight.astype(np.float64) * 2.0**bits) for part in parts]
        bias = [np.round(part.bias.astype(np.float64) * 2.0 ** (bits + input_bits)) for part in parts]
        held = max(np.abs(w).max(initial=0) for w in weight) <= LARGEST
        fits = held and np.sum([_most(w, b) for w, b in zip(weight, bias, strict=True)], 0).max() < 2**31
        if fits and input_bits + bits >= _ARGUMENT_BITS:
            shift = input_bits + bits - _ARGUMENT_BITS
            return tuple(
                IntegerLayer(w.astype(np.int16), b.astype(np.int32), shift)
                for w, b in zip(weight, bias, strict=True)
            )
    raise _saturated("int16", i, parts)


def _layers8(i: int, parts: Sequence[Layer], input_bits: int) -> tuple[IntegerLayer, ...]:
    """With one shift for all parts, whose arguments are added."""
    rows = [_rows8(part, input_bits) for part in parts]
    arguments = [unit * 2.0 ** (_ARGUMENT_BITS - input_bits) for *_, unit in rows]  # of a sum's unit, to tanh
    shift = int(np.clip(np.floor(30 - np.log2(max(a.max() for a in arguments))), 0, 31))
    scales = [np.round(a * 2.0**shift) for a in arguments]
    most = np.sum([_most(w, b) * a for (w, b, _), a in zip(rows, arguments, strict=True)], 0)
    if max(s.max() for s in scales) >= 2**31 or most.max() >= 2**31 - 1:
        raise _saturated("int8", i, parts)
    return tuple(
        IntegerLayer(weight.astype(np.int8), bias.astype(np.int32), shift, scale.astype(np.int32))
        for (weight, bias, _), scale in zip(rows, scales, strict=True)
    )


def _rows8(layer: Layer, input_bits: int) -> tuple[NDArray[np.float64], ...]:
    """Weights and biases in units of their row, and the units."""
    largest = np.abs(layer.weight).max(axis=1, initial=0).astype(np.float64)
    unit = np.maximum(largest / 127, 2.0**-20)
    while True:
        weight = np.round(layer.weight / unit[:, None])
        bias = np.round(layer.bias * 2.0**input_bits / unit)
        over = _most(weight, bias) >= 2**31
        if not over.any():
            return weight, bias, unit
        unit[over] *= 2  # a large bias beside small weights


def _saturated(kind: str, i: int, parts: Sequence[Layer]) -> UserError:
    largest = max(np.abs(part.weight).max(initial=0) for part in parts)
    return UserError(f"{kind}: layer {i} saturates every scale (weights to {largest:.3g}); use float32")


def _most(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows,) the largest sum, whatever the inputs."""
    return np.abs(bias) + np.abs(weight).sum(axis=1) * (LARGEST + 1)
