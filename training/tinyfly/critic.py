"""The critic: what the future costs, as a gradient. A linear costate critic, fitted in closed form.

A window of flight ends, the loss does not. What lies beyond reaches the actor only through the derivative of
the future cost by the window's last state, the costate. The reverse pass computes costates for every state
it walks through, so the critic is regression onto numbers that are already there: no bootstrapped value, no
second network to differentiate, no optimiser. Features are privileged (the true state, rotor speeds,
disturbance, airframe, latency: what the actor never sees) and pass through fixed random tanh features as
well. One weighted recursive least-squares solve per update follows the actor as it changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.episodes import DT
from tinyfly.physics import POSITION, RATE, ROTATION, ROWS, VELOCITY
from tinyfly.rollout import Rollout
from tinyfly.statistics import upper_median

Array = NDArray[np.floating]

FORGET = 0.8  # weight of an update's sums in the next one's
RIDGE = 0.01  # of the mean diagonal


class CostateCritic:
    """costate / (environments * horizon) = matrix @ features."""

    def __init__(self, rollout: Rollout, rng: np.random.Generator, random: int) -> None:
        """``random``: how many random features."""
        self.rollout, self.outputs = rollout, len(rollout.adjoint.all)
        plain = len(self._plain(0))
        self.random = (rng.standard_normal((random, plain)) / np.sqrt(12)).astype(np.float32)
        n = plain + random
        self.gram, self.moment = np.eye(n) * 0.01, np.zeros((self.outputs, n))
        self.matrix = np.zeros((self.outputs, n), np.float32)
        self.typical = 0.0  # median size of a costate

    def predict(self, t: int) -> Array:
        """(outputs, n) costates of the states at step t of the window."""
        return self.matrix @ self.features(t)

    def features(self, t: int) -> Array:
        """(features, n) of the states at step t."""
        plain = self._plain(t)
        return np.concatenate([plain, np.tanh(self.random @ plain)])

    def fit(self, features: Array, costates: Array) -> None:
        """One update from (features, m) to (outputs, m); large ones weigh less, as in Cauchy's loss."""
        size = np.sqrt(np.einsum("ij,ij->j", costates, costates))
        median = upper_median(size)
        self.typical = 0.9 * self.typical + 0.1 * median if self.typical else median
        weighted = features * ((1 / (1 + (size / max(self.typical, 1e-12)) ** 2)) / len(size)).astype(
            np.float32
        )
        self.gram = FORGET * self.gram + weighted @ features.T
        self.moment = FORGET * self.moment + costates @ weighted.T
        ridge = RIDGE * np.trace(self.gram) / len(self.gram)
        regularised = self.gram + ridge * np.eye(len(self.gram))
        self.matrix = np.linalg.solve(regularised, self.moment.T).T.astype(np.float32)

    def _plain(self, t: int) -> Array:
        """Each scaled to about 1."""
        r, e, t_last = self.rollout, self.rollout.episodes, self.rollout.actor.slots + t - 1
        x = r.physics.state[t]
        rotation = x[ROTATION].reshape(3, 3, r.n)  # [column, row]
        parts = [
            5 * x[POSITION],
            2 * x[VELOCITY],
            0.3 * x[RATE],
            1.5 * x[ROTATION],
            2 * (r.physics.rotor[t] - e.hover_action),
            r.actor.actions[t_last] - e.hover_action,
            e.force * (2 / DT),
            e.torque / 2,
            5 * np.einsum("jin,in->jn", rotation, x[POSITION]),
            2 * np.einsum("jin,in->jn", rotation, x[VELOCITY]),
            e.privileged,
            *([2 * r.integrated[t]] if r.integral else []),
            2 * r.actor.input[t, ROWS : r.differentiable],  # the specific force
            r.actor.input[t, r.differentiable + 1 :],  # the reference, now and ahead
        ]
        return np.concatenate(parts)
