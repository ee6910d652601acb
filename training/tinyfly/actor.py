"""The actor: history and state in, four actions out, and the same network backwards; in modes (`symmetry`).

A mode's layer is one matrix product, its biases the weights of an input of ones. Only tanh wants the units
themselves: modes are folded into sisters before it, and sisters into modes after it, by a matrix that is its
own inverse. The weights' gradient needs all steps' adjoints times all steps' inputs; it is taken after the
loop in a few large products.

Where a matrix is no stack and its result is contiguous, `dot` costs half a microsecond less than `matmul`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import add, dot, matmul, multiply, subtract, tanh
from numpy.typing import NDArray

from tinyfly.history import History, outer
from tinyfly.symmetry import Symmetry
from tinyfly.weights import Weights

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class _Forward:
    """One step's views, forwards. ``flat`` are (modes, units of all environments), to be folded."""

    past: Array  # of the history
    state: Array  # the input
    one: Array  # the first layer's units
    one_flat: Array
    folded: Array  # the same in modes, with the input of ones
    folded_flat: Array
    two: Array  # the second layer's units, with the input of ones
    two_units: Array
    two_flat: Array
    action: Array


@dataclass(frozen=True, slots=True)
class _Reverse:
    """One step's views, backwards: adjoints before each tanh, of the hidden layers in modes, and values."""

    one: Array
    two: Array
    last: Array
    one_flat: Array
    two_flat: Array
    one_rows: Array  # all modes' units as one matrix's
    y_one: Array  # what each tanh gave
    y_two: Array
    action: Array
    action_adjoint: Array
    past: Array  # adjoint of the history


