"""The specific force as a policy keeps it (`SpecificForce`), forwards and backwards.

Kept are the filtered force y and, in place of the slower z, what y is led by: lead (y - z) / trend. Seeing
draws that towards 0 and adds the two. Both are times FORCE_UNIT.
"""

from __future__ import annotations

import numpy as np
from numpy import add, maximum, minimum, multiply, subtract
from numpy.typing import NDArray

from tinyfly.contract import SpecificForce
from tinyfly.episodes import DT

Array = NDArray[np.floating]

FORCE_UNIT = 0.5  # of what is seen; about the size of the other inputs
ROWS = 6  # of the state and of its adjoint: the force, its lead


class Felt:
    """Of n environments, up to ``steps`` steps."""

    def __init__(
        self,
        settings: SpecificForce,
        n: int,
        steps: int,
        seen: Array,
        adjoint: Array,
        force_adjoint: Array,
        dtype: type,
    ) -> None:
        """``seen`` (steps + 1, 3, n) is filled from row 1 on; ``adjoint`` (6, n) is of the state.

        ``force_adjoint`` (3, n) is filled by `reverse`.
        """

        def three(value: float) -> Array:
            return np.full((3, n), value, dtype)

        self.settings, self.seen = settings, seen
        lead = settings.lead_s / settings.trend_s
        self.state: Array = np.zeros((steps + 1, ROWS, n), dtype)
        self.noise: Array = np.zeros((steps, 3, n), dtype)  # of every step, in m/s^2 times DT
        self._gain = three(FORCE_UNIT / settings.time_constant_s)
        self._fade = three(DT / settings.time_constant_s)
        self._lead, self._keep = three(lead), three(1 - DT / settings.trend_s)
        quiet = FORCE_UNIT * lead * settings.quiet_m_s2
        self._quiet, self._minus_quiet = three(quiet), three(-quiet)
        self._loud: Array = np.zeros((steps, 3, n), dtype)  # 1 where the lead is seen
        self._force_adjoint, self._lead_adjoint = adjoint[:3], adjoint[3:]
        self._change, self._three, self._back = three(0), three(0), force_adjoint
        self._views = [
            (x[:3], x[3:], after[:3], after[3:], self.noise[t], seen[t + 1])
            for t, (x, after) in enumerate(zip(self.state[:-1], self.state[1:], strict=True))
        ]

    def disturb(self, noise: Array) -> None:
        """Set the noise of the coming window, (steps, 3, n), in m/s^2 times DT."""
        multiply(noise, self._gain, out=self.noise[: len(noise)])

    def forward(self, t: int, force: Array) -> None:
        """The force (3, n) that acted in step t, in m/s^2 times DT, into what is seen after it."""
        felt, lead, felt_after, lead_after, noise, seen = self._views[t]
        change, three = self._change, self._three
        multiply(force, self._gain, out=change)
        add(change, noise, out=change)
        multiply(felt, self._fade, out=three)
        subtract(change, three, out=change)
        add(felt, change, out=felt_after)
        multiply(lead, self._keep, out=lead_after)
        multiply(change, self._lead, out=change)
        add(lead_after, change, out=lead_after)
        maximum(lead_after, self._minus_quiet, out=three)
        minimum(three, self._quiet, out=three)
        subtract(lead_after, three, out=three)
        add(felt_after, three, out=seen)

    def prepare_reverse(self, steps: int) -> None:
        """What the reverse pass needs of every step."""
        lead = np.abs(self.state[:steps, 3:])
        np.greater_equal(lead, self._quiet, out=self._loud[:steps], casting="unsafe")

    def reverse(self) -> None:
        """One step back, to the adjoint of the force that acted in it."""
        change, three = self._change, self._three
        multiply(self._lead_adjoint, self._lead, out=change)
        add(change, self._force_adjoint, out=change)
        multiply(self._lead_adjoint, self._keep, out=self._lead_adjoint)
        multiply(change, self._fade, out=three)
        subtract(self._force_adjoint, three, out=self._force_adjoint)
        multiply(change, self._gain, out=self._back)

    def reverse_seen(self, t: int, adjoint: Array) -> None:
        """Take in the adjoint (3, n) of what step t saw."""
        add(self._force_adjoint, adjoint, out=self._force_adjoint)
        multiply(adjoint, self._loud[t], out=self._three)
        add(self._lead_adjoint, self._three, out=self._lead_adjoint)

    def carry(self, steps: int) -> None:
        """The end of a window of flight becomes the beginning of the next."""
        self.state[0], self.seen[0] = self.state[steps], self.seen[steps]

    def restart(self, index: NDArray[np.intp]) -> None:
        """Forget the past of some environments."""
        self.state[0][:, index] = 0
        self.seen[0][:, index] = 0
