"""A policy rounded to integers (`integer`): scales chosen on recorded flights, where sums cannot overflow.

An input's scale comes from the largest one seen in flight, with a quarter to spare; beyond it, inputs
saturate. int16 weights are w 2^b, b the largest that lets neither a weight nor a sum overflow. int8 weights
are w / s with an s for every row: its largest weight is 127, unless a sum would overflow. Two things make up
for coarse weights: along the action history, whose neighbours are alike, what one rounding leaves over goes
to the next; and the mean error that is left in the flights, a wrong thrust, goes into the last bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_export.integer import (
    ARGUMENT_BITS,
    LARGEST,
    TANH_BITS,
    IntegerLayer,
    Integers,
    ModalIntegers,
    WholeIntegers,
)
from tinyfly_export.proof import HISTORY_MAX, Array

MARGIN = 1.25
UNSATURATED = 0.999  # of an action

Past = tuple[int, int]  # slots of the action history, and columns of each, that are a layer's first inputs


def quantise(policy: Policy, recorded: Array, weight_bits: int = 16) -> Integers:
    """Choose the scales on ``recorded`` (inputs, n); UserError where integers cannot hold the network."""
    inputs = policy.contract.size
    if recorded.ndim != 2 or len(recorded) != inputs or not recorded.size or not np.isfinite(recorded).all():
        raise UserError(f"recorded observations must be finite and ({inputs}, n)")
    largest = max(float(np.abs(recorded).max()) * MARGIN, 1.0)
    rounded = _rounded(policy, largest, weight_bits)
    missing = _before_tanh(policy.act(recorded)) - _before_tanh(rounded.act(recorded))
    return _rounded(policy, largest, weight_bits, float(missing.mean()))


def _before_tanh(action: Array) -> NDArray[np.float64]:
    return np.arctanh(np.clip(action.astype(np.float64), -UNSATURATED, UNSATURATED))


def _rounded(policy: Policy, largest: float, weight_bits: int, thrust: float = 0.0) -> Integers:
    """``largest``: of the inputs; ``thrust``: added to the last layer's biases."""
    make = {16: _layer16, 8: _layer8}[weight_bits]
    modal, slots = policy.modal, policy.contract.history_length
    if modal is None:
        bits = _bits(largest)
        *hidden, last = policy.layers
        layers = [
            make(i, [layer], TANH_BITS if i else bits, (0 if i else slots, 4))[0]
            for i, layer in enumerate([*hidden, _biased(last, thrust)])
        ]
        return WholeIntegers(bits, tuple(layers))
    if slots:
        largest = max(largest, 4 * HISTORY_MAX * policy.contract.channels[0].scale)
    bits = _bits(largest)
    parts = [
        make(i, layer, TANH_BITS - 2 if i else bits, (0 if i else slots, 1))
        for i, layer in enumerate(modal.hidden)
    ]
    (end,) = make(len(parts), [_biased(modal.last, thrust)], TANH_BITS, (0, 1))
    return ModalIntegers(bits, modal.slots, modal.state, tuple(parts), end)


def _bits(largest: float) -> int:
    return int(np.floor(np.log2((LARGEST + 1) / largest)))


def _biased(layer: Layer, by: float) -> Layer:
    return Layer(layer.weight, layer.bias + np.float32(by))


def _round(weight: NDArray[np.float64], past: Past) -> NDArray[np.float64]:
    """To integers; along the history, sums are rounded, of which the weights are the differences."""
    slots, each = past
    rounded = np.round(weight)
    sums = np.round(weight[:, : slots * each].reshape(len(weight), slots, each).cumsum(axis=1))
    rounded[:, : slots * each] = np.diff(sums, axis=1, prepend=0).reshape(len(weight), -1)
    return rounded


def _layer16(i: int, parts: Sequence[Layer], input_bits: int, past: Past) -> tuple[IntegerLayer, ...]:
    """With one scale for all parts, whose sums are added."""
    for bits in range(24, 0, -1):
        weight = [_round(part.weight.astype(np.float64) * 2.0**bits, past) for part in parts]
        bias = [np.round(part.bias.astype(np.float64) * 2.0 ** (bits + input_bits)) for part in parts]
        held = max(np.abs(w).max(initial=0) for w in weight) <= LARGEST
        fits = held and np.sum([_most(w, b) for w, b in zip(weight, bias, strict=True)], 0).max() < 2**31
        if fits and input_bits + bits >= ARGUMENT_BITS:
            shift = input_bits + bits - ARGUMENT_BITS
            return tuple(
                IntegerLayer(w.astype(np.int16), b.astype(np.int32), shift)
                for w, b in zip(weight, bias, strict=True)
            )
    raise _saturated("int16", i, parts)


def _layer8(i: int, parts: Sequence[Layer], input_bits: int, past: Past) -> tuple[IntegerLayer, ...]:
    """With one shift for all parts, whose arguments are added."""
    rows = [_rows8(part, input_bits, past) for part in parts]
    arguments = [unit * 2.0 ** (ARGUMENT_BITS - input_bits) for *_, unit in rows]  # of a sum's unit, to tanh
    shift = int(np.clip(np.floor(30 - np.log2(max(a.max() for a in arguments))), 0, 31))
    scales = [np.round(a * 2.0**shift) for a in arguments]
    most = np.sum([_most(w, b) * a for (w, b, _), a in zip(rows, arguments, strict=True)], 0)
    if max(s.max() for s in scales) >= 2**31 or most.max() >= 2**31 - 1:
        raise _saturated("int8", i, parts)
    return tuple(
        IntegerLayer(weight.astype(np.int8), bias.astype(np.int32), shift, scale.astype(np.int32))
        for (weight, bias, _), scale in zip(rows, scales, strict=True)
    )


def _rows8(layer: Layer, input_bits: int, past: Past) -> tuple[NDArray[np.float64], ...]:
    """Weights and biases in units of their row, and the units."""
    largest = np.abs(layer.weight).max(axis=1, initial=0).astype(np.float64)
    unit = np.maximum(largest / 127, 2.0**-20)
    while True:
        weight = np.clip(_round(layer.weight / unit[:, None], past), -127, 127)
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
