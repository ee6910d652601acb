"""A policy rounded to integers (`integer`): scales chosen on recorded flights, where sums cannot overflow.

An input's scale comes from the largest one seen in flight, with a quarter to spare; beyond it, inputs
saturate. int16 weights are w 2^b, b the largest that lets neither a weight nor a sum overflow. int8 weights
are w / s with an s for every row: its largest weight is 127, unless a sum would overflow.

Weights are rounded one input after another, and what a rounding leaves over goes to the inputs that come
after, as far as they usually tell the same (GPTQ: Frantar et al., 2022): neighbours in the action history do.
What is usual is imagined, not flown, so that machines whose flights differ round alike; how far to rely on it
(`STRANGE`) is what leaves the smallest error on the golden vectors, whose past actions are anything but
usual, and where all past actions differ alike. Of an error that is left, what shows at rest is a wrong
thrust: it goes into the last bias.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyfly.contract import Contract
from tinyfly.errors import UserError
from tinyfly.modal import fold
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
from tinyfly_export.proof import HISTORY_MAX, Array, plausible

Array64 = NDArray[np.float64]
Spreads = list[Array64]  # of a layer and its modes
MARGIN = 1.25
UNSATURATED = 0.999  # of an action
IMAGINED = 2048  # observations
ACTION, STATE = 0.2, 0.3  # how much actions and the state's inputs deviate
ALIKE = 0.98  # correlation of an action with the one before
STRANGE = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5)  # mean square of the unusual over the usual's
STEADY = 5.0  # what an error counts that lasts as long as past actions differ alike


def quantise(policy: Policy, recorded: Array, weight_bits: int = 16) -> Integers:
    """Choose the scales on ``recorded`` (inputs, n); UserError where integers cannot hold the network."""
    inputs = policy.contract.size
    if recorded.ndim != 2 or len(recorded) != inputs or not recorded.size or not np.isfinite(recorded).all():
        raise UserError(f"recorded observations must be finite and ({inputs}, n)")
    largest = max(float(np.abs(recorded).max()) * MARGIN, 1.0)
    moments = [[_moments(x) for x in parts] for parts in _inputs(policy, _imagined(policy.contract))]
    at_rest = _at_rest(policy.contract).astype(np.float32)
    meant, counted = policy.act_exact(at_rest), plausible(policy)
    golden, golden_action = policy.golden_observation[:, counted], policy.golden_action[:, counted]

    def candidate(strange: float) -> Integers:
        spread = [[_spread(m, strange) for m in parts] for parts in moments]
        rounded = _rounded(policy, largest, weight_bits, spread)
        missing = _before_tanh(meant[:, :1]) - _before_tanh(rounded.act(at_rest[:, :1]))
        return _rounded(policy, largest, weight_bits, spread, float(missing.mean()))

    def badness(integers: Integers) -> float:
        error = np.abs(integers.act(golden) - golden_action).max()
        lasting = np.abs(np.diff(integers.act(at_rest)) - np.diff(meant)).max()
        return float(error + STEADY * lasting)

    return min(map(candidate, STRANGE), key=badness)


def blank(policy: Policy, weight_bits: int) -> Integers:
    """Integers of the policy's shape, all of them 0."""

    def zeros(layer: Layer) -> IntegerLayer:
        bias = np.zeros(layer.bias.shape, np.int32)
        if weight_bits == 16:
            return IntegerLayer(np.zeros(layer.weight.shape, np.int16), bias, 0)
        return IntegerLayer(np.zeros(layer.weight.shape, np.int8), bias, 0, bias)

    modal = policy.modal
    if modal is None:
        return WholeIntegers(0, tuple(map(zeros, policy.layers)))
    hidden = tuple(tuple(map(zeros, parts)) for parts in modal.hidden)
    return ModalIntegers(0, modal.slots, modal.state, hidden, zeros(modal.last))


def _at_rest(contract: Contract) -> Array64:
    """(inputs, 3) hovering in its place; past actions are hover's, or all of them more, or less."""
    x = np.zeros((contract.size, 3))
    for channel in contract.channels:
        rows = contract.slices()[channel.name]
        if channel.name == "action_history":
            x[rows] = channel.scale * (contract.hover_action + ACTION * np.array([0, 1, -1]))
        elif channel.name == "rotation":
            x[rows] = channel.scale * np.eye(3).reshape(9, 1)
    return x


def _imagined(contract: Contract) -> Array64:
    """(inputs, IMAGINED) around there: actions that change slowly, a state that does anything."""
    rng = np.random.default_rng(0)
    x = _at_rest(contract)[:, :1] + STATE * rng.standard_normal((contract.size, IMAGINED))
    slots = contract.history_length
    if slots:
        scale, fresh = contract.channels[0].scale, rng.standard_normal((slots, 4, IMAGINED))
        for before, now in itertools.pairwise(fresh):
            now[:] = ALIKE * before + math.sqrt(1 - ALIKE**2) * now
        x[: 4 * slots] = scale * (contract.hover_action + ACTION * fresh).reshape(4 * slots, -1)
    return x


def _inputs(policy: Policy, x: Array64) -> list[list[Array64]]:
    """Of every layer, and of its modes where there are any: what they are fed, (inputs, n)."""
    modal = policy.modal
    if modal is None:
        fed = [[x]]
        for layer in policy.layers[:-1]:
            x = np.tanh(layer.weight @ x + layer.bias[:, None])
            fed.append([x])
        return fed
    modes, fed = modal.inputs(x), []
    for parts in modal.hidden:
        fed.append(modes)
        sums = [part.weight @ m + part.bias[:, None] for part, m in zip(parts, modes, strict=True)]
        sisters = np.tanh(fold(np.stack(sums)))
        modes = [*fold(sisters)]
    return [*fed, [sisters.reshape(-1, x.shape[1])]]


