"""What the chip's set-points mean, in float64: the reference that a flight is judged by, and the twin flies.

Written from the formulas, not from the firmware: a mistake on either side shows as a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.trajectory import Hover, Motion, Trajectory

Array = NDArray[Any]

WAYPOINT_ACCELERATION_M_S2 = 5.0  # the firmware's limit on a leg's peak acceleration


def path(kind: str, values: Sequence[float], start_m: Array) -> Trajectory:
    """The path of a set-point, values as in docs/protocol.md, first flown at ``start_m`` (3,)."""
    match kind:
        case "position":
            return Hover((values[0], values[1], values[2]))
        case "hover":
            return Hover((float(start_m[0]), float(start_m[1]), float(start_m[2])))
        case "figure_eight":
            return FigureEight(np.array(values[:3]), *values[3:7])
        case "waypoints":
            points = np.reshape(values[2 : 2 + 3 * round(values[1])], (-1, 3))
            return Waypoints(np.array([start_m, *points]), values[0])
    raise UserError(f"a {kind} set-point has no path: expected position, hover, figure_eight or waypoints")


@dataclass(frozen=True)
class FigureEight:
    """x = a cos(phi), y = b sin(2 phi) / 2 about the centre, phi from a quarter turn: the centre itself.

    phi' grows linearly from 0 to 2 pi / period within the ramp.
    """

    centre_m: Array
    a_m: float
    b_m: float
    period_s: float
    ramp_s: float

    def at(self, t: Array) -> Motion:
        """Position, velocity, acceleration (3, T) at the times (T,)."""
        t = np.asarray(t, float)
        rate = 2 * np.pi / self.period_s
        ramping = t < self.ramp_s
        share = np.where(ramping, t / max(self.ramp_s, 1e-9), 1.0)
        phi = np.pi / 2 + rate * np.where(ramping, share * t / 2, t - self.ramp_s / 2)
        d1, d2 = rate * share, np.where(ramping, rate / max(self.ramp_s, 1e-9), 0.0)
        zero = np.zeros_like(phi)
        r = np.array([self.a_m * np.cos(phi), self.b_m * np.sin(2 * phi) / 2, zero])
        r1 = np.array([-self.a_m * np.sin(phi), self.b_m * np.cos(2 * phi), zero])
        r2 = np.array([-self.a_m * np.cos(phi), -2 * self.b_m * np.sin(2 * phi), zero])
        return self.centre_m[:, None] + r, r1 * d1, r2 * d1**2 + r1 * d2


@dataclass(frozen=True)
class Waypoints:
    """Straight legs, at rest at every point: s(x) = 10 x^3 - 15 x^4 + 6 x^5 along each.

    A leg takes the shortest time that keeps its peak speed (15/8 of the mean) and its peak acceleration
    (10/sqrt(3) of length / T^2) within the limits.
    """

    points_m: Array  # (n + 1, 3), the start first
    speed_m_s: float

    def at(self, t: Array) -> Motion:
        """Position, velocity, acceleration (3, T) at the times (T,)."""
        t = np.asarray(t, float)
        legs = np.diff(self.points_m, axis=0)
        length = np.linalg.norm(legs, axis=1)
        by_speed = 15 / 8 * length / self.speed_m_s
        by_acceleration = np.sqrt(10 / np.sqrt(3) * length / WAYPOINT_ACCELERATION_M_S2)
        duration = np.maximum(by_speed, by_acceleration)
        ends = np.concatenate([[0], np.cumsum(duration)])
        i = np.clip(np.searchsorted(ends, t, side="right") - 1, 0, len(legs) - 1)
        safe = np.maximum(duration[i], 1e-9)
        x = np.clip((t - ends[i]) / safe, 0, 1)
        leg, moving = legs[i].T, (x < 1)
        s = x**3 * (10 - 15 * x + 6 * x**2)
        s1 = 30 * x**2 * (1 - x) ** 2 / safe * moving
        s2 = 60 * x * (1 - x) * (1 - 2 * x) / safe**2 * moving
        return self.points_m[i].T + leg * s, leg * s1, leg * s2
