"""What a window of flight costs, and the derivatives of that which the reverse pass starts from."""

from __future__ import annotations

import numpy as np
from numpy import maximum, minimum, multiply
from numpy.typing import NDArray

from tinyfly.physics import POSITION, RATE, ROTATION, ROWS, VELOCITY
from tinyfly.task import Loss

Array = NDArray[np.floating]


class Cost:
    """Of n environments, up to ``steps`` steps."""

    def __init__(
        self, weights: Loss, steps: int, n: int, hover_action: Array, dtype: type[np.floating]
    ) -> None:
        """``hover_action`` (4, n) is read anew at every call."""
        self.weights, self.n, self.hover_action, self.dtype = weights, n, hover_action, dtype
        self.upright = np.zeros(
            (steps, 9, n), dtype
        )  # the attitude that would hold the vehicle at the reference
        self.pull = np.zeros((steps, ROWS, n), dtype)  # derivative of a step's cost by the state it leads to

    def aim(self, push: Array) -> None:
        """Set ``upright`` from (steps, 3, n) pushes: columns of the rotation whose z points against them.

        The least turn from level, heading along x: there, thrust along z balances the push.
        """
        out = self.upright[: len(push)]
        z = push / -np.sqrt(np.square(push).sum(1, keepdims=True))
        x, y, up = z[:, 0], z[:, 1], z[:, 2]
        share = 1 / np.maximum(1 + up, 0.1)
        out[:, 0], out[:, 1], out[:, 2] = 1 - x * x * share, -x * y * share, -x
        out[:, 3], out[:, 4], out[:, 5] = out[:, 1], 1 - y * y * share, -y
        out[:, 6:9] = z

    def each(self, states: Array, actions: Array) -> Array:
        """(steps, n) costs of (steps, 18, n) states and the (1 + steps, 4, n) actions before them."""
        w, x = self.weights, states
        far = np.abs(x[:, POSITION])
        near = minimum(far, w.linear_m)
        total = w.position * _inner(near, 2 * far - near) + w.velocity * _square(x[:, VELOCITY])
        aligned = _inner(x[:, ROTATION], self.upright[: len(x)])
        total += w.rate * _square(x[:, RATE]) + w.attitude * ((3 - aligned) / 4)
        total += w.action * _square(actions[1:] - self.hover_action)
        return total + w.change * _square(np.diff(actions, axis=0))

    def differentiate(self, states: Array, actions: Array, action_adjoint: Array) -> None:
        """Derivatives of the mean of ``each``: by states, to ``pull``; by actions, to its adjoint."""
        w, steps = self.weights, len(states)
        share = 2 / (self.n * steps)
        weight = np.zeros((ROTATION.start, self.n), self.dtype)
        weight[RATE], weight[VELOCITY], weight[POSITION] = (
            share * w.rate,
            share * w.velocity,
            share * w.position,
        )
        multiply(states[:, : len(weight)], weight, out=self.pull[:steps, : len(weight)])
        most, pull = share * w.position * w.linear_m, self.pull[:steps, POSITION]
        maximum(minimum(pull, most, out=pull), -most, out=pull)
        multiply(self.upright[:steps], -w.attitude * share / 8, out=self.pull[:steps, ROTATION])
        action_adjoint[1:] += (actions[1:] - self.hover_action) * self.dtype(share * w.action)
        change = np.diff(actions, axis=0) * self.dtype(share * w.change)
        action_adjoint[1:] += change
        action_adjoint[:-1] -= change


def _inner(a: Array, b: Array) -> Array:
    """(steps, rows, n) of both -> (steps, n)"""
    return np.einsum("tin,tin->tn", a, b)


def _square(x: Array) -> Array:
    return _inner(x, x)
