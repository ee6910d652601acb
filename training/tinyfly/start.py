"""Where episodes begin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, ROWS, VELOCITY

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Start:
    """Ranges of start states relative to the reference, uniform; the defaults are the paper's."""

    position_m: float = 0.2  # each axis
    angle_deg: float = 90.0  # uniform over the rotations up to this angle; 180 is any attitude
    velocity_m_s: float = 1.0  # each axis
    rate_rad_s: float = 1.0  # each axis
    level: float = 0.1  # share that starts level and at the reference's position
    rotor_speed: float = 0.5  # fraction of full speed

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float32]:
        """(17, n) states."""
        state = np.empty((ROWS, n), np.float32)
        level = rng.random(n) < self.level
        state[POSITION] = rng.uniform(-1, 1, (3, n)) * self.position_m * ~level
        angle = random_angles(rng, np.deg2rad(self.angle_deg), n) * ~level
        axis = rng.standard_normal((3, n))
        axis /= np.linalg.norm(axis, axis=0)
        state[QUATERNION] = np.concatenate([np.cos(angle / 2)[None], axis * np.sin(angle / 2)])
        state[VELOCITY] = rng.uniform(-1, 1, (3, n)) * self.velocity_m_s
        state[ANGULAR_VELOCITY] = rng.uniform(-1, 1, (3, n)) * self.rate_rad_s
        state[ROTOR_SPEED] = self.rotor_speed
        return state


def random_angles(rng: np.random.Generator, largest_rad: float, n: int) -> Array:
    """Angles of rotations drawn uniformly from all those by at most ``largest_rad``.

    Their density grows as 1 - cos(angle), whose integral angle - sin(angle) is inverted by table.
    """
    grid = np.linspace(0, np.pi, 1024)
    share = grid - np.sin(grid)
    return np.interp(rng.random(n) * np.interp(largest_rad, grid, share), share, grid)
