"""The angular acceleration as a policy keeps it (`AngularAcceleration`), forwards and backwards.

a' = a + (w' - w - a dt) / time_constant; kept and seen are times TURNING_UNIT.
"""

from __future__ import annotations

import numpy as np
from numpy import add, multiply, subtract
from numpy.typing import NDArray

from tinyfly.contract import AngularAcceleration
from tinyfly.episodes import DT

Array = NDArray[np.floating]

TURNING_UNIT = 0.02  # of what is seen; about the size of the other inputs
ROWS = 3  # of the state and of its adjoint


class Turning:
    """Of n environments, up to ``steps`` steps."""

    def __init__(self, settings: AngularAcceleration, rate: Array, seen: Array, adjoint: Array) -> None:
        """Reads the angular velocity, ``rate`` (steps + 1, 3, n), and fills ``seen``, alike, from row 1 on.

        ``adjoint`` (3, n) is of the state.
        """
        self.seen, self.noise = seen, np.zeros_like(rate[1:])
        self._adjoint = adjoint
        self._gain = np.full_like(adjoint, TURNING_UNIT / settings.time_constant_s)
        self._keep = np.full_like(adjoint, 1 - DT / settings.time_constant_s)
        self._three, self._back = np.zeros_like(adjoint), np.zeros_like(adjoint)
        self._views = [
            (rate[t], rate[t + 1], seen[t], seen[t + 1], noise) for t, noise in enumerate(self.noise)
        ]

    def disturb(self, noise: Array) -> None:
        """Set what noise adds to the changes of rate of the coming window, (steps, 3, n), rad/s."""
        multiply(noise, self._gain, out=self.noise[: len(noise)])

    def forward(self, t: int) -> None:
        """What the angular velocity gained in step t, into what is seen after it."""
        rate, rate_after, seen, seen_after, noise = self._views[t]
        subtract(rate_after, rate, out=self._three)
        multiply(self._three, self._gain, out=self._three)
        add(self._three, noise, out=self._three)
        multiply(seen, self._keep, out=seen_after)
        add(seen_after, self._three, out=seen_after)

    def reverse(self, rate_after: Array) -> None:
        """One step back, to the adjoint of the angular velocity after it, (3, n)."""
        multiply(self._adjoint, self._gain, out=self._back)
        add(rate_after, self._back, out=rate_after)
        multiply(self._adjoint, self._keep, out=self._adjoint)

    def reverse_before(self, rate: Array) -> None:
        """To that of the angular velocity before the step."""
        subtract(rate, self._back, out=rate)

    def reverse_seen(self, adjoint: Array) -> None:
        """Take in the adjoint (3, n) of what a step saw."""
        add(self._adjoint, adjoint, out=self._adjoint)

    def carry(self, steps: int) -> None:
        """The end of a window of flight becomes the beginning of the next."""
        self.seen[0] = self.seen[steps]

    def restart(self, index: NDArray[np.intp]) -> None:
        """Forget the past of some environments."""
        self.seen[0][:, index] = 0
