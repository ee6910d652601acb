"""A rigid body in MuJoCo, built from the airframe: its integrator, its actuators' lag, its air.

What is MuJoCo's own and not ours: semi-implicit Euler steps of 2 ms; a first-order lag of the *thrust*
(``filterexact``) where ours is of the rotor's speed, with one time constant for rising and falling; and drag
from MuJoCo's fluid model of the box that has the body's inertia, in air at sea level, where ours is linear in
the velocity. Reaction torque is proportional to thrust, with the ratio at hover.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe, speed_at
from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY

try:
    import mujoco
except ImportError:
    raise UserError("plant mujoco is not installed: pip install -e '.[plants]'") from None

Array = NDArray[Any]

STEP_S = 2e-3
AIR = 'density="1.204" viscosity="1.8e-5"'  # kg/m^3 and Pa s, at 20 degrees


class MuJoCo:
    """n free bodies in one world that do not touch."""

    def __init__(self, airframe: Airframe, n: int, dt_s: float) -> None:
        self._airframe = airframe
        self._steps = max(1, round(dt_s / STEP_S))
        self._model = mujoco.MjModel.from_xml_string(model_xml(airframe, n, dt_s / self._steps))
        self._data = mujoco.MjData(self._model)
        self._scale = np.ones(n)

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None:
        """Advance ``state`` (17, n) in place; arguments as `dynamics.Dynamics.step`."""
        model, data, n = self._model, self._data, state.shape[1]
        if mass_scale is not None and not np.array_equal(mass_scale[0], self._scale):
            self._scale = mass_scale[0].copy()
            model.body_mass[1:] = self._airframe.mass_kg * self._scale
            mujoco.mj_setConst(model, data)
        finite = np.isfinite(state).all(0)  # MuJoCo resets a world in which anything is not
        x = np.where(finite, state, _REST).astype(np.float64)
        pose, motion = data.qpos.reshape(n, 7), data.qvel.reshape(n, 6)
        pose[:], motion[:] = x[[*range(7)]].T, x[[*range(7, 13)]].T
        data.act[:] = self._thrust(x[ROTOR_SPEED]).T.ravel()
        data.ctrl[:] = self._thrust(np.where(finite, command, 0)).T.ravel()
        if push is not None:
            data.xfrc_applied[1:, :3] = push[:3].T
        for _ in range(self._steps):
            if push is not None:  # MuJoCo wants the torque in the world's frame
                data.xfrc_applied[1:, 3:] = _rotated(pose[:, 3:], push[3:].T)
            mujoco.mj_step(model, data)
        state[POSITION], state[QUATERNION] = pose[:, :3].T, pose[:, 3:].T
        state[VELOCITY], state[ANGULAR_VELOCITY] = motion[:, :3].T, motion[:, 3:].T
        state[ROTOR_SPEED] = speed_at(data.act.reshape(n, 4).T, self._airframe.thrust_n)
        state[:, ~finite] = np.nan

    def _thrust(self, u: Array) -> Array:
        """Speed fraction -> N."""
        c0, c1, c2 = self._airframe.thrust_n
        return c0 + u * (c1 + u * c2)


_REST = np.eye(17)[3][:, None]


def model_xml(airframe: Airframe, n: int, step_s: float) -> str:
    """The airframe as an MJCF text, n times."""
    lag_s = (airframe.rotor_rise_s + airframe.rotor_fall_s) / 2
    sites = "".join(
        f'<site name="$-{i}" pos="{x} {y} {z}"/>' for i, (x, y, z) in enumerate(airframe.rotor_position_m)
    )
    inertia = " ".join(map(str, airframe.inertia_kg_m2))
    body = (
        f'<body name="$"><freejoint/>{sites}'
        f'<inertial pos="0 0 0" mass="{airframe.mass_kg}" diaginertia="{inertia}"/></body>'
    )
    motors = "".join(
        f'<general site="$-{i}" gear="0 0 1 0 0 {sign * airframe.reaction_m}"'
        f' dyntype="filterexact" dynprm="{lag_s}"/>'
        for i, sign in enumerate(airframe.rotor_torque_sign)
    )
    bodies, actuators = ("".join(x.replace("$", f"v{k}") for k in range(n)) for x in (body, motors))
    return (
        f'<mujoco><option timestep="{step_s}" gravity="0 0 {-GRAVITY_M_S2}" {AIR}>'
        '<flag contact="disable" constraint="disable"/></option>'
        f"<worldbody>{bodies}</worldbody><actuator>{actuators}</actuator></mujoco>"
    )


def _rotated(q: Array, v: Array) -> Array:
    """Body vectors (n, 3) in the world's frame, by unit quaternions w x y z (n, 4)."""
    t = 2 * np.cross(q[:, 1:], v)
    return v + q[:, :1] * t + np.cross(q[:, 1:], t)
