"""The actor: history and state in, four actions out, and the same network backwards.

One matrix per layer, the bias its last column (the inputs end with a row of ones), so that a layer is one
matrix product. The weights' gradient needs all steps' adjoints times all steps' inputs; it is taken after the
loop in a few large products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import add, matmul, multiply, subtract, tanh
from numpy.typing import NDArray

from tinyfly.history import History, outer

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Weights:
    """(width, history + inputs), (width, width + 1), (4, width + 1)."""

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


class Actor:
    """Runs the network for up to `steps` steps of n environments and keeps what the reverse pass needs.

    Step t's action is `actions[slots + t]` (4, n); before it are those of earlier windows of flight.
    """

    def __init__(
        self, n: int, steps: int, past: History, inputs: int, differentiable: int, width: int, dtype: type
    ):
        """``inputs``: rows besides the history; the first ``differentiable`` of them carry adjoints."""

        def zeros(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        self.past, self.history, self.differentiable = past, 4 * past.length, differentiable
        self.actions, self.action_adjoint, self.slots = past.actions, past.adjoint, past.slots
        self.input = zeros(steps + 1, inputs, n)
        # The last row, of ones, is the biases' input.
        self.hidden: tuple[Array, Array] = (
            np.ones((steps, width + 1, n), dtype),
            np.ones((steps, width + 1, n), dtype),
        )
        # Adjoints before each tanh, and of every action.
        self.adjoint = (zeros(steps, width, n), zeros(steps, width, n), zeros(steps, 4, n))
        self._hidden, self._four = zeros(width, n), zeros(4, n)
        self._back = zeros(self.history + differentiable, n)
        self._back_history = self._back[: self.history].reshape(past.length, 4, n)
        self.back = self._back[self.history :]  # adjoint of the input's differentiable rows, after `reverse`
        self._forward_views = [
            (
                past.window(t),
                self.input[t],
                self.actions[self.slots + t],
                *(view for h in self.hidden for view in (h[t], h[t, :width])),
            )
            for t in range(steps)
        ]
        self._reverse_views = [
            (
                *(x[t] for x in self.adjoint),
                *(h[t, :width] for h in self.hidden),
                self.actions[self.slots + t],
                self.action_adjoint[self.slots + t],
                past.adjoint_window(t),
            )
            for t in range(steps)
        ]

    def use(self, w: Weights) -> None:
        """Take the weights for the coming passes."""
        self.weights = w
        self._past, self._state = w.first[:, : self.history], w.first[:, self.history :]
        used = self.history + self.differentiable
        self._first_t = np.ascontiguousarray(w.first[:, :used].T)
        self._second_t = np.ascontiguousarray(w.second[:, :-1].T)
        self._last_t = np.ascontiguousarray(w.last[:, :-1].T)

    def forward(self, t: int) -> None:
        """History and `input[t]` -> the action of step t."""
        past, x, action, one, one_out, two, two_out = self._forward_views[t]
        matmul(self._state, x, out=one_out)
        matmul(self._past, past, out=self._hidden)
        add(one_out, self._hidden, out=one_out)
        tanh(one_out, out=one_out)
        matmul(self.weights.second, one, out=two_out)
        tanh(two_out, out=two_out)
        matmul(self.weights.last, two, out=action)
        tanh(action, out=action)
        self.past.record(t)

    def reverse(self, t: int) -> None:
        """Adjoint of step t's action, in `action_adjoint`, -> of its history and of `input[t]` (`back`)."""
        one, two, last, y_1, y_2, y_3, action, history = self._reverse_views[t]
        self.past.reverse_record(t)
        _through_tanh(action, y_3, self._four, last)
        matmul(self._last_t, last, out=two)
        _through_tanh(two, y_2, self._hidden, two)
        matmul(self._second_t, two, out=one)
        _through_tanh(one, y_1, self._hidden, one)
        matmul(self._first_t, one, out=self._back)
        add(history, self._back_history, out=history)

    def gradient(self, steps: int) -> Weights:
        """Derivative of the loss by the weights, after the reverse pass over ``steps`` steps."""
        one, two, last = (a[:steps] for a in self.adjoint)
        return Weights(
            np.concatenate([self.past.gradient(one), outer(one, self.input[:steps])], 1),
            outer(two, self.hidden[0][:steps]),
            outer(last, self.hidden[1][:steps]),
        )


def _through_tanh(adjoint: Array, y: Array, scratch: Array, out: Array) -> None:
    """Adjoint of y = tanh(x) -> adjoint of x, times 1 - y^2."""
    multiply(y, y, out=scratch)
    multiply(scratch, adjoint, out=scratch)
    subtract(adjoint, scratch, out=out)
