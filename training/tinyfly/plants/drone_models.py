"""The package drone-models as a plant: dynamics that others wrote, and identified on their Crazyflies."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, POSITION, ROTOR_SPEED, VELOCITY

Array = NDArray[Any]


class DroneModels:
    """The `first_principles` model of the package drone-models, float64, RK4 at 500 Hz.

    Its constants come from the package's own tables; of our airframe only the name, the full rotor speed (its
    commands are in rpm) and what `Airframe.varied` changed are used.
    """

    substep_s = 2e-3

    def __init__(self, airframe: Airframe, n: int, dt_s: float) -> None:
        try:
            from drone_models.core import parametrize
            from drone_models.first_principles import dynamics
        except ImportError:
            raise UserError("plant drone-models is not installed: pip install -e '.[plants]'") from None
        try:
            model = parametrize(dynamics, airframe.name)
        except KeyError:
            raise UserError(
                f"plant drone-models does not know the airframe {airframe.name}; it knows "
                "cf2x_L250, cf2x_P250, cf2x_T350, cf21B_500"
            ) from None
        battery = sum(airframe.thrust_n) / sum(Airframe.load(airframe.name).thrust_n)
        known = model.keywords
        weaker = {key: known[key] * battery for key in ("rpm2thrust", "rpm2torque")}
        self._model = partial(model, **weaker)
        self._model_mass, self._mass = known["mass"], airframe.mass_kg
        self._weight, self._inverse_inertia = known["gravity_vec"] * known["mass"], known["J_inv"]
        self._rpm = airframe.rotor_speed_max_rad_s * 60 / (2 * np.pi)
        self._steps = max(1, round(dt_s / self.substep_s))
        self._dt = dt_s / self._steps

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None:
        """Advance ``state`` (17, n) in place; arguments as `dynamics.Dynamics.step`."""
        x = state.astype(np.float64).T
        parts = [x[:, POSITION], x[:, [4, 5, 6, 3]], x[:, VELOCITY], x[:, ANGULAR_VELOCITY]]
        parts.append(x[:, ROTOR_SPEED] * self._rpm)
        rpm = command.T.astype(np.float64) * self._rpm
        scale = np.ones(len(x)) if mass_scale is None else np.broadcast_to(mass_scale, (1, len(x)))[0]
        force = np.zeros((3, len(x))) if push is None else push[:3].astype(np.float64)
        torque = np.zeros((3, len(x))) if push is None else push[3:].astype(np.float64)

        def derivative(p: list[Array]) -> list[Array]:
            # The model takes one mass for all: we divide its force by ours. Its torque disturbance is in the
            # world frame, ours in the body's.
            pos, quat, vel, rate, rotor = p
            out = self._model(pos, quat, vel, rate, rpm, rotor, force.T)
            acceleration = (out[2] * self._model_mass - self._weight) / (self._mass * scale)[:, None]
            acceleration += np.array([0, 0, -GRAVITY_M_S2])
            spin = out[3] + torque.T @ self._inverse_inertia.T
            return [vel, _quaternion_rate(quat, rate), acceleration, spin, out[4]]

        for _ in range(self._steps):
            parts = _rk4(derivative, parts, self._dt)
            parts[1] /= np.linalg.norm(parts[1], axis=1, keepdims=True)
        position, quaternion, velocity, rate, rotor = parts
        rows = [position, quaternion[:, [3, 0, 1, 2]], velocity, rate, rotor / self._rpm]
        state[:] = np.concatenate(rows, axis=1).T


def _quaternion_rate(q: Array, w: Array) -> Array:
    """q * (0, w) / 2 for x y z w quaternions (n, 4); the package asks not to integrate its own."""
    vector, scalar = q[:, :3], q[:, 3:]
    rate = scalar * w + np.cross(vector, w)
    return np.concatenate([rate, -np.sum(vector * w, axis=1, keepdims=True)], axis=1) / 2


def _rk4(f: Any, x: list[Array], h: float) -> list[Array]:
    def moved(k: list[Array], scale: float) -> list[Array]:
        return [a + scale * b for a, b in zip(x, k, strict=True)]

    k1 = f(x)
    k2 = f(moved(k1, h / 2))
    k3 = f(moved(k2, h / 2))
    k4 = f(moved(k3, h))
    return [a + h / 6 * (b + 2 * c + 2 * d + e) for a, b, c, d, e in zip(x, k1, k2, k3, k4, strict=True)]
