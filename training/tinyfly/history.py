"""Past actions as the network sees them, in modes (`symmetry`), forwards and backwards, without a copy.

One array holds past and present, so that a step's history is a window on it. Where the history advances only
at every ``stride``-th step, a slot is the mean of as many actions, and the newest of what there was since the
history advanced (`observation.record`; the first slot of a flight is shorter there). Windows of flight begin
with an advance: their lengths must be multiples of the stride.
"""

from __future__ import annotations

import numpy as np
from numpy import add, copyto, dot, matmul, multiply, subtract
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[np.floating]


class History:
    """Of n environments, up to ``steps`` steps.

    `actions` (slots + steps, 4, n) are one for every step, whatever the stride, and so is their `adjoint`.
    """

    def __init__(
        self, n: int, steps: int, length: int, stride: int, slots: int, fold: Array, dtype: type
    ) -> None:
        """``length`` is what the network sees, ``slots`` what is kept of actions; ``fold``: `Symmetry`'s."""
        self.length, self.stride, self.slots = length, stride, slots
        self.modes, self.each = fold.shape[:2]
        self._fold: Array = np.ascontiguousarray(fold.reshape(4, 4), dtype)
        self._unfold = np.ascontiguousarray(self._fold.T)
        self.actions: Array = np.zeros((self.slots + steps, 4, n), dtype)
        self.adjoint: Array = np.zeros_like(self.actions)
        self._past: Array = np.zeros((self.modes, length - (-steps // stride), self.each, n), dtype)
        self._past_adjoint: Array = np.zeros_like(self._past)
        # The newest slot as each step sees it, where it is not complete
        self._newest: Array = np.zeros((steps + 1, self.modes, self.each, n), dtype)
        self._four: Array = np.zeros((4, n), dtype)
        self._back: Array = np.zeros((4, n), dtype)
        self._folded: Array = self._four.reshape(self.modes, self.each, n)
        self._views = [
            (self.actions[last], self.adjoint[last], self._past[:, slot], self._past_adjoint[:, slot])
            for last, slot in ((self.slots + t, length + t // stride) for t in range(steps))
        ]

    def window(self, t: int) -> Array:
        """(modes, inputs, n) view: what step t sees, slot by slot."""
        return self._window(self._past, t)

    def adjoint_window(self, t: int) -> Array:
        """(modes, inputs, n) view: the adjoint of what step t sees, to be added to."""
        return self._window(self._past_adjoint, t)

    def record(self, t: int) -> None:
        """Step t has acted."""
        action, _, slot, _ = self._views[t]
        dot(self._fold, action, out=self._four)
        before = t % self.stride
        if before:
            subtract(self._folded, slot, out=self._folded)
            multiply(self._four, 1 / (before + 1), out=self._four)
            add(slot, self._folded, out=slot)
        else:
            copyto(slot, self._folded)
        if self.stride > 1:
            copyto(self._newest[t + 1], slot)

    def clear_adjoint(self) -> None:
        """Before a reverse pass."""
        self.adjoint[:] = 0
        self._past_adjoint[:] = 0

    def reverse_record(self, t: int) -> None:
        """Adjoint of a slot -> of the action that step t recorded in it, and of the mean before that."""
        _, adjoint, _, slot = self._views[t]
        copyto(self._folded, slot)
        dot(self._unfold, self._four, out=self._back)
        if self.stride > 1:
            before = t % self.stride
            multiply(self._back, 1 / (before + 1), out=self._back)
            multiply(slot, before / (before + 1), out=slot)
        add(adjoint, self._back, out=adjoint)

    def gradient(self, adjoint: Array) -> Array:
        """Derivative by the weights of sums over what was seen, (modes, outputs, inputs).

        ``adjoint`` (steps, modes, outputs, n) is that of the sums.
        """
        inputs, n = self.each * self.length, self._past.shape[3]
        total = np.zeros((*adjoint.shape[1:3], inputs), adjoint.dtype)
        mode, slot = self._past.strides[:2]
        row = self._past.strides[2:]
        for before in range(min(self.stride, len(adjoint))):
            some, past = adjoint[before :: self.stride], self._past[:, before > 0 :]
            seen = as_strided(past, (len(some), self.modes, inputs, n), (slot, mode, *row))
            if before == 0:
                total += outer(some, seen)
            elif self.length:  # the newest slot has changed since
                complete = inputs - self.each
                total[..., :complete] += outer(some, seen[:, :, :complete])
                total[..., complete:] += outer(some, self._newest[before : len(adjoint) : self.stride])
        return total

    def carry(self, steps: int) -> None:
        """What was at the end of a window of flight is the past of the next."""
        self.actions[: self.slots] = self.actions[steps : steps + self.slots].copy()
        begun = steps // self.stride
        self._past[:, : self.length] = self._past[:, begun : begun + self.length].copy()

    def restart(self, index: NDArray[np.intp]) -> None:
        """Forget the past of some environments."""
        self.actions[: self.slots, :, index] = 0
        self._past[:, : self.length, :, index] = 0

    @property
    def tapes(self) -> tuple[Array, ...]:
        """All that the reverse pass needs of the forward one, environments last."""
        return self.actions, self._past, self._newest

    def _window(self, past: Array, t: int) -> Array:
        begun = -(-t // self.stride)
        return past[:, begun : begun + self.length].reshape(self.modes, -1, past.shape[3])


def outer(adjoint: Array, x: Array) -> Array:
    """Adjoint (steps, ..., o, n) times input (steps, ..., i, n), summed over steps and n: (..., o, i)."""
    return add.reduce(matmul(adjoint, x.swapaxes(-1, -2)), axis=0)
