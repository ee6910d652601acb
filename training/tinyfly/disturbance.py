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
from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, SENSED, VELOCITY

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Wind:
    """Force and torque on the body; standard deviations per axis, in shares of the weight.

    The defaults are the paper's, constant per episode: force weight/20, torque weight/10000 (N -> Nm).
    ``gust`` adds a force that wanders (Ornstein-Uhlenbeck) with correlation time ``gust_s``. Forces may be
    one number for all, or (n,) one for each vehicle. (In flights; the `Simulator` takes one steady force.)
    """

    force: float | Array = 1 / 20
    torque_m: float = 1e-4
    gust: float | Array = 0.0
    gust_s: float = 0.5

    def steady(self, rng: np.random.Generator, airframe: Airframe, n: int) -> NDArray[np.float32]:
        """(6, n) constant forces (N, world frame) and torques (Nm, body frame) of n episodes."""
        force, torque = np.broadcast_to(self.force, n), np.broadcast_to(self.torque_m, n)
        deviation = airframe.weight_n * np.stack([force] * 3 + [torque] * 3)
        return rng.standard_normal((6, n), np.float32) * deviation.astype(np.float32)


STILL = Wind(force=0.0, torque_m=0.0)


class Push:
    """Force and torque of the wind on n vehicles: ``now`` is (6, n), N in the world, Nm in the body frame."""

    def __init__(self, wind: Wind, airframe: Airframe, n: int, dt_s: float, rng: np.random.Generator) -> None:
        self._steady = wind.steady(rng, airframe, n)
        self.now = self._steady.copy()
        size = np.asarray(airframe.weight_n * wind.gust, np.float32)
        self._rng, self._gusty = rng, bool(np.any(size > 0))
        self._keep = np.float32(math.exp(-dt_s / wind.gust_s))
        self._kick = size * np.float32(math.sqrt(1 - self._keep**2))
        if self._gusty:
            self._gust = rng.standard_normal((3, n), np.float32) * size
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

    @property
    def deviation(self) -> NDArray[np.float32]:
        """(13, 1) of the white part, rows as in `state`."""
        sizes = [self.position_m, self.attitude, self.velocity_m_s, self.rate_rad_s]
        return np.repeat(np.array(sizes, np.float32), (3, 4, 3, 3))[:, None]


NO_NOISE = Noise(position_m=0.0, attitude=0.0, velocity_m_s=0.0, rate_rad_s=0.0)


class Sensor:
    """Turns the truth of n vehicles into estimates, with fresh noise in every step."""

    def __init__(self, noise: Noise, n: int, rng: np.random.Generator) -> None:
        self._rng, self._deviation = rng, noise.deviation
        self._bias = np.zeros((13, n), np.float32)
        self._bias[4:6] = noise.tilt_bias_rad / 2  # of a quaternion's x and y: roll and pitch
        self._bias[VELOCITY], self._bias[ANGULAR_VELOCITY] = noise.velocity_bias_m_s, noise.rate_bias_rad_s
        self._bias *= rng.standard_normal((13, n), np.float32)
        self._out = np.empty((13, n), np.float32)

    def sense(self, state: Array) -> NDArray[np.float32]:
        """(17, n) true states -> (13, n) estimates, quaternions as noisy; valid until the next call."""
        out = self._rng.standard_normal(out=self._out, dtype=np.float32)
        out *= self._deviation
        out += self._bias
        out += state[SENSED]
        return out


class NoiseBank:
    """White noise at a tenth of the price: a window on a long strip of it, somewhere else in every step.

    It has no biases, and refuses a noise with any.
    """

    _SPARE = 4096

    def __init__(self, noise: Noise, n: int, rng: np.random.Generator) -> None:
        if noise.tilt_bias_rad or noise.velocity_bias_m_s or noise.rate_bias_rad_s:
            raise UserError(f"{noise}: a bank of white noise has no biases; only flights (`flight.fly`) have")
        self._rng, self._n = rng, n
        self._strip = rng.standard_normal((13, n + self._SPARE), np.float32) * noise.deviation
        self._out = np.empty((13, n), np.float32)

    def sense(self, state: Array) -> NDArray[np.float32]:
        """As `Sensor.sense`, without biases."""
        at = self._rng.integers(self._SPARE)
        return np.add(state[SENSED], self._strip[:, at : at + self._n], out=self._out)


class Latency:
    """Delays commands by a number of steps, whole or not, one for all or one for each of n vehicles.

    Delayed by k + f steps, the rotors follow the command of k + 1 steps ago for a share f of each step and
    that of k steps ago for the rest; what is returned is the mean over the step.
    """

    def __init__(self, steps: float | Array, n: int, first: float = 0.0) -> None:
        steps = np.broadcast_to(np.asarray(steps, np.float64), (n,))
        if not ((steps >= 0) & np.isfinite(steps)).all():
            raise UserError(f"a latency of {steps.min():g} steps: expected 0 or more")
        whole = np.floor(steps).astype(int)
        self._past = np.full((int(whole.max()) + 2, 4, n), first, np.float32)  # newest first
        self._weight = np.zeros((len(self._past), 1, n), np.float32)
        columns, share = np.arange(n), steps - whole
        self._weight[whole, 0, columns] = 1 - share
        self._weight[whole + 1, 0, columns] += share
        self._uniform = int(whole[0]) if (steps == whole).all() and (whole == whole[0]).all() else None
        self._mean, self._part = np.empty((4, n), np.float32), np.empty((4, n), np.float32)

    def reset(self, columns: NDArray[np.intp], command: float) -> None:
        """Forget the past of these vehicles: their rotors were commanded ``command`` for long."""
        self._past[:, :, columns] = command

    def delay(self, command: Array) -> NDArray[np.float32]:
        """The (4, n) command that leaves now -> the one that the rotors follow during the coming step."""
        if self._uniform == 0:
            return command
        for k in range(len(self._past) - 1, 0, -1):
            self._past[k] = self._past[k - 1]
        self._past[0] = command
        if self._uniform is not None:
            return self._past[self._uniform]
        np.multiply(self._past[0], self._weight[0], out=self._mean)
        for past, weight in zip(self._past[1:], self._weight[1:], strict=True):
            np.multiply(past, weight, out=self._part)
            np.add(self._mean, self._part, out=self._mean)
        return self._mean
