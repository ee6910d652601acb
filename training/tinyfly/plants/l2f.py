"""l2f, the C++ simulator of "Learning to Fly in Seconds", as a plant that flies our airframe.

Its model is ours but for four terms, see `reduced`; it takes one RK4 step a control step, in float32.

Its Python binding takes a vehicle's parameters as JSON, and does not show the force and torque of its state.
So a push comes in by the parameters: a force as gravity, a torque as thrust that the rotors have at rest.
A push that changes costs 0.2 ms a vehicle, one that stays nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY

Array = NDArray[Any]

# Its names for our rows; quaternions are w x y z there too, "rpm" is the fraction of full speed.
FIELDS = {
    "position": POSITION,
    "orientation": QUATERNION,
    "linear_velocity": VELOCITY,
    "angular_velocity": ANGULAR_VELOCITY,
    "rpm": ROTOR_SPEED,
}


class L2F:
    """n vehicles, as a few vectors of l2f: their sizes are powers of two."""

    def __init__(self, airframe: Airframe, n: int, dt_s: float) -> None:
        # Its loop over the vehicles is OpenMP's, which reads this when it is loaded. On cores shared with
        # others its threads wait for each other: the same evaluation took 115 s with two, 6 s with one.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        try:
            import l2f
        except ImportError:
            raise UserError(
                "plant l2f is not installed: pip install -e '.[l2f]' (compiles for some ten minutes)"
            ) from None
        self._vectors, begin = [], 0
        while begin < n:
            size = max(k for k in l2f.vector_selector if k <= n - begin)
            columns = slice(begin, begin + size)
            self._vectors.append((columns, _Vector(l2f, reduced(airframe), size, dt_s)))
            begin += size

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None:
        """Advance ``state`` (17, n) in place; arguments as `dynamics.Dynamics.step`."""
        n = state.shape[1]
        push = np.zeros((6, n)) if push is None else push
        scale = np.ones((1, n)) if mass_scale is None else mass_scale
        for columns, vector in self._vectors:
            vector.burden(push[:, columns], scale[:, columns])
            vector.step(state[:, columns], command[:, columns])


class _Vector:
    """As many vehicles as one vector module of l2f has."""

    def __init__(self, l2f: Any, airframe: Airframe, n: int, dt_s: float) -> None:
        self._l2f, self._module, self._airframe = l2f, l2f.vector_selector[n], airframe
        self._device, self._rng = l2f.Device(), self._module.VectorRng()
        self._environment, self._parameters = (
            self._module.VectorEnvironment(),
            self._module.VectorParameters(),
        )
        self._before, self._after = self._module.VectorState(), self._module.VectorState()
        self._module.initialize_rng(self._device, self._rng, 0)
        self._module.initialize_environment(self._device, self._environment)
        self._module.initial_parameters(self._device, self._environment, self._parameters)
        for s in (self._before, self._after):
            self._module.initial_state(self._device, self._environment, self._parameters, s)
        self._environments = self._environment.environments
        self._each = self._parameters.parameters
        # Rewards, noise (none) and the like keep its defaults.
        text = l2f.parameters_to_json(self._device, self._environments[0], self._each[0])
        self._json = json.loads(text) | {"integration": {"dt": dt_s}}
        self._burden = np.full((7, n), np.nan)
        self._inputs, self._outputs = _rows(self._before), _rows(self._after)
        self._action = np.empty((n, 4), np.float32)

    def burden(self, push: Array, mass_scale: Array) -> None:
        """Write the parameters of the vehicles whose push (6, n) or mass (1, n) is not what it was."""
        burden = np.concatenate([push, mass_scale]).astype(np.float64)
        for i in np.flatnonzero((burden != self._burden).any(0)):
            self._json["dynamics"] = parameters(self._airframe, burden[:6, i], burden[6, i])
            text = json.dumps(self._json)
            self._l2f.parameters_from_json(self._device, self._environments[i], text, self._each[i])
        self._burden = burden

    def step(self, state: Array, command: Array) -> None:
        """Advance ``state`` (17, n) in place."""
        for name, rows in FIELDS.items():
            self._inputs[name][:] = state[rows].T
        self._action[:] = 2 * command.T - 1
        world = self._device, self._environment, self._parameters
        self._module.step(*world, self._before, self._action, self._after, self._rng)
        for name, rows in FIELDS.items():
            state[rows] = self._outputs[name].T


def reduced(airframe: Airframe) -> Airframe:
    """What l2f's model has of an airframe; the paper's is whole.

    No drag; no propeller inertia; rotors that lag linearly, with the time constants that ours have at hover;
    and reaction torque proportional to thrust, with the ratio at hover.
    """
    c0, c1, c2 = (airframe.reaction_m * c for c in airframe.thrust_n)
    return replace(
        airframe,
        torque_nm=(c0, c1, c2),
        rotor_rise_per_s=(1 / airframe.rotor_rise_s, 0.0),
        rotor_fall_per_s=(1 / airframe.rotor_fall_s, 0.0),
        rotor_inertia_kg_m2=0.0,
        drag_n_s_m=(0.0, 0.0, 0.0),
    )


def parameters(airframe: Airframe, push: Array, mass_scale: float = 1.0) -> dict[str, Any]:
    """A `reduced` airframe as l2f's ``dynamics``, under a push (6,): N in the world, Nm in the body frame.

    A rotor at (x, y) gives the thrust f = c0 + c1 u + c2 u^2 and the torque (y f, -x f, sign * ratio f).
    So four c0 whose sum stays what it was give any constant torque, and no force.
    """
    mass_kg = airframe.mass_kg * mass_scale
    ratio_m = sum(airframe.torque_nm) / sum(airframe.thrust_n)
    x, y, _ = np.array(airframe.rotor_position_m).T
    wrench = np.stack([np.ones(4), y, -x, np.multiply(airframe.rotor_torque_sign, ratio_m)])
    thrust_n = np.tile(airframe.thrust_n, (4, 1))
    thrust_n[:, 0] += np.linalg.solve(wrench, np.concatenate([[0.0], push[3:]]))
    j = np.array(airframe.inertia_kg_m2)
    return {
        "rotor_positions": airframe.rotor_position_m,
        "rotor_thrust_directions": [[0, 0, 1]] * 4,
        "rotor_torque_directions": [[0, 0, sign] for sign in airframe.rotor_torque_sign],
        "rotor_thrust_coefficients": thrust_n.tolist(),
        "rotor_torque_constants": [ratio_m] * 4,
        "rotor_time_constants_rising": [airframe.rotor_rise_s] * 4,
        "rotor_time_constants_falling": [airframe.rotor_fall_s] * 4,
        "mass": mass_kg,
        "gravity": (push[:3] / mass_kg - [0, 0, GRAVITY_M_S2]).tolist(),
        "J": np.diag(j).tolist(),
        "J_inv": np.diag(1 / j).tolist(),
        "hovering_throttle_relative": airframe.hover_fraction,
        "action_limit": {"min": 0, "max": 1},
    }


def _rows(vector: Any) -> dict[str, Array]:
    """Views (n, k), by field, into the memory of a VectorState, whose vehicles lie in one std::array.

    Each of l2f's own views shows one vehicle; the distance to the next one's is the stride.
    """
    states, views = vector.states, {}
    for name in FIELDS:
        first, second = (getattr(s, name) for s in (states[0], states[min(1, len(states) - 1)]))
        stride = second.ctypes.data - first.ctypes.data
        views[name] = as_strided(first, (len(states), *first.shape), (stride, *first.strides))
    return views
