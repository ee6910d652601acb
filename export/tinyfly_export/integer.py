"""A policy in integers, and the bits that they define; `quantise` chooses the scales.

An input of a layer is x 2^a in int16, and saturates beyond; hidden inputs are tanh's own 2^15. Sums are int32
and overflow for no inputs. int16 weights are w 2^b, int8 weights w / s with an s for every row.

Of a policy with mirrors every hidden layer is in its four modes (`tinyfly.modal`). Of the sums and
differences of four units or motors a quarter is taken, which int16 holds for sure. The history is taken two
bits finer than the state, so that a quarter of its sums has the state's scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import tanh_exact
from tinyfly.modal import MOTORS, fold
from tinyfly_export.proof import Array

Index = NDArray[np.intp]
LARGEST = 32767
TANH_BITS = 15
STEPS_PER_UNIT, TANH_LIMIT = 32, 8
ARGUMENT_BITS = 16  # of tanh's argument, below 1
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
