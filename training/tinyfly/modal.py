"""A symmetric policy in its four modes: the same function in a quarter of the multiply-adds.

Sums and differences of the four motors are thrust, pitch, roll and yaw. Of a policy that shares the
airframe's two mirrors (`mirror`), every layer falls apart in the same way: in sums and differences over the
four sisters of each hidden unit, and of each slot of the action history, a mode depends on nothing but that
mode, and of the state on the values that change their signs in mirrors as the mode does. So a layer of n x m
weights is four of (n / 4) x (m / 4). Only tanh mixes them: it wants the units themselves.

``ModalNetwork.act_exact`` defines the bits, as `network.act_exact` does for a network without mirrors: every
sum starts at the bias, its inputs are added in order (the history first, oldest slot first), one rounding for
every multiply and every add; ``fold`` is eight additions in the order given there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import tanh_exact
from tinyfly.contract import Contract
from tinyfly.mirror import Mirror
from tinyfly.network import Layer, sum_in_order

Array = NDArray[np.float32]
Index = NDArray[np.intp]

# Unit 4 g + k of a layer and motor MOTORS[k] are what a mirror with sisters k makes of 4 g and of motor 0.
MOTORS = np.array([0, 1, 3, 2])
MIRRORS = (
    Mirror(-1, 1, np.array([1, 0, 3, 2])),  # of the contract's motor order: front right, then clockwise
    Mirror(1, -1, np.array([3, 2, 1, 0])),
    Mirror(-1, -1, np.array([2, 3, 0, 1])),
)


@dataclass(frozen=True, slots=True)
class ModalNetwork:
    """A network of which every hidden layer is four small ones, a mode each; the last layer is whole."""

    slots: int  # of the action history: the first inputs of every mode
    state: tuple[Index, ...]  # of every mode, which of the contract's inputs follow them
    hidden: tuple[tuple[Layer, ...], ...]
    last: Layer  # its inputs sister by sister: units 0, 4, 8 ..., then 1, 5, 9 ...

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one step."""
        return self.last.weight.size + sum(part.weight.size for layer in self.hidden for part in layer)

    def inputs(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        """(inputs, n) as the contract has them -> those of every mode, (inputs of the mode, n)."""
        past = fold(x[: 4 * self.slots].reshape(self.slots, 4, x.shape[1])[:, MOTORS].swapaxes(0, 1))
        return [np.concatenate([p, x[i]]) for p, i in zip(past, self.state, strict=True)]

    def act_exact(self, observation: Array) -> Array:
        """(inputs, n) -> (4, n) in [-1, 1], bit for bit what the chip computes."""
        x = np.ascontiguousarray(observation, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            modes: Any = self.inputs(x)
            for layer in self.hidden:
                sums = np.stack([sum_in_order(part, m) for part, m in zip(layer, modes, strict=True)])
                sisters = tanh_exact(fold(sums))
                modes = fold(sisters)
            return tanh_exact(sum_in_order(self.last, sisters.reshape(-1, x.shape[1])))


def fold(x: NDArray[Any]) -> NDArray[Any]:
    """(4, ...) sister by sister -> mode by mode; twice, it is four times what it was."""
    front, difference = x[0] + x[1], x[0] - x[1]
    other, other_difference = x[2] + x[3], x[2] - x[3]
    return np.stack(
        [front + other, difference + other_difference, front - other, difference - other_difference]
    )


def modal(contract: Contract, layers: tuple[Layer, ...]) -> ModalNetwork | None:
    """The network in its modes, or None where there is no hidden layer or it is not exactly symmetric."""
    hidden, last = layers[:-1], layers[-1]
    if not hidden or any(len(layer.bias) % 4 for layer in hidden):
        return None
    slots = contract.history_length
    signs = _signs(contract)[:, 4 * slots :]
    mode = (signs[1] < 0) + 2 * (signs[2] < 0)
    found = []
    for i, layer in enumerate(hidden):
        split = layer.weight.shape[1] if i else 4 * slots
        units, state = np.split(layer.weight, [split], axis=1)
        units = units.reshape(len(units), split // 4, 4)[..., np.arange(4) if i else MOTORS]
        if not _symmetric(units, state, signs[:, : state.shape[1]], layer.bias):
            return None
        # Unit 4 g speaks for its sisters.
        between = fold(np.moveaxis(units[::4], -1, 0).astype(np.float64)) / 4
        bias = np.zeros((4, len(layer.bias) // 4), np.float32)
        bias[0] = layer.bias[::4]
        felt = [state[::4, mode[: state.shape[1]] == k] for k in range(4)]
        found.append(tuple(Layer(_columns(w, s), b) for w, s, b in zip(between, felt, bias, strict=True)))
    by_sister = last.weight.reshape(4, -1, 4).swapaxes(1, 2).reshape(4, -1)
    shown = tuple(4 * slots + np.flatnonzero(mode == k) for k in range(4))
    return ModalNetwork(slots, shown, tuple(found), Layer(np.ascontiguousarray(by_sister), last.bias))


def _signs(contract: Contract) -> Array:
    """(4, inputs) of every input in the mirror with those sisters; the history's motors change places."""
    signs = np.ones((4, contract.size), np.float32)
    for channel in contract.channels:
        for mirror in MIRRORS:
            signs[mirror.sisters, contract.slices()[channel.name]] = mirror.signs(channel)
    return signs


def _symmetric(units: Array, state: Array, signs: Array, bias: Array) -> bool:
    """Whether every unit k of four has what unit 0 has, in its mirror.

    ``units`` (outputs, inputs / 4, 4) are the weights of sisters, ``state`` (outputs, values) of the state.
    """
    k = np.arange(4)
    groups = len(bias) // 4
    units, state = units.reshape(groups, 4, units.shape[1], 4), state.reshape(groups, 4, state.shape[1])
    mirrored = np.moveaxis(units[:, 0][..., k[:, None] ^ k], -2, 1)
    same = (units == mirrored).all() and (state == state[:, :1] * signs).all()
    return bool(same and (bias.reshape(-1, 4) == bias[::4, None]).all())


def _columns(*parts: NDArray[Any]) -> Array:
    return np.concatenate(parts, 1).astype(np.float32)
