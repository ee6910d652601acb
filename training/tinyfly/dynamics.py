"""The truth: n quadrotors as rigid bodies with lagging rotors and drag, one Runge-Kutta step (RK4) at a time.

    p' = v                          q' = q * (0, w) / 2
    m v' = R (0, 0, sum f_i) + m g + force - R diag(drag) R^T v
    J w' = sum_i (y_i f_i, -x_i f_i, s_i (t_i + I U u_i')) - w x (J w + h) + torque
    u_i' = (c_i - u_i) (k1 + k2 (c_i + u_i)),  k rising or falling (see `airframe`)

f_i and t_i are polynomials in the rotor's speed fraction u_i of full speed U; I is a propeller's inertia and
h = -(0, 0, I U sum s_i u_i) the propellers' angular momentum. Frames as in docs/conventions.md.

How NumPy is made to do this fast (figures in docs/simulator.md): what depends on nothing else comes first,
for all four stages: the rotors (`rotors`), then angular velocity and attitude, then the direction of the
thrust, and velocity. Every constant carries half the step, so that a stage's derivative is the increment to
the next stage; w is kept as the ``turn`` -(half step / 2) w, which the derivative of q wants without a factor
and, with this sign, without a negation. The step is a list of calls on arrays that stay where they are
(`Program`), each on several rows that lie together; hardly any broadcasts, and nothing is allocated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import add, copyto, divide, matmul, multiply, sqrt, subtract
from numpy.typing import ArrayLike, NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.program import Program
from tinyfly.rotors import SIMPSON, make_rotors
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY

Array = NDArray[np.floating]

# RK4 is stable up to dt * rate = 2.78 and accurate far below; rotors faster than this get shorter steps.
_LARGEST_LAG = 0.5


class Dynamics:
    """One airframe, ``n`` columns, steps of ``dt_s``. Holds constants and scratch, never a state."""

    def __init__(
        self, airframe: Airframe, n: int, dt_s: float, dtype: type[np.floating] = np.float32
    ) -> None:
        def zeros(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        def constant(x: ArrayLike) -> Array:
            return np.array(x, dtype)

        self.airframe, self.n, self.dt_s, self.dtype = airframe, n, dt_s, dtype
        lag = max(k1 + 2 * k2 for k1, k2 in (airframe.rotor_rise_per_s, airframe.rotor_fall_per_s))
        self.substeps = math.ceil(dt_s * lag / _LARGEST_LAG)
        half = dt_s / self.substeps / 2
        unit = -2 / half  # rad/s, what a turn of 1 stands for
        j = np.array(airframe.inertia_kg_m2)[:, None]
        self._one, self._one_half, self._per_rate = constant(1), constant(0.5), constant(1 / unit)
        self._per_force, self._per_torque = constant(half / airframe.mass_kg), constant(half / unit / j)
        self._fall = constant(half * GRAVITY_M_S2)
        gyro = half * unit * (np.roll(j, -1, 0) - np.roll(j, -2, 0)) / j
        axes = 3 if gyro[2] else 2  # a body with Jx = Jy has no gyroscopic torque about z
        self._gyro = np.repeat(constant(gyro[:axes]), n, 1)
        self._drag = [half * d / airframe.mass_kg for d in airframe.drag_n_s_m]
        # RK4's weights of `_velocities` in the changes of position and velocity.
        twice = 2 * half / 3
        self._motion = constant([[3 * twice, 3 * twice, twice, twice, twice, 0], [0, 2, *SIMPSON[0]]])
        self._simpson, self._simpson_of_turn = constant(SIMPSON), constant(SIMPSON * unit)

        self._rotors = make_rotors(airframe, n, half, unit, dtype)
        # Quaternions of the stages, w x y z, x y, and turns of the first and of another stage, x y z, x y:
        # the rows that come twice make windows of the cyclic shifts of a cross product.
        self._q, self._first_turn, self._turn = zeros(4, 6, n), zeros(5, n), zeros(5, n)
        self._dq = zeros(4, 4, n)  # increments; those of the turn take the place of the wrench's torque
        # The velocity; its increment by push and gravity, the same in every stage; that by thrust and drag.
        self._velocities = zeros(6, 3, n)
        self._half_z = zeros(4, 3, n) if any(self._drag) else self._velocities[2:]
        # What comes of it: changes of position and velocity, of w (after the thrust's row), a new quaternion.
        self._moved, self._turned = zeros(2, 3, n), zeros(self._rotors.wrench.shape[1], n)
        self._new_q, self._length = zeros(4, n), zeros(n)
        self._half_y, self._v, self._force, self._torque = zeros(4, 3, n)
        self._a, self._b, self._light = zeros(4, n), zeros(2, 4, n), zeros(1, n)
        self._programs: dict[bool, Program] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is made anew: arrays copied one by one would no longer be views on each other."""
        return Dynamics, (self.airframe, self.n, self.dt_s, self.dtype)

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None:
        """Advance ``state`` in place by ``dt_s``.

        Args:
            state: (17, n), rows as in `state`.
            command: (4, n) rotor speeds commanded, in [0, 1], held during the step.
            push: (6, n) force in N (world) and torque in Nm (body), held during the step; None for none.
            mass_scale: (1, n) mass over the airframe's mass (inertia stays); None for 1.
        """
        torque, light, pushed = None, None, self._velocities[1]
        if mass_scale is not None:
            light = divide(self._one, mass_scale, self._light)
        if push is None:
            pushed.fill(0)
        else:
            multiply(push[:3], self._per_force, pushed)
            torque = multiply(push[3:], self._per_torque, self._torque)
            if light is not None:
                multiply(pushed, light, pushed)
        subtract(pushed[2], self._fall, pushed[2])
        scaled = light is not None
        if scaled not in self._programs:
            self._programs[scaled] = self._write(scaled)
        for _ in range(self.substeps):
            self._advance(state, command, torque, light)

    def _advance(self, state: Array, command: Array, torque: Array | None, light: Array | None) -> None:
        p, q, v, w = state[POSITION], state[QUATERNION], state[VELOCITY], state[ANGULAR_VELOCITY]
        self._rotors.advance(state[ROTOR_SPEED], command, torque)
        if light is not None:
            thrust = self._rotors.wrench[:, 0]
            multiply(thrust, light, thrust)
        copyto(self._q[0, :4], q)
        copyto(self._velocities[0], v)
        multiply(w, self._per_rate, self._first_turn[:3])
        self._programs[light is not None].run()
        divide(self._new_q, self._length, q)
        add(w, self._turned[1:4], w)
        add(p, self._moved[0], p)
        add(v, self._moved[1], v)

    def _write(self, scaled: bool) -> Program:
        """From all wrenches and the first stage's quaternion, turn and velocity to what comes of the step."""
        do, wrench = Program(), self._rotors.wrench
        for i in range(4):
            turn = self._write_stage(do, i)
            self._write_gyroscope(do, turn, wrench[i])
            self._write_attitude(do, self._q[i], turn, self._dq[i])
        self._write_thrust(do)
        if any(self._drag):
            self._write_drag(do, scaled)
        do(matmul, self._motion, self._velocities.reshape(6, -1), self._moved.reshape(2, -1))
        do(matmul, self._simpson_of_turn, wrench.reshape(4, -1), self._turned.reshape(1, -1))
        new, a = self._new_q, self._a
        pair, one = a[:2], a[0]
        do(matmul, self._simpson, self._dq.reshape(4, -1), new.reshape(1, -1))
        do(add, new, self._q[0, :4], new)
        do(multiply, new, new, a)
        do(add, pair, a[2:4], pair)
        do(add, one, a[1], one)
        do(sqrt, one, self._length)
        return do

    def _write_stage(self, do: Program, i: int) -> Array:
        """Where stage i stands: its quaternion in ``_q``; returns its turn."""
        q, turn = self._q[i], self._turn if i else self._first_turn
        if i:
            dq, dturn, q0, turn0 = self._dq[i - 1], self._rotors.wrench[i - 1, 1:4], q[:4], turn[:3]
            do(add, self._q[0, :4], dq, q0)
            do(add, self._first_turn[:3], dturn, turn0)
            if i == 3:
                do(add, q0, dq, q0)
                do(add, turn0, dturn, turn0)
        do(copyto, q[4:], q[1:3])
        do(copyto, turn[3:], turn[:2])
        return turn

    def _write_gyroscope(self, do: Program, turn: Array, wrench: Array) -> None:
        """Take w x (J w + h) from the torque: what is left is the turn's increment."""
        axes = len(self._gyro)
        a, torque = self._a[:axes], wrench[1 : 1 + axes]
        do(multiply, turn[1 : 1 + axes], turn[2 : 2 + axes], a)
        do(multiply, a, self._gyro, a)
        do(add, torque, a, torque)
        if self.airframe.rotor_inertia_kg_m2:
            a, torque = self._a[:2], wrench[1:3]
            do(multiply, turn[1], wrench[4], a[0])
            do(multiply, turn[0], wrench[5], a[1])
            do(add, torque, a, torque)

    def _write_attitude(self, do: Program, q: Array, turn: Array, dq: Array) -> None:
        """The quaternion (w, r) times (0, -turn) is (turn . r, turn x r - w turn)."""
        a, vector = self._a[:3], dq[1:4]
        a0 = a[0]
        do(multiply, turn[:3], q[1:4], a)
        do(add, a0, a[1], a0)
        do(add, a0, a[2], dq[0])
        do(multiply, turn[1:4], q[3:6], vector)
        do(multiply, turn[2:5], q[2:5], a)
        do(subtract, vector, a, vector)
        for k in range(3):
            do(multiply, turn[k], q[0], a[k])
        do(subtract, vector, a, vector)

    def _write_thrust(self, do: Program) -> None:
        """Half the body's z axis, of all stages; times twice the thrust over the mass."""
        w, x, y, z = (self._q[:, k] for k in range(4))
        axis, (b0, b1) = [self._half_z[:, k] for k in range(3)], self._b
        do(multiply, x, z, axis[0])
        do(multiply, y, z, axis[1])
        do(multiply, y, w, b0)
        do(multiply, x, w, b1)
        do(add, axis[0], b0, axis[0])
        do(subtract, axis[1], b1, axis[1])
        do(multiply, x, x, b0)
        do(multiply, y, y, b1)
        do(add, b0, b1, b0)
        do(subtract, self._one_half, b0, axis[2])
        for k in range(3):
            do(multiply, axis[k], self._rotors.wrench[:, 0], self._velocities[2:, k])

    def _write_drag(self, do: Program, scaled: bool) -> None:
        """Less kx v + (ky - kx) (y . v) y + (kz - kx) (z . v) z; y and z are the body's axes."""
        kx, ky, kz = self._drag
        begin, pushed, *increments = self._velocities
        force = self._force
        for i, increment in enumerate(increments):
            v = self._v if i else begin
            if i:
                do(add, pushed, increments[i - 1], force)
                do(add, begin, force, v)
            if i == 3:
                do(add, v, force, v)
            do(multiply, v, np.array(kx, self.dtype), force)
            self._write_along(do, self._half_z[i], v, 4 * (kz - kx), force)
            if ky != kx:
                self._write_half_y(do, self._q[i])
                self._write_along(do, self._half_y, v, 4 * (ky - kx), force)
            if scaled:
                do(multiply, force, self._light, force)
            do(subtract, increment, force, increment)

    def _write_half_y(self, do: Program, q: Array) -> None:
        y, a = self._half_y, self._a
        do(multiply, q[1:4], q[2], y)  # x y, y y, y z
        do(multiply, q[1:4], q[1:4], a[0:3])
        do(add, a[0], a[2], y[1])
        do(subtract, self._one_half, y[1], y[1])
        do(multiply, q[3:0:-2], q[0], a[0:2])  # w z, w x
        do(subtract, y[0], a[0], y[0])
        do(add, y[2], a[1], y[2])

    def _write_along(self, do: Program, half_axis: Array, v: Array, k: float, out: Array) -> None:
        """out += k (axis . v) axis"""
        vector, along = self._a[:3], self._a[3]
        do(multiply, half_axis, v, vector)
        do(add, vector[0], vector[1], along)
        do(add, along, vector[2], along)
        do(multiply, along, np.array(k, self.dtype), along)
        for j in range(3):
            do(multiply, half_axis[j], along, vector[j])
        do(add, out, vector, out)
