"""The simulator crazyflow (JAX) as a plant: its Crazyflies, its integrator, the limits of its motors.

All constants are the package's own; of our airframe only the name, the full rotor speed (its commands are in
rpm) and what `Airframe.varied` changed are used. Its motors never turn slower than its smallest thrust asks
for, and no faster than its largest.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY

try:
    import jax.numpy as jnp
    import mujoco
    from crazyflow.control import Control
    from crazyflow.drones import Drone
    from crazyflow.dynamics import Dynamics
    from crazyflow.sim import Sim
except ImportError:
    raise UserError("plant crazyflow is not installed: pip install -e '.[crazyflow]'") from None

Array = NDArray[Any]

HEIGHT_M = 50.0  # it has a floor at 0, and our lost fall freely for seconds


class Crazyflow:
    """n worlds with one Crazyflie each."""

    def __init__(self, airframe: Airframe, n: int, dt_s: float) -> None:
        known = [d.value for d in Drone if d.value.startswith("cf")]
        if airframe.name not in known:
            raise UserError(
                f"plant crazyflow does not know the airframe {airframe.name}; it knows {', '.join(known)}"
            )
        freq = 500
        with _unsaved():
            self._sim = Sim(
                n_worlds=n,
                drone=Drone(airframe.name),
                dynamics=Dynamics.first_principles,
                control=Control.rotor_vel,
                freq=freq,
            )
        self._steps = round(dt_s * freq)
        self._rpm = airframe.rotor_speed_max_rad_s * 60 / (2 * np.pi)
        params, nominal = self._sim.data.params, Airframe.load(airframe.name)
        battery = sum(airframe.thrust_n) / sum(nominal.thrust_n)
        self._params = params.replace(
            rpm2thrust=params.rpm2thrust * battery, rpm2torque=params.rpm2torque * battery
        )
        self._mass = params.mass * airframe.mass_kg / nominal.mass_kg

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None:
        """Advance ``state`` (17, n) in place; arguments as `dynamics.Dynamics.step`."""
        data, n = self._sim.data, state.shape[1]

        def worlds(rows: Array) -> Any:
            """(k, n) -> (n, 1, k), as crazyflow has it: n worlds of one drone."""
            return jnp.asarray(rows.T[:, None], jnp.float32)

        states = data.states.replace(
            pos=worlds(state[POSITION] + [[0], [0], [HEIGHT_M]]),
            quat=worlds(state[QUATERNION][[1, 2, 3, 0]]),
            vel=worlds(state[VELOCITY]),
            ang_vel=worlds(state[ANGULAR_VELOCITY]),
            rotor_vel=worlds(state[ROTOR_SPEED] * self._rpm),
        )
        if push is not None:  # its torque is in the world's frame
            states = states.replace(
                force=worlds(push[:3]), torque=worlds(_rotated(state[QUATERNION], push[3:]))
            )
        scale = np.ones((1, n)) if mass_scale is None else mass_scale
        params = self._params.replace(mass=self._mass * worlds(scale))
        self._sim.data = data.replace(states=states, params=params)
        self._sim.rotor_vel_control(worlds(command * self._rpm))
        self._sim.step(self._steps)
        after = self._sim.data.states
        rows = [
            after.pos,
            after.quat[..., [3, 0, 1, 2]],
            after.vel,
            after.ang_vel,
            after.rotor_vel / self._rpm,
        ]
        state[:] = np.concatenate([np.asarray(x)[:, 0] for x in rows], axis=1).T
        state[2] -= HEIGHT_M


@contextlib.contextmanager
def _unsaved() -> Iterator[None]:
    """Without what MuJoCo says about saving the scene, which nobody does: in Python and in MUJOCO_LOG.TXT."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)  # MuJoCo's own writes that file into the current folder
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attaching a spec")
            yield
    finally:
        mujoco.set_mju_user_warning(before)


def _rotated(q: Array, v: Array) -> Array:
    """Body vectors (3, n) in the world's frame, by unit quaternions w x y z (4, n)."""
    t = 2 * np.cross(q[1:], v, axis=0)
    return v + q[0] * t + np.cross(q[1:], t, axis=0)
