"""Controllers to fly beside a policy: the paper's networks, and classical ones. All see what a policy sees.

Each has a ``contract`` and ``act(observation) -> action`` like a `Policy`, so `evaluate` flies them on the
same cases. The classical ones take the observation apart again, and turn a wanted thrust and torque into
rotor speeds with the airframe's own numbers: they know the model that the policy had to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe, speed_at
from tinyfly.contract import Channel, Contract, Integral, paper_contract
from tinyfly.errors import UserError

Array = NDArray[np.floating]


class PaperPolicy:
    """A network of *Learning to Fly in Seconds*: 146-64-64-4, fast_tanh in every layer, raw float32 weights.

    The file holds W1 (64, 146), b1, W2 (64, 64), b2, W3 (4, 64), b3, row-major; its inputs are position,
    rotation, velocity, angular velocity, 32 past actions, oldest first. Our contract has the history first.
    """

    def __init__(self, path: str | Path, airframe: Airframe) -> None:
        try:
            data = np.fromfile(path, "<f4")
        except OSError as e:
            raise UserError(f"{path} cannot be read: {e.strerror}") from None
        shapes = ((64, 146), (64,), (64, 64), (64,), (4, 64), (4,))
        sizes = [int(np.prod(s)) for s in shapes]
        if data.size != sum(sizes) or not np.isfinite(data).all():
            raise UserError(
                f"{path} is not one of the paper's networks: expected {sum(sizes)} float32 numbers"
            )
        parts = np.split(data, np.cumsum(sizes)[:-1])
        w1, b1, w2, b2, w3, b3 = (x.reshape(s) for x, s in zip(parts, shapes, strict=True))
        w1 = np.concatenate([w1[:, 18:], w1[:, :18]], axis=1)
        self._layers = ((w1, b1), (w2, b2), (w3, b3))
        self.contract = paper_contract(hover_action=airframe.hover_action)

    def act(self, observation: Array) -> Array:
        """(146, n) -> (4, n) in [-1, 1]."""
        x = observation
        for weight, bias in self._layers:
            x = np.clip(weight @ x + bias[:, None], -3, 3)
            x = x * (27 + x * x) / (27 + 9 * x * x)
        return x


def classical_contract(airframe: Airframe) -> Contract:
    """What the classical controllers observe; the history tells them how fast their rotors turn by now."""
    return Contract(
        channels=(
            Channel("action_history", 4 * 32),
            Channel("position_error", 3),
            Channel("rotation", 9),
            Channel("velocity_error", 3),
            Channel("angular_velocity", 3),
            Channel("position_integral", 3),
            Channel("reference_acceleration", 3),
        ),
        integral=Integral(gain_per_s=1.0, error_limit_m=0.3, limit_m=1.0),
        hover_action=airframe.hover_action,
        thrust_curve=airframe.thrust_curve,
    )


@dataclass(frozen=True, slots=True)
class View:
    """An observation taken apart, float64; rows as in the contract."""

    position: Array
    velocity: Array
    rotation: Array  # (3, 3, n)
    rate: Array
    integral: Array
    acceleration: Array
    rotor_speed: Array  # (4, n), estimated from the history


class Mixer:
    """Thrust and torque into the speeds of the rotors, by the airframe's own numbers."""

    def __init__(self, airframe: Airframe) -> None:
        x, y, _ = np.array(airframe.rotor_position_m).T
        reaction = np.array(airframe.rotor_torque_sign) * airframe.reaction_m
        self._thrusts = np.linalg.inv(np.stack([np.ones(4), y, -x, reaction]))
        self._curve = airframe.thrust_n

    def speeds(self, thrust_n: Array, torque_nm: Array) -> Array:
        """(n,) N and (3, n) Nm -> (4, n) in 0..1. Where rotors saturate, yaw gives way first, then thrust."""
        low, high = self._curve[0], sum(self._curve)
        wanted = np.concatenate([thrust_n[None], torque_nm])
        motors, without_yaw = self._thrusts @ wanted, self._thrusts[:, :3] @ wanted[:3]
        saturated = (motors < low).any(0) | (motors > high).any(0)
        motors = np.where(saturated, without_yaw, motors)
        motors -= np.maximum(motors.max(0) - high, 0)
        motors += np.maximum(low - motors.min(0), 0)
        motors = np.clip(motors, low, high)
        return speed_at(motors, self._curve)


