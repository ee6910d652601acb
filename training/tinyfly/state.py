"""The rows of a state: one array per simulation, one row per component, one column per environment.

A state is ``(17, n)``; its first 13 rows are what a flight controller estimates, in the protocol's order.
Frames: position and velocity world (z up), quaternion w x y z body to world, angular velocity body.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

POSITION = slice(0, 3)  # m
QUATERNION = slice(3, 7)  # unit, w x y z
VELOCITY = slice(7, 10)  # m/s
ANGULAR_VELOCITY = slice(10, 13)  # rad/s
ROTOR_SPEED = slice(13, 17)  # fraction of full speed, M1..M4
SENSED = slice(0, 13)  # without the rotors
ROWS = 17

# A reference is (9 + 3 k, n) or (9 + 3 k, 1): position, velocity, acceleration, then k accelerations ahead.
REFERENCE_POSITION = slice(0, 3)
REFERENCE_VELOCITY = slice(3, 6)
REFERENCE_ACCELERATION = slice(6, 9)
REFERENCE_PREVIEW = slice(9, None)


def euler_rad(q: Array) -> Array:
    """Roll, pitch, yaw (3,) about x, y, z of a unit quaternion w x y z (4,), for people to read."""
    w, x, y, z = (float(v) for v in q)
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = math.asin(min(max(2 * (w * y - z * x), -1.0), 1.0))
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return np.array([roll, pitch, yaw])
