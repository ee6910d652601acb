"""Past actions as the network sees them, forwards and backwards, without a copy.

One array holds past and present, so that a step's history is a window on it. Where the history advances only
at every ``stride``-th step, that array is of slots, each the mean of as many actions, and the newest of what
there was since the history advanced (`observation.record`; the first slot of a flight is shorter there).
Windows of flight begin with an advance: their lengths must be multiples of the stride.
"""

from __future__ import annotations

import numpy as np
from numpy import add, copyto, matmul, multiply, subtract
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[np.floating]

OLD_ACTIONS = 4  # are kept at least: the change of action and the latency refer to them


class History:
    """Of n environments, up to ``steps`` steps.

    `actions` (slots + steps, 4, n) are one for every step, whatever the stride, and so is their `adjoint`.
    """

    def __init__(self, n: int, steps: int, length: int, stride: int, dtype: type) -> None:
        """``length`` slots."""
        self.length, self.stride = length, stride
        self.slots = max(OLD_ACTIONS, length if stride == 1 else 0)
        self.actions: Array = np.zeros((self.slots + steps, 4, n), dtype)
        self.adjoint: Array = np.zeros_like(self.actions)
        self._past: Array = self.actions[self.slots - length :]
        self._past_adjoint: Array = self.adjoint[self.slots - length :]
        if stride > 1:
            self._past = np.zeros((length - (-steps // stride), 4, n), dtype)
            self._past_adjoint = np.zeros_like(self._past)
        # The newest slot as each step sees it, where it is not complete.
        self._newest: Array = np.zeros((steps + 1, 4, n), dtype)
        self._four: Array = np.zeros((4, n), dtype)

    def window(self, t: int) -> Array:
        """(4 * length, n) view: what step t sees."""
        return self._window(self._past, t).reshape(4 * self.length, self._past.shape[2])

    def adjoint_window(self, t: int) -> Array:
        """(length, 4, n) view: the adjoint of what step t sees, to be added to."""
        return self._window(self._past_adjoint, t)

    def record(self, t: int) -> None:
        """Step t has acted."""
        if self.stride == 1:
            return
        action, slot, before = self.actions[self.slots + t], self._past[self._slot(t)], t % self.stride
        if before:
            subtract(action, slot, out=self._four)
            multiply(self._four, 1 / (before + 1), out=self._four)
            add(slot, self._four, out=slot)
        else:
            copyto(slot, action)
        copyto(self._newest[t + 1], slot)

    def clear_adjoint(self) -> None:
        """Before a reverse pass."""
        self.adjoint[:] = 0
        self._past_adjoint[:] = 0

    def reverse_record(self, t: int) -> None:
        """Adjoint of a slot -> of the action that step t recorded in it, and of the mean before that."""
        if self.stride == 1:
            return
        adjoint, slot, before = (
            self.adjoint[self.slots + t],
            self._past_adjoint[self._slot(t)],
            t % self.stride,
        )
        multiply(slot, 1 / (before + 1), out=self._four)
        add(adjoint, self._four, out=adjoint)
        multiply(slot, before / (before + 1), out=slot)

    def gradient(self, adjoint: Array) -> Array:
        """(outputs, 4 * length): derivative by the weights of (steps, outputs, n) sums over what was seen."""
        total = np.zeros((adjoint.shape[1], 4 * self.length), adjoint.dtype)
        for before in range(min(self.stride, len(adjoint))):
            some, past = adjoint[before :: self.stride], self._past[before > 0 :]
            seen = as_strided(past, (len(some), 4 * self.length, past.shape[2]), past.strides)
            if before == 0:
                total += outer(some, seen)
            elif self.length:  # the newest slot has changed since
                total[:, :-4] += outer(some, seen[:, :-4])
                total[:, -4:] += outer(some, self._newest[before : len(adjoint) : self.stride])
        return total

    def carry(self, steps: int) -> None:
        """What was at the end of a window of flight is the past of the next."""
        self.actions[: self.slots] = self.actions[steps : steps + self.slots].copy()
        if self.stride > 1:
            begun = steps // self.stride
            self._past[: self.length] = self._past[begun : begun + self.length].copy()

    def restart(self, index: NDArray[np.intp]) -> None:
        """Forget the past of some environments."""
        self.actions[: self.slots, :, index] = 0
        self._past[: self.length, :, index] = 0

    def copy(self, donor: int, index: NDArray[np.intp]) -> None:
        """Replace some environments' actions by another's."""
        for tape in (self.actions, self._past, self._newest):
            tape[..., index] = tape[..., donor, None]

    def _slot(self, t: int) -> int:
        return self.length + t // self.stride

    def _window(self, past: Array, t: int) -> Array:
        begun = -(-t // self.stride)
        return past[begun : begun + self.length]


def outer(adjoint: Array, x: Array) -> Array:
    """Sum over steps and environments of adjoint times input: (steps, o, n), (steps, i, n) -> (o, i)."""
    return add.reduce(matmul(adjoint, x.transpose(0, 2, 1)), axis=0)
