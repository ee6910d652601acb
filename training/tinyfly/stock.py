"""Controllers of others, to fly beside a policy: the Crazyflie's cascaded PID, and a package's Mellinger.

Both run at 500 Hz, the Crazyflie's own rate, and keep integrals. Both are told the airframe's true mass,
inertia and thrust curve, and the reference's velocity and acceleration. Gains are the stock ones times
``factors``; those of `TUNED` come from `benchmarks/tune_pilots.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.contract import Channel, Contract
from tinyfly.controllers import Mixer
from tinyfly.errors import UserError

Array = NDArray[Any]

RATE_HZ = 500.0
# Factors on the stock gains, by controller and airframe, in the order of its FACTORS.
TUNED: dict[tuple[str, str], tuple[float, ...]] = {
    ("CascadedPid", "crazyflie"): (0.649, 2.31, 1.31, 0.589, 0.613, 0.671, 0.558, 1.22),
    ("Mellinger", "crazyflie"): (0.554, 0.934, 0.828, 0.539, 0.734, 1.26),
}


def stock_contract(airframe: Airframe) -> Contract:
    """What both observe: the state's error, the attitude and the wanted acceleration; no past."""
    return Contract(
        channels=(
            Channel("position_error", 3),
            Channel("rotation", 9),
            Channel("velocity_error", 3),
            Channel("angular_velocity", 3),
            Channel("reference_acceleration", 3),
        ),
        rate_hz=RATE_HZ,
        history_length=0,
        hover_action=airframe.hover_action,
        thrust_curve=airframe.thrust_curve,
    )


class CascadedPid:
    """Position, velocity, attitude (Euler angles), rate: four PIDs, one inside the other.

    The structure and the stock gains are those of the Crazyflie's firmware, converted from its units (degrees
    and PWM, with the cf2x_L250's thrust and inertia) to rad and s. The reference's acceleration as
    feed-forward and the correction of thrust for tilt are ours.
    """

    FACTORS = ("position", "velocity", "velocity_i", "attitude", "attitude_i", "rate", "rate_i", "rate_d")
    MAX_TILT_RAD = 0.61
    _DERIVATIVE_CUT_HZ = 30.0

    def __init__(self, airframe: Airframe, factors: Array | None = None) -> None:
        """``factors`` (8,), or (8, n): of each vehicle; those of `TUNED` when None."""
        self.contract, self.airframe = stock_contract(airframe), airframe
        self._slices, self._mixer = self.contract.slices(), Mixer(airframe)
        f = _factors(type(self).__name__, airframe, factors, len(self.FACTORS))
        self._position = 2.0 * f[0]  # 1/s
        self._velocity, self._velocity_i = 4.3 * f[1], np.array([[0.17], [0.17], [2.6]]) * f[2]
        self._attitude, self._attitude_i = 6.0 * f[3], np.array([[3.0], [3.0], [1.0]]) * f[4]
        self._rate = np.array([[100.0], [100.0], [27.0]]) * f[5]
        self._rate_i = np.array([[200.0], [200.0], [4.0]]) * f[6]
        self._rate_d = np.array([[1.0], [1.0], [0.0]]) * f[7]
        self._keep = np.exp(-2 * np.pi * self._DERIVATIVE_CUT_HZ / RATE_HZ)
        self.reset(1)

    def reset(self, n: int) -> None:
        """Integrals and the filtered derivative to zero for n vehicles."""
        zero = np.zeros((3, n))
        self._velocity_sum, self._attitude_sum, self._rate_sum, self._slope = (zero.copy() for _ in range(4))
        self._last_rate: Array | None = None

    def act(self, observation: Array) -> Array:
        """(21, n) -> (4, n) in [-1, 1]."""
        o = {name: observation[rows].astype(np.float64) for name, rows in self._slices.items()}
        r = o["rotation"].reshape(3, 3, -1)
        yaw = np.arctan2(r[1, 0], r[0, 0])
        velocity = np.clip(-self._position * o["position_error"], -1, 1) - o["velocity_error"]
        _accumulate(self._velocity_sum, velocity, 1.0)
        acceleration = (
            self._velocity * velocity + self._velocity_i * self._velocity_sum + o["reference_acceleration"]
        )
        c, s = np.cos(yaw), np.sin(yaw)
        pitch = (c * acceleration[0] + s * acceleration[1]) / GRAVITY_M_S2
        roll = (s * acceleration[0] - c * acceleration[1]) / GRAVITY_M_S2
        wanted = np.clip(np.stack([roll, pitch, 0 * yaw]), -self.MAX_TILT_RAD, self.MAX_TILT_RAD)
        wanted -= [np.arctan2(r[2, 1], r[2, 2]), np.arcsin(np.clip(-r[2, 0], -1, 1)), yaw]
        thrust = self.airframe.mass_kg * np.clip(acceleration[2] + GRAVITY_M_S2, 0, 3 * GRAVITY_M_S2)
        return self._rotors(thrust / np.maximum(r[2, 2], 0.5), self._turn(wanted, o["angular_velocity"]))

    def _turn(self, error: Array, rate: Array) -> Array:
        """(3, n) error of roll, pitch, yaw and the body's rates -> torque in Nm."""
        _accumulate(self._attitude_sum, error, 0.35)
        rate_error = self._attitude * error + self._attitude_i * self._attitude_sum - rate
        _accumulate(self._rate_sum, rate_error, 0.6)
        last = rate if self._last_rate is None else self._last_rate
        self._slope = self._keep * self._slope + (1 - self._keep) * (rate - last) * RATE_HZ
        self._last_rate = rate
        inertia = np.array(self.airframe.inertia_kg_m2)[:, None]
        return inertia * (
            self._rate * rate_error + self._rate_i * self._rate_sum - self._rate_d * self._slope
        )

    def _rotors(self, thrust_n: Array, torque_nm: Array) -> Array:
        return (2 * self._mixer.speeds(thrust_n, torque_nm) - 1).astype(np.float32)


