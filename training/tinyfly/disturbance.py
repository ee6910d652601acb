"""What makes flying hard besides the airframe: wind and torque, noise and bias, commands that come late.

Randomness comes in as a Generator; what is drawn never depends on what the controller does, so two policies
given the same seed meet the same gusts and the same noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, VELOCITY

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Wind:
    """Force and torque on the body; standard deviations per axis, in shares of the weight.

    The defaults are the paper's, constant per episode: force weight/20, torque weight/10000 (N -> Nm).
    ``gust`` adds a force that wanders (Ornstein-Uhlenbeck) with correlation time ``gust_s``.
    """

    force: float = 1 / 20
    torque_m: float = 1e-4
    gust: float = 0.0
    gust_s: float = 0.5


STILL = Wind(force=0.0, torque_m=0.0)


class Push:
    """Force and torque of the wind on n vehicles: ``now`` is (6, n), N in the world, Nm in the body frame."""

    def __init__(self, wind: Wind, airframe: Airframe, n: int, dt_s: float, rng: np.random.Generator) -> None:
        weight = airframe.weight_n
        scale = weight * np.array([[wind.force]] * 3 + [[wind.torque_m]] * 3)
        self._steady = (rng.standard_normal((6, n), np.float32) * scale).astype(np.float32)
        self.now = self._steady.copy()
        self._rng, self._gusty = rng, wind.gust > 0
        self._keep = np.float32(math.exp(-dt_s / wind.gust_s))
        self._kick = np.float32(weight * wind.gust * math.sqrt(1 - self._keep**2))
        if self._gusty:
            self._gust = rng.standard_normal((3, n), np.float32) * np.float32(weight * wind.gust)
            self.now[:3] += self._gust

    def advance(self) -> None:
        """One step of the gusts; the steady part stays."""
        if not self._gusty:
            return
        self._gust *= self._keep
        self._gust += self._kick * self._rng.standard_normal(self._gust.shape, np.float32)
        np.add(self._steady[:3], self._gust, out=self.now[:3])


@dataclass(frozen=True, slots=True)
class Noise:
    """Error of the state estimate, standard deviations: white noise, and biases constant in an episode.

    ``attitude`` is per quaternion component; 0.0005 moves the rotation matrix by 0.001, as in the paper.
    """

    position_m: float = 0.001
    attitude: float = 0.0005
    velocity_m_s: float = 0.002
    rate_rad_s: float = 0.002
    tilt_bias_rad: float = 0.0
    velocity_bias_m_s: float = 0.0
    rate_bias_rad_s: float = 0.0


NO_NOISE = Noise(position_m=0.0, attitude=0.0, velocity_m_s=0.0, rate_rad_s=0.0)


class Sensor:
    """Turns the truth of n vehicles into estimates."""

    def __init__(self, noise: Noise, n: int, rng: np.random.Generator) -> None:
        self._rng = rng
        deviation = np.empty((13, 1), np.float32)
        deviation[POSITION], deviation[QUATERNION] = noise.position_m, noise.attitude
        deviation[VELOCITY], deviation[ANGULAR_VELOCITY] = noise.velocity_m_s, noise.rate_rad_s
        self._deviation = deviation
        self._bias = np.zeros((13, n), np.float32)
        self._bias[4:6] = noise.tilt_bias_rad / 2  # of a quaternion's x and y: roll and pitch
        self._bias[VELOCITY], self._bias[ANGULAR_VELOCITY] = noise.velocity_bias_m_s, noise.rate_bias_rad_s
        self._bias *= rng.standard_normal((13, n), np.float32)
        self._out = np.empty((13, n), np.float32)

    def sense(self, state: Array) -> NDArray[np.float32]:
        """(13 or more, n) true states -> (13, n) estimates, unit quaternions; valid until the next call."""
        out = self._rng.standard_normal(out=self._out, dtype=np.float32)
        out *= self._deviation
        out += self._bias
        out += state[:13]
        q = out[QUATERNION]
        q /= np.sqrt(np.einsum("in,in->n", q, q))
        return out


class Latency:
    """Delays commands by a number of steps, whole or not, one for all or one for each of n vehicles.

    Delayed by k + f steps, the rotors follow the command of k + 1 steps ago for a share f of each step and
    that of k steps ago for the rest; what is returned is the mean over the step.
    """

    def __init__(self, steps: float | Array, n: int, first: float = 0.0) -> None:
        steps = np.broadcast_to(np.asarray(steps, np.float64), (n,))
        whole = np.floor(steps).astype(int)
        self._past = np.full((int(whole.max()) + 2, 4, n), first, np.float32)  # newest first
        self._weight = np.zeros((len(self._past), 1, n), np.float32)
        columns, share = np.arange(n), steps - whole
        self._weight[whole, 0, columns] = 1 - share
        self._weight[whole + 1, 0, columns] += share
        self._uniform = int(whole[0]) if (steps == whole).all() and (whole == whole[0]).all() else None

    def delay(self, command: Array) -> NDArray[np.float32]:
        """The (4, n) command that leaves now -> the one that the rotors follow during the coming step."""
        self._past[1:] = self._past[:-1]
        self._past[0] = command
        if self._uniform is not None:
            return self._past[self._uniform]
        return np.einsum("kin,kin->in", self._past, np.broadcast_to(self._weight, self._past.shape))
