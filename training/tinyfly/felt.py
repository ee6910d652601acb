"""The specific force as a policy keeps it (`SpecificForce`), forwards and backwards.

Two filters in a row, y and the slower z; seen is y + lead * (y - z) / trend, the sum of (1 + lead / trend) y
and -lead / trend z. These two are what is kept here, times FORCE_UNIT, so that seeing is one addition.
"""

from __future__ import annotations

import numpy as np
from numpy import add, multiply
from numpy.typing import NDArray

from tinyfly.contract import SpecificForce
from tinyfly.episodes import DT

Array = NDArray[np.floating]

FORCE_UNIT = 0.5  # of what is seen; about the size of the other inputs
ROWS = 6  # of the state and of its adjoint


class Felt:
    """Of n environments, up to ``steps`` steps."""

    def __init__(
        self, settings: SpecificForce, n: int, steps: int, seen: Array, adjoint: Array, dtype: type
    ) -> None:
        """``seen`` (steps + 1, 3, n) is filled from row 1 on; ``adjoint`` (6, n) is of the state."""
        self.settings, self.seen = settings, seen
        lead = settings.lead_s / settings.trend_s
        self.state: Array = np.zeros((steps + 1, ROWS, n), dtype)
        self.noise: Array = np.zeros((steps, 3, n), dtype)  # of every step, in m/s^2 times DT
        self._gain: Array = np.full((3, n), FORCE_UNIT * (1 + lead) / settings.time_constant_s, dtype)
        self._keep: Array = np.full((ROWS, n), 1 - DT / settings.time_constant_s, dtype)
        self._keep[3:] = 1 - DT / settings.trend_s
        self._slow_gain: Array = np.full((3, n), -lead / (1 + lead) * DT / settings.trend_s, dtype)
        self._adjoint, self._fast_adjoint, self._slow_adjoint = adjoint, adjoint[:3], adjoint[3:]
        self._three: Array = np.zeros((3, n), dtype)
        self._back: Array = np.zeros((3, n), dtype)
        self._views = [
            (x, x[:3], after, after[:3], after[3:], self.noise[t], seen[t + 1])
            for t, (x, after) in enumerate(zip(self.state[:-1], self.state[1:], strict=True))
        ]

    def disturb(self, noise: Array) -> None:
        """Set the noise of the coming window, (steps, 3, n), in m/s^2 times DT."""
        multiply(noise, self._gain, out=self.noise[: len(noise)])

    def forward(self, t: int, force: Array) -> None:
        """The force (3, n) that acted in step t, in m/s^2 times DT, into what is seen after it."""
        state, fast, after, fast_after, slow_after, noise, seen = self._views[t]
        three = self._three
        multiply(state, self._keep, out=after)
        multiply(force, self._gain, out=three)
        add(fast_after, three, out=fast_after)
        add(fast_after, noise, out=fast_after)
        multiply(fast, self._slow_gain, out=three)
        add(slow_after, three, out=slow_after)
        add(fast_after, slow_after, out=seen)

    def reverse(self) -> Array:
        """One step back; the adjoint (3, n) of the force that acted in it, until the next call."""
        multiply(self._fast_adjoint, self._gain, out=self._back)
        multiply(self._slow_adjoint, self._slow_gain, out=self._three)
        multiply(self._adjoint, self._keep, out=self._adjoint)
        add(self._fast_adjoint, self._three, out=self._fast_adjoint)
        return self._back

    def reverse_seen(self, adjoint: Array) -> None:
        """Take in the adjoint (3, n) of what was seen."""
        add(self._fast_adjoint, adjoint, out=self._fast_adjoint)
        add(self._slow_adjoint, adjoint, out=self._slow_adjoint)

    def carry(self, steps: int) -> None:
        """The end of a window of flight becomes the beginning of the next."""
        self.state[0], self.seen[0] = self.state[steps], self.seen[steps]

    def restart(self, index: NDArray[np.intp]) -> None:
        """Forget the past of some environments."""
        self.state[0][:, index] = 0
        self.seen[0][:, index] = 0