class Actor:
    """Runs the network for up to `steps` steps of n environments and keeps what the reverse pass needs.

    Step t's action is `actions[slots + t]` (4, n); before it are those of earlier windows of flight.
    """

    def __init__(
        self,
        n: int,
        steps: int,
        past: History,
        inputs: int,
        differentiable: int,
        symmetry: Symmetry,
        dtype: type[np.floating],
    ):
        """``inputs``: rows besides the history; the first ``differentiable`` of them carry adjoints."""

        def zeros(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        self.past, self.symmetry = past, symmetry
        self.actions, self.action_adjoint, self.slots = past.actions, past.adjoint, past.slots
        modes, width = symmetry.order, symmetry.width
        units = width // modes
        self._fold = symmetry.fold.astype(dtype)
        self.input = zeros(steps + 1, inputs, n)
        # The first layer's units, and the same in modes, where the first has an input of ones; the second's.
        self._first, self._folded = zeros(steps, modes, units, n), zeros(steps, modes, units + 1, n)
        self._folded[:, 0, -1] = 1
        self._second = np.ones((steps, width + 1, n), dtype)
        # Adjoints before each tanh, of the hidden layers in modes.
        self.adjoint = (zeros(steps, modes, units, n), zeros(steps, modes, units, n), zeros(steps, 4, n))
        self._modes, self._of_state, self._sisters = (zeros(modes, units, n) for _ in range(3))
        self._units, self._scratch, self._four = self._sisters.reshape(width, n), zeros(width, n), zeros(4, n)
        self._back_past = zeros(modes, past.each * past.length, n)
        self.back = zeros(differentiable, n)  # adjoint of the input's differentiable rows, after `reverse`

        def flat(x: Array) -> Array:  # to fold it
            return x.reshape(modes, units * n)

        def rows(x: Array) -> Array:  # all modes' units as one matrix's
            return x.reshape(width, n)

        self._flat_modes, self._flat_sisters = flat(self._modes), flat(self._sisters)
        self._rows_of_state = rows(self._of_state)
        self._forward_views = [
            _Forward(
                past=past.window(t),
                state=self.input[t],
                one=self._first[t],
                one_flat=flat(self._first[t]),
                folded=self._folded[t],
                folded_flat=flat(self._folded[t, :, :-1]),
                two=self._second[t],
                two_units=self._second[t, :width],
                two_flat=flat(self._second[t, :width]),
                action=self.actions[self.slots + t],
            )
            for t in range(steps)
        ]
        first, second, last = self.adjoint
        self._reverse_views = [
            _Reverse(
                one=first[t],
                two=second[t],
                last=last[t],
                one_flat=flat(first[t]),
                two_flat=flat(second[t]),
                one_rows=rows(first[t]),
                y_one=rows(self._first[t]),
                y_two=self._second[t, :width],
                action=self.actions[self.slots + t],
                action_adjoint=self.action_adjoint[self.slots + t],
                past=past.adjoint_window(t),
            )
            for t in range(steps)
        ]

    def use(self, w: Weights) -> None:
        """Take the weights, in modes, for the coming passes; those of what a mode is deaf to do not count."""
        reach, width = self._back_past.shape[1], len(self._units)
        self._past, self._state = w.first[:, :, :reach], self.symmetry.heard(w.first[:, :, reach:])
        self._state = self._state.reshape(width, -1)
        self._between, self._last = w.second, self.symmetry.last(w.last)
        self._past_t = np.ascontiguousarray(self._past.swapaxes(1, 2))
        self._state_t = np.ascontiguousarray(self._state[:, : len(self.back)].T)
        self._between_t = np.ascontiguousarray(w.second[:, :, :-1].swapaxes(1, 2))
        self._last_t = np.ascontiguousarray(self._last[:, :-1].T)

    def forward(self, t: int) -> None:
        """History and `input[t]` -> the action of step t."""
        s = self._forward_views[t]
        modes, flat, fold = self._modes, self._flat_modes, self._fold
        dot(self._state, s.state, out=self._rows_of_state)
        matmul(self._past, s.past, out=modes)
        add(modes, self._of_state, out=modes)
        dot(fold, flat, out=s.one_flat)
        tanh(s.one, out=s.one)
        matmul(fold, s.one_flat, out=s.folded_flat)
        matmul(self._between, s.folded, out=modes)
        dot(fold, flat, out=s.two_flat)
        tanh(s.two_units, out=s.two_units)
        dot(self._last, s.two, out=s.action)
        tanh(s.action, out=s.action)
        self.past.record(t)

    def reverse(self, t: int) -> None:
        """Adjoint of step t's action, in `action_adjoint`, -> of its history and of `input[t]` (`back`)."""
        s = self._reverse_views[t]
        units, flat, fold, scratch = self._units, self._flat_sisters, self._fold, self._scratch
        self.past.reverse_record(t)
        _through_tanh(s.action_adjoint, s.action, self._four, s.last)
        dot(self._last_t, s.last, out=units)
        _through_tanh(units, s.y_two, scratch, units)
        dot(fold, flat, out=s.two_flat)
        matmul(self._between_t, s.two, out=self._modes)
        dot(fold, self._flat_modes, out=flat)
        _through_tanh(units, s.y_one, scratch, units)
        dot(fold, flat, out=s.one_flat)
        matmul(self._past_t, s.one, out=self._back_past)
        add(s.past, self._back_past, out=s.past)
        dot(self._state_t, s.one_rows, out=self.back)

    def gradient(self, steps: int) -> Weights:
        """Derivative of the loss by the weights, in modes, after the reverse pass over ``steps`` steps."""
        one, two, last = (a[:steps] for a in self.adjoint)
        state = self.symmetry.heard(outer(one, self.input[:steps, None]))
        return Weights(
            np.concatenate([self.past.gradient(one), state], 2),
            outer(two, self._folded[:steps]),
            self.symmetry.last_modes(outer(last, self._second[:steps])),
        )

    @property
    def tapes(self) -> tuple[Array, ...]:
        """All that the reverse pass needs of the forward one, environments last."""
        return (self.input, self._first, self._folded, self._second, *self.past.tapes)


def _through_tanh(adjoint: Array, y: Array, scratch: Array, out: Array) -> None:
    """Adjoint of y = tanh(x) -> adjoint of x, times 1 - y^2."""
    multiply(y, y, out=scratch)
    multiply(scratch, adjoint, out=scratch)
    subtract(adjoint, scratch, out=out)
