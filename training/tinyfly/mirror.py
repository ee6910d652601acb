"""Mirror images of a quadrotor: what a reflection does to everything that the contract names.

Reflect vehicle and world left to right, or front to back: the same physics, with M1..M4 in each other's
places, turning the other way. The two reflections and the half turn that both make are a group of four, and
of every four sisters (hidden units, motors) each sees what the others see in a mirror.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Layout
from tinyfly.contract import Channel

Array = NDArray[np.floating]
Index = NDArray[np.intp]

TOLERANCE = 1e-3  # of levers, relative to the mean one


@dataclass(frozen=True, slots=True)
class Mirror:
    """A reflection in the plane x = 0, in y = 0, or in both, which is half a turn."""

    x: int  # -1 where the axis is turned round
    y: int
    motors: Index  # (4,) which motor is found in each one's place

    @property
    def polar(self) -> Array:
        """Signs (3,) of position, velocity, acceleration and force, in the world and in the body."""
        return np.array([self.x, self.y, 1.0])

    @property
    def axial(self) -> Array:
        """Signs (3,) of angular velocity and torque."""
        return self.x * self.y * self.polar

    @property
    def rotation(self) -> Array:
        """Signs (9,) of a rotation matrix, by rows or by columns."""
        return np.outer(self.polar, self.polar).ravel()

    def signs(self, channel: Channel) -> Array:
        """Signs (size,) of a channel's values; the action history has none, its motors change places."""
        match channel.name:
            case "action_history":
                return np.ones(channel.size)
            case "rotation":
                return self.rotation
            case "angular_velocity" | "angular_acceleration":
                return self.axial
        return np.tile(self.polar, channel.size // 3)

    @property
    def sisters(self) -> int:
        """With all three mirrors, units i and i ^ sisters of a hidden layer are each other's image."""
        return (self.x < 0) + 2 * (self.y < 0)


def mirrors(layout: Layout) -> list[Mirror]:
    """The reflections that map a layout's levers (3, 4) onto themselves: none, one or all three."""
    levers = np.array(layout)
    found = []
    for x, y in ((-1, 1), (1, -1), (-1, -1)):
        image = Mirror(x, y, np.arange(4)).axial[:, None] * levers
        apart = np.abs(levers[:, :, None] - image[:, None, :]).max(0)  # (motor, image of motor)
        motors = apart.argmin(0)
        if apart.min(0).max() <= TOLERANCE and len(set(motors)) == 4:
            found.append(Mirror(x, y, motors))
    return found if len(found) != 2 else found[:1]  # any two make the third, which only just was not found
