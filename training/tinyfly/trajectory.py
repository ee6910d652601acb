"""What is flown: trajectories with one interface, exact in position, velocity and acceleration.

``trajectory.at(t)``: times (T,) in s -> position, velocity, acceleration, each (3, T) float64, in m, m/s and
m/s^2 in the world frame. Times before 0 count as 0; after its end a trajectory holds its last point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]
Motion = tuple[Array, Array, Array]


class Trajectory(Protocol):
    """Anything that can be flown."""

    def at(self, t: Array) -> Motion:
        """Position, velocity, acceleration at the times (T,), each (3, T)."""
        ...


@dataclass(frozen=True)
class Hover:
    """Stay at a point."""

    point_m: Point = (0.0, 0.0, 0.0)

    def at(self, t: Array) -> Motion:
        t = np.asarray(t, float)
        still = np.zeros((3, len(t)))
        return still + np.array(self.point_m)[:, None], still, still.copy()


@dataclass(frozen=True)
class Step:
    """Jump from the origin to a point at a moment."""

    point_m: Point = (0.5, 0.0, 0.0)
    at_s: float = 1.0

    def at(self, t: Array) -> Motion:
        t = np.asarray(t, float)
        still = np.zeros((3, len(t)))
        return np.array(self.point_m)[:, None] * (t >= self.at_s), still, still.copy()


@dataclass(frozen=True)
class Circle:
    """Round and round in the plane, from (radius, 0, 0), up to speed within ``ramp_s``."""

    radius_m: float = 0.5
    period_s: float = 3.0
    ramp_s: float = 2.0

    def at(self, t: Array) -> Motion:
        phi, rate, change = _phase(t, self.period_s, self.ramp_s)
        c, s, zero = np.cos(phi), np.sin(phi), np.zeros_like(phi)
        r = self.radius_m * np.array([[c, s, zero], [-s, c, zero], [-c, -s, zero]])
        return _along(r, rate, change)


@dataclass(frozen=True)
class FigureEight:
    """x = a cos(phi), y = b sin(2 phi) / 2: the paper's, with a = b = 1, 5.5 s and a ramp of 2 s.

    phi's rate grows linearly from 0 to 2 pi / period within the ramp; the flight begins at (a, 0, 0).
    """

    period_s: float = 5.5
    a_m: float = 1.0
    b_m: float = 1.0
    ramp_s: float = 2.0

    def at(self, t: Array) -> Motion:
        phi, rate, change = _phase(t, self.period_s, self.ramp_s)
        a, b, zero = self.a_m, self.b_m, np.zeros_like(phi)
        r = np.array(
            [
                [a * np.cos(phi), b * np.sin(2 * phi) / 2, zero],
                [-a * np.sin(phi), b * np.cos(2 * phi), zero],
                [-a * np.cos(phi), -2 * b * np.sin(2 * phi), zero],
            ]
        )
        return _along(r, rate, change)


@dataclass(frozen=True)
class Zigzag:
    """Straight lines at constant speed; the corners cannot be flown exactly, so no acceleration is given."""

    size_m: Point = (0.4, 0.4, 0.0)  # forward per leg, half the width, climb per leg
    speed_m_s: float = 0.8
    legs: int = 8

    def at(self, t: Array) -> Motion:
        t = np.maximum(np.asarray(t, float), 0)
        number = np.arange(self.legs + 1)
        side = np.where(number == 0, 0, np.where(number % 2 == 1, 1, -1))
        corners = np.array(self.size_m)[:, None] * np.stack([number, side, number])
        lengths = np.linalg.norm(np.diff(corners), axis=0)
        ends = np.concatenate([[0], np.cumsum(lengths)]) / self.speed_m_s
        position = np.array([np.interp(t, ends, x) for x in corners])
        leg = np.clip(np.searchsorted(ends, t, side="right") - 1, 0, self.legs - 1)
        velocity = (np.diff(corners) / lengths * self.speed_m_s)[:, leg] * (t < ends[-1])
        return position, velocity, np.zeros_like(position)


class MinimumSnap:
    """The smoothest way through points: least integral of squared snap, at rest at both ends.

    Mellinger and Kumar, 2011: polynomials of degree 7 per segment. The unknowns are the derivatives at the
    points; those that minimise the cost come from one linear system (Richter et al., 2013).
    """

    def __init__(self, points_m: Array, duration_s: Array) -> None:
        """``points_m`` (3, k + 1), ``duration_s`` (k,) of each segment."""
        points, self._duration = np.asarray(points_m, float), np.asarray(duration_s, float)
        k = len(self._duration)
        # position, velocity, acceleration, jerk at each of k + 1 points; a segment takes those of two
        hessian = np.zeros((4 * (k + 1), 4 * (k + 1)))
        to_coefficients = []
        for i, T in enumerate(self._duration):
            inverse = np.linalg.inv(np.vstack([_derivatives(0.0), _derivatives(T)]))
            cost = inverse.T @ _snap_cost(T) @ inverse
            hessian[4 * i : 4 * i + 8, 4 * i : 4 * i + 8] += cost
            to_coefficients.append(inverse)
        known = np.zeros(4 * (k + 1), bool)
        known[::4] = True  # positions
        known[:4] = known[-4:] = True  # rest at the ends
        values = np.zeros((4 * (k + 1), 3))
        values[::4] = points.T
        free = ~known
        values[free] = np.linalg.solve(
            hessian[np.ix_(free, free)], -hessian[np.ix_(free, known)] @ values[known]
        )
        self._coefficients = np.stack([m @ values[4 * i : 4 * i + 8] for i, m in enumerate(to_coefficients)])
        self._ends = np.concatenate([[0], np.cumsum(self._duration)])

    @staticmethod
    def random(
        rng: np.random.Generator, points: int = 6, size_m: float = 1.0, speed_m_s: float = 0.8
    ) -> MinimumSnap:
        """From the origin through random points of a box of half width ``size_m``, at about ``speed_m_s``."""
        p = np.concatenate([np.zeros((3, 1)), rng.uniform(-size_m, size_m, (3, points))], axis=1)
        p[2] *= 0.5
        length = np.linalg.norm(np.diff(p), axis=0)
        return MinimumSnap(p, np.maximum(length / speed_m_s, 0.5))

    @property
    def duration_s(self) -> float:
        return float(self._ends[-1])

    def at(self, t: Array) -> Motion:
        t = np.clip(np.asarray(t, float), 0, self._ends[-1])
        segment = np.clip(np.searchsorted(self._ends, t, side="right") - 1, 0, len(self._duration) - 1)
        c, local = self._coefficients[segment], t - self._ends[segment]  # (T, 8, 3)
        basis = np.stack([_derivatives(x)[:3] for x in local])  # (T, 3, 8)
        p, v, a = np.einsum("tdk,tkx->dxt", basis, c)
        return p, v, a


def sample(trajectory: Trajectory, t: Array, preview_s: tuple[float, ...] = ()) -> NDArray[np.float32]:
    """(T, 9 + 3 k) float32 rows of a reference (see `state`) at the times ``t`` (T,)."""
    t = np.asarray(t, float)
    ahead = [trajectory.at(t + lead)[2] for lead in preview_s]
    return np.concatenate([*trajectory.at(t), *ahead]).T.astype(np.float32)


def _phase(t: Array, period_s: float, ramp_s: float) -> Motion:
    """An angle and its two derivatives: rate growing linearly to 2 pi / period within the ramp."""
    t = np.maximum(np.asarray(t, float), 0)
    rate = 2 * np.pi / period_s
    if ramp_s <= 0:
        return rate * t, np.full_like(t, rate), np.zeros_like(t)
    ramping = t < ramp_s
    phi = rate * np.where(ramping, t * t / (2 * ramp_s), t - ramp_s / 2)
    return phi, rate * np.minimum(t / ramp_s, 1), np.where(ramping, rate / ramp_s, 0.0)


def _along(r: Array, rate: Array, change: Array) -> Motion:
    """A curve and its derivatives by the angle, (3, 3, T), run through at a rate: the chain rule."""
    return r[0], r[1] * rate, r[2] * rate**2 + r[1] * change


def _derivatives(t: float) -> Array:
    """(4, 8): position, velocity, acceleration, jerk at t of the monomials 1, t .. t^7."""
    rows = np.zeros((4, 8))
    for d in range(4):
        for k in range(d, 8):
            rows[d, k] = np.prod(np.arange(k - d + 1, k + 1)) * t ** (k - d)
    return rows


def _snap_cost(T: float) -> Array:
    """(8, 8): integral over 0..T of the squared fourth derivative, a quadratic form of the coefficients."""
    cost = np.zeros((8, 8))
    for i in range(4, 8):
        for j in range(4, 8):
            factor = np.prod(np.arange(i - 3, i + 1)) * np.prod(np.arange(j - 3, j + 1))
            cost[i, j] = factor * T ** (i + j - 7) / (i + j - 7)
    return cost