def _moments(x: Array64) -> Array64:
    """(inputs, inputs) mean products of (inputs, n)."""
    return x @ x.T / x.shape[1]


def _spread(moments: Array64, strange: float) -> Array64:
    """(inputs, inputs): row i, over its diagonal, says how later inputs make up for an error of input i."""
    if not len(moments):
        return moments
    unusual = max(strange * np.trace(moments) / len(moments), 1e-9)
    return np.linalg.cholesky(np.linalg.inv(moments + unusual * np.eye(len(moments)))).T


def _before_tanh(action: Array) -> Array64:
    return np.arctanh(np.clip(action.astype(np.float64), -UNSATURATED, UNSATURATED))


def _rounded(
    policy: Policy, largest: float, weight_bits: int, spread: list[Spreads], thrust: float = 0.0
) -> Integers:
    """``largest``: of the inputs; ``thrust``: added to the last layer's biases."""
    make = {16: _layer16, 8: _layer8}[weight_bits]
    modal = policy.modal
    if modal is None:
        bits = _bits(largest)
        *hidden, last = policy.layers
        layers = [
            make(i, [layer], TANH_BITS if i else bits, spread[i])[0]
            for i, layer in enumerate([*hidden, _biased(last, thrust)])
        ]
        return WholeIntegers(bits, tuple(layers))
    if modal.slots:
        largest = max(largest, 4 * HISTORY_MAX * policy.contract.channels[0].scale)
    bits = _bits(largest)
    parts = [make(i, layer, TANH_BITS - 2 if i else bits, spread[i]) for i, layer in enumerate(modal.hidden)]
    (end,) = make(len(parts), [_biased(modal.last, thrust)], TANH_BITS, spread[-1])
    return ModalIntegers(bits, modal.slots, modal.state, tuple(parts), end)


def _bits(largest: float) -> int:
    bits = int(np.floor(np.log2((LARGEST + 1) / largest)))
    if bits < 0:
        raise UserError(f"inputs of up to {largest / MARGIN:.3g} are too large for int16: use float32")
    return bits


def _biased(layer: Layer, by: float) -> Layer:
    return Layer(layer.weight, layer.bias + np.float32(by))


def _round(weight: Array64, spread: Array64, most: int) -> Array64:
    """(rows, inputs) to integers of at most +-most."""
    left, rounded = weight.copy(), np.empty_like(weight)
    for i in range(weight.shape[1]):
        rounded[:, i] = np.clip(np.round(left[:, i]), -most, most)
        error = (left[:, i] - rounded[:, i]) / spread[i, i]
        left[:, i + 1 :] -= error[:, None] * spread[i, i + 1 :]
    return rounded


def _layer16(
    i: int, parts: Sequence[Layer], input_bits: int, spread: Sequence[Array64]
) -> tuple[IntegerLayer, ...]:
    """With one scale for all parts, whose sums are added."""
    for bits in range(24, 0, -1):
        if max(np.abs(part.weight).max(initial=0) for part in parts) * 2.0**bits > LARGEST:
            continue
        weight = [
            _round(p.weight.astype(np.float64) * 2.0**bits, s, LARGEST)
            for p, s in zip(parts, spread, strict=True)
        ]
        bias = [np.round(part.bias.astype(np.float64) * 2.0 ** (bits + input_bits)) for part in parts]
        fits = np.sum([_most(w, b) for w, b in zip(weight, bias, strict=True)], 0).max() < 2**31
        if fits and input_bits + bits >= ARGUMENT_BITS:
            shift = input_bits + bits - ARGUMENT_BITS
            return tuple(
                IntegerLayer(w.astype(np.int16), b.astype(np.int32), shift)
                for w, b in zip(weight, bias, strict=True)
            )
    raise _saturated("int16", i, parts)


def _layer8(
    i: int, parts: Sequence[Layer], input_bits: int, spread: Sequence[Array64]
) -> tuple[IntegerLayer, ...]:
    """With one shift for all parts, whose arguments are added."""
    rows = [_rows8(part, input_bits, s) for part, s in zip(parts, spread, strict=True)]
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


def _rows8(layer: Layer, input_bits: int, spread: Array64) -> tuple[Array64, ...]:
    """Weights and biases in units of their row, and the units."""
    largest = np.abs(layer.weight).max(axis=1, initial=0).astype(np.float64)
    unit = np.maximum(largest / 127, 2.0**-20)
    while True:
        weight = _round(layer.weight.astype(np.float64) / unit[:, None], spread, 127)
        bias = np.round(layer.bias * 2.0**input_bits / unit)
        over = _most(weight, bias) >= 2**31
        if not over.any():
            return weight, bias, unit
        unit[over] *= 2  # a large bias beside small weights


def _saturated(kind: str, i: int, parts: Sequence[Layer]) -> UserError:
    largest = max(np.abs(part.weight).max(initial=0) for part in parts)
    return UserError(f"{kind}: layer {i} saturates every scale (weights to {largest:.3g}); use float32")


def _most(weight: Array64, bias: Array64) -> Array64:
    """(rows,) the largest sum, whatever the inputs."""
    return np.abs(bias) + np.abs(weight).sum(axis=1) * (LARGEST + 1)