class Classical:
    """What classical controllers share: taking the observation apart, mixing thrust and torque into rotors.

    Rotors lag, by 50 to 150 ms here. Against that the command leads: it overshoots the speed wanted, so that
    the rotors follow as if their time constant were ``lag_s``, as far as a first-order model of them and the
    past actions tell.
    """

    def __init__(self, airframe: Airframe, lag_s: float = 0.035) -> None:
        self.airframe, self.contract = airframe, classical_contract(airframe)
        self._slices = self.contract.slices()
        own_lag_s = (airframe.rotor_rise_s + airframe.rotor_fall_s) / 2
        self._lead = max(1.0, own_lag_s / lag_s)
        self._mixer = Mixer(airframe)
        keep = np.exp(-1 / (self.contract.rate_hz * own_lag_s))
        self._memory = (1 - keep) * keep ** np.arange(31, -1, -1)  # oldest first
        self._forgotten = keep**32

    def view(self, observation: Array) -> View:
        """Take an observation apart."""
        part = {name: observation[rows].astype(np.float64) for name, rows in self._slices.items()}
        history = (part["action_history"].reshape(32, 4, -1) + 1) / 2
        speed = np.einsum("k,kin->in", self._memory, history) + self._forgotten * self.airframe.hover_fraction
        return View(
            part["position_error"],
            part["velocity_error"],
            part["rotation"].reshape(3, 3, -1),
            part["angular_velocity"],
            part["position_integral"],
            part["reference_acceleration"],
            speed,
        )

    def mix(self, view: View, thrust_n: Array, torque_nm: Array) -> Array:
        """(n,) N and (3, n) Nm -> (4, n) actions."""
        u = self._mixer.speeds(thrust_n, torque_nm)
        u = view.rotor_speed + self._lead * (u - view.rotor_speed)
        return np.clip(2 * u - 1, -1, 1).astype(np.float32)


class Geometric(Classical):
    """Mellinger and Kumar (2011): PID on position, thrust along the wanted force, error of rotation matrices.

    Gains are natural frequencies, so that one tuning serves every airframe.
    """

    def __init__(
        self,
        airframe: Airframe,
        lag_s: float = 0.035,
        attitude_rad_s: float = 9.0,
        position_rad_s: float = 3.0,
    ) -> None:
        super().__init__(airframe, lag_s)
        self._attitude_rad_s, self._position_rad_s = attitude_rad_s, position_rad_s

    def act(self, observation: Array) -> Array:
        """(152, n) -> (4, n)."""
        s, k, a = self.view(observation), self._position_rad_s, self.airframe
        wanted = s.acceleration - k * k * s.position - 1.8 * k * s.velocity - 0.3 * k**3 * s.integral
        sideways = np.linalg.norm(wanted[:2], axis=0)
        wanted[:2] *= np.minimum(
            1, 0.8 * GRAVITY_M_S2 / np.maximum(sideways, 1e-9)
        )  # tilt of at most 40 degrees
        wanted[2] = np.clip(wanted[2] + GRAVITY_M_S2, 0.3 * GRAVITY_M_S2, 2 * GRAVITY_M_S2)
        thrust = a.mass_kg * np.maximum((wanted * s.rotation[:, 2]).sum(0), 0)
        return self.mix(s, thrust, self._torque(wanted, s))

    def _torque(self, wanted: Array, s: View) -> Array:
        """Bring the body's z axis along ``wanted`` (3, n) and its y axis near the world's."""
        z = wanted / np.linalg.norm(wanted, axis=0)
        y = np.cross(z, np.array([[1.0], [0.0], [0.0]]), axis=0)
        y /= np.linalg.norm(y, axis=0)
        target = np.stack([np.cross(y, z, axis=0), y, z], axis=1)
        e = np.einsum("kin,kjn->ijn", target, s.rotation)
        error = 0.5 * np.stack([e[2, 1] - e[1, 2], e[0, 2] - e[2, 0], e[1, 0] - e[0, 1]])
        k = self._attitude_rad_s * np.array([[1.0], [1.0], [0.4]])
        j = np.array(self.airframe.inertia_kg_m2)[:, None]
        return j * (-k * k * error - 1.6 * k * s.rate) + np.cross(s.rate, j * s.rate, axis=0)