class Mellinger:
    """The Mellinger controller of the package drone-controllers: its functions, its stock gains.

    The package's gains are for the cf2x_L250 and its kin; on an airframe that it does not know they are the
    cf2x_L250's. Masses and thrust curves are always the airframe's: the package's own are off on purpose.
    """

    FACTORS = ("kp", "kd", "ki", "kR", "kw", "kd_omega")

    def __init__(self, airframe: Airframe, factors: Array | None = None) -> None:
        """``factors`` (6,), or (6, n): of each vehicle; those of `TUNED` when None."""
        try:
            from drone_controllers import parametrize
            from drone_controllers.mellinger import (
                attitude2force_torque,
                force_torque2rotor_vel,
                state2attitude,
            )
        except ImportError:
            raise UserError("Mellinger needs drone-controllers: pip install -e '.[plants]'") from None
        self.contract = stock_contract(airframe)
        self._slices = self.contract.slices()
        f = _factors(type(self).__name__, airframe, factors, len(self.FACTORS)).reshape(6, -1, 1)
        known = airframe.name if airframe.name.startswith("cf2") else "cf2x_L250"
        position, attitude, rotors = (
            parametrize(x, known) for x in (state2attitude, attitude2force_torque, force_torque2rotor_vel)
        )
        self._rpm = airframe.rotor_speed_max_rad_s * 60 / (2 * np.pi)
        most = sum(airframe.thrust_n)
        true = {
            "mass": airframe.mass_kg,
            "mass_thrust": 65535 / (4 * most),  # newtons to PWM and back: no change of scale
            "thrust_max": most,
            "L": abs(airframe.rotor_position_m[0][0]),
            "thrust2torque": airframe.reaction_m,
            "rpm2thrust": np.array(airframe.thrust_n) / self._rpm ** np.arange(3),
        }
        self._functions = [_told(x, true) for x in (position, attitude, rotors)]
        for i, names in enumerate((self.FACTORS[:3], self.FACTORS[3:])):
            keywords = self._functions[i].keywords
            for name in names:
                keywords[name] = keywords[name] * f[self.FACTORS.index(name)]
        self.reset(1)

    def reset(self, n: int) -> None:
        """Integrals to zero for n vehicles."""
        self._position_sum, self._attitude_sum = np.zeros((n, 3)), np.zeros((n, 3))
        self._last_rate: Array | None = None

    def act(self, observation: Array) -> Array:
        """(21, n) -> (4, n) in [-1, 1]."""
        from scipy.spatial.transform import Rotation

        o = {name: observation[rows].T.astype(np.float64) for name, rows in self._slices.items()}
        position, attitude, rotors = self._functions
        at, velocity, rate = o["position_error"], o["velocity_error"], o["angular_velocity"]
        quaternion = Rotation.from_matrix(o["rotation"].reshape(-1, 3, 3)).as_quat()
        setpoint = np.zeros((len(at), 13))  # the errors are the state, so the set-point is zero
        setpoint[:, 6:9] = o["reference_acceleration"]
        wanted, self._position_sum = position(
            at, quaternion, velocity, rate, setpoint, (self._position_sum,), ctrl_freq=RATE_HZ
        )
        last = rate if self._last_rate is None else self._last_rate
        force, torque, self._attitude_sum = attitude(
            at, quaternion, velocity, rate, wanted, last, (self._attitude_sum,), ctrl_freq=RATE_HZ
        )
        self._last_rate = rate
        return np.clip(2 * rotors(force, torque).T / self._rpm - 1, -1, 1).astype(np.float32)


def _told(function: Any, numbers: dict[str, Any]) -> Any:
    """A parametrized function of the package with those of the numbers that it has."""
    from functools import partial

    return partial(
        function.func, **function.keywords | {k: v for k, v in numbers.items() if k in function.keywords}
    )


def _accumulate(total: Array, error: Array, limit: float) -> None:
    total += error / RATE_HZ
    np.clip(total, -limit, limit, out=total)


def _factors(controller: str, airframe: Airframe, factors: Array | None, count: int) -> Array:
    if factors is None:
        factors = np.array(TUNED.get((controller, airframe.name), (1.0,) * count))
    return np.asarray(factors, np.float64).reshape(count, -1)
