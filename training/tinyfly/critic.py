"""The critic: what the future costs, as a gradient. A linear costate critic, fitted in closed form.

A window of flight ends, the loss does not. What lies beyond reaches the actor only through the derivative of
the future cost by the window's last state, the costate. The reverse pass computes costates for every state
it walks through, so the critic is regression onto numbers that are already there: no bootstrapped value, no
second network to differentiate, no optimiser. Features are privileged (the true state, rotor speeds,
disturbance, airframe, latency: what the actor never sees) and pass through fixed random tanh features as
well. One weighted recursive least-squares solve every second update follows the actor as it changes. The
costate of a mirrored state is the mirrored costate, so the critic has the actor's modes (`symmetry`): a
regression for each of them, from what it hears onto what it hears, and every state teaches as four would.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.episodes import DT
from tinyfly.physics import POSITION, RATE, ROTATION, VELOCITY
from tinyfly.rollout import Rollout
from tinyfly.statistics import upper_median

Array = NDArray[np.floating]

FORGET = 0.8  # weight of a fit's sums in the next one's
RIDGE = 0.01  # of the mean diagonal


class CostateCritic:
    """costate * environments * horizon = matrix @ features, mode by mode."""

    def __init__(self, rollout: Rollout, rng: np.random.Generator, random: int) -> None:
        """``random``: how many random features, shared out among the modes."""
        self.rollout, modes = rollout, rollout.symmetry.order
        self.fold = rollout.symmetry.fold.astype(np.float32)
        body = [("axial", 3), ("polar", 6), ("rotation", 9), ("motors", 4)]
        turning = 3 * bool(rollout.turning)
        costate = [*body, ("polar", len(rollout.adjoint.extra) - turning), ("axial", turning)]
        self.basis = rollout.symmetry.basis([(kind, len(x)) for kind, x in self._values(0)])
        self.costate_basis = rollout.symmetry.basis(costate)
        plain, heard = self.basis.shape[1], self.costate_basis.shape[1]
        # Sisters' sums of independent modes are smaller than those of all values by the root of the modes.
        random_weights = rng.standard_normal((modes, random // modes, plain)) * np.sqrt(modes / 12)
        self.random = random_weights.astype(np.float32)
        n = plain + random // modes
        self.gram, self.moment = np.tile(np.eye(n) * 0.01, (modes, 1, 1)), np.zeros((modes, heard, n))
        self.matrix = np.zeros((modes, heard, n), np.float32)
        self.typical = 0.0  # median size of a costate

    def predict(self, t: int) -> Array:
        """(rows of the adjoint, n) costates of the states at step t of the window."""
        return np.tensordot(self.costate_basis, self.matrix @ self.features(t), ((0, 1), (0, 1)))

    def features(self, t: int) -> Array:
        """(modes, features, n) of the states at step t."""
        plain = self.basis @ self._plain(t)
        return np.concatenate([plain, self._fold(np.tanh(self._fold(self.random @ plain)))], 1)

    def fit(self, features: Array, costates: Array) -> None:
        """One update from (modes, features, m) to (rows, m); large ones weigh less, as in Cauchy's loss."""
        size = np.sqrt(np.einsum("ij,ij->j", costates, costates))
        median = upper_median(size)
        self.typical = 0.9 * self.typical + 0.1 * median if self.typical else median
        # Those of lost environments are nought, and say nothing.
        weight = (size > 0) / (1 + (size / max(self.typical, 1e-12)) ** 2) / len(size)
        weighted = (features * weight.astype(np.float32)).swapaxes(1, 2)
        self.gram = FORGET * self.gram + features @ weighted
        self.moment = FORGET * self.moment + (self.costate_basis @ costates) @ weighted
        ridge = RIDGE * np.einsum("jff->", self.gram) / (len(self.gram) * self.gram.shape[1])
        regularised = self.gram + ridge * np.eye(self.gram.shape[1])
        self.matrix = (
            np.linalg.solve(regularised, self.moment.swapaxes(1, 2)).swapaxes(1, 2).astype(np.float32)
        )

    def _fold(self, x: Array) -> Array:
        """Sisters -> modes, or back."""
        return (self.fold @ x.reshape(len(x), -1)).reshape(x.shape)

    def _plain(self, t: int) -> Array:
        """(values, n), each scaled to about 1."""
        return np.concatenate([x for _, x in self._values(t)])

    def _values(self, t: int) -> list[tuple[str, Array]]:
        """What they are: a kind, which says what mirrors do to it (`Symmetry.basis`), and its (rows, n)."""
        r, e, t_last = self.rollout, self.rollout.episodes, self.rollout.actor.slots + t - 1
        x = r.physics.state[t]
        rotation = x[ROTATION].reshape(3, 3, r.n)  # [column, row]
        return [
            ("polar", 5 * x[POSITION]),
            ("polar", 2 * x[VELOCITY]),
            ("axial", 0.3 * x[RATE]),
            ("rotation", 1.5 * x[ROTATION]),
            ("motors", 2 * (r.physics.rotor[t] - e.hover_action)),
            ("motors", r.actor.actions[t_last] - e.hover_action),
            ("polar", e.force * (2 / DT)),
            ("axial", e.torque / 2),
            ("polar", 5 * np.einsum("jin,in->jn", rotation, x[POSITION])),
            ("polar", 2 * np.einsum("jin,in->jn", rotation, x[VELOCITY])),
            ("scalar", e.privileged),
            *([("motors", 10 * e.imbalance)] if e.unbalanced else []),
            *([("polar", 2 * r.integrated[t])] if r.integral else []),
            *([("polar", 2 * r.actor.input[t, r.kept_rows["specific_force"]])] if r.felt else []),
            *([("axial", r.actor.input[t, r.kept_rows["angular_acceleration"]])] if r.turning else []),
            ("polar", r.actor.input[t, r.differentiable + 1 :]),  # the reference, now and ahead
        ]
