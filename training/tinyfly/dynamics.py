"""The truth: n quadrotors as rigid bodies with lagging rotors and drag, one Runge-Kutta step (RK4) at a time.

    p' = v                          q' = q * (0, w) / 2
    m v' = R (0, 0, sum f_i) + m g + force - R diag(drag) R^T v
    J w' = sum_i (y_i f_i, -x_i f_i, s_i (t_i + I U u_i')) - w x (J w + h) + torque
    u_i' = (c_i - u_i) (k1 + k2 (c_i + u_i)),  k rising or falling (see `airframe`)

f_i and t_i are polynomials in the rotor's speed fraction u_i of full speed U; I is a propeller's inertia and
h = -(0, 0, I U sum s_i u_i) the propellers' angular momentum. Frames as in docs/conventions.md.

How NumPy is made to do this fast: the state is a struct of arrays, and one call works on several rows; the
rotors depend on nothing else, so their four stages come first and one matrix product turns all four into
wrenches; every constant carries half the step, so that a stage's derivative is the increment to the next
stage; nothing is allocated; callers hand in no more columns than stay in the cache (`chunks`); and since all
scratch stays where it is, the step is written down once as a list of calls (`Program`) and then replayed,
which spares making 300 views a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.state import POSITION, ROTOR_SPEED, ROWS, VELOCITY

Array = NDArray[np.floating]

CHUNK = 4096  # columns; see docs/simulator.md
# RK4 is stable up to dt * rate = 2.78 and accurate far below; rotors faster than this get shorter steps.
_LARGEST_LAG = 0.5
_SPARE = 16  # columns: 64 bytes of float32


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Columns 0..n in runs of at most ``size``."""
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


class Program:
    """A straight line of calls on fixed arrays, ``f(*inputs, out)``: written once, run many times."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, f: Callable[..., Any], *arguments: Any) -> None:
        self._calls.append((f, arguments))

    def run(self) -> None:
        for f, arguments in self._calls:
            f(*arguments)


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
        self._half, self._quarter, self._dt = constant(half), constant(half / 2), constant(2 * half)
        self._fall_of_half_step = constant(half * GRAVITY_M_S2)
        self._one, self._one_half = constant(1), constant(0.5)
        self._simpson = constant([[1 / 3, 2 / 3, 2 / 3, 1 / 3]])  # RK4's, for increments of half steps
        self._simpson_twice = constant([[2 * half / 3] * 3])  # the same, integrated once more
        self._rise, self._fall = (
            [constant(half * k) for k in ks] for ks in (airframe.rotor_rise_per_s, airframe.rotor_fall_per_s)
        )
        self._wrench_of_rotors, self._idle = (constant(x) for x in _mixer(airframe, half))
        j = np.array(airframe.inertia_kg_m2)[:, None]
        self._per_force, self._per_torque = constant(half / airframe.mass_kg), constant(half / j)
        self._gyro = constant(half * (np.roll(j, -1, 0) - np.roll(j, -2, 0)) / j)
        self._drag = [half * d / airframe.mass_kg for d in airframe.drag_n_s_m]

        # Rows a power of two apart fall on the same cache lines and evict each other: one spare line parts
        # them. Its columns are computed too, as copies of the first vehicle, and never handed out.
        if n % 2048 == 0:  # at 1024 it does not pay, see docs/simulator.md
            n += _SPARE
        # What a step is given, and changes: state, command, push, mass scale.
        self._state, self._command, self._push, self._mass = (
            zeros(ROWS, n),
            zeros(4, n),
            zeros(6, n),
            zeros(1, n),
        )
        # At every stage u, u^2 and increment of u of M1..M4 -> the wrench.
        self._rotors, self._wrench = zeros(4, 12, n), zeros(4, len(self._wrench_of_rotors), n)
        # A stage's quaternion w x y z, x y; velocity; angular velocity x y z, x y. The rows that come twice
        # turn the cyclic shifts of a cross product into plain windows.
        self._stage = zeros(14, n)
        self._increments = zeros(4, 10, n)  # of quaternion, velocity, angular velocity at every stage
        self._sum = zeros(10, n)
        self._a, self._b, self._c, self._turn, self._axis = (zeros(k, n) for k in (4, 4, 4, 5, 3))
        self._light = zeros(1, n)
        self._programs: dict[tuple[bool, bool], Program] = {}

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
        n = self.n
        given = (self._state, state), (self._command, command), (self._push, push), (self._mass, mass_scale)
        for scratch, rows in given:
            if rows is not None:
                scratch[:, :n], scratch[:, n:] = rows, rows[:, :1]
        kind = push is not None, mass_scale is not None
        if kind not in self._programs:
            self._programs[kind] = self._write(*kind)
        for _ in range(self.substeps):
            self._programs[kind].run()
        state[:] = self._state[:, :n]

    def _write(self, pushed: bool, scaled: bool) -> Program:
        do, x, d = Program(), self._state, self._increments
        if scaled:
            do(np.divide, self._one, self._mass, self._light)
        self._write_rotors(do, scaled)
        begin, stage = x[3:13], self._stage  # quaternion, velocity, angular velocity
        for i in range(4):
            if i == 0:
                do(np.copyto, stage[0:4], begin[0:4])
                do(np.copyto, stage[6:12], begin[4:10])
            else:
                do(np.add, begin[0:4], d[i - 1, 0:4], stage[0:4])
                do(np.add, begin[4:10], d[i - 1, 4:10], stage[6:12])
            if i == 3:
                do(np.add, stage[0:4], d[2, 0:4], stage[0:4])
                do(np.add, stage[6:12], d[2, 4:10], stage[6:12])
            do(np.copyto, stage[4:6], stage[1:3])
            do(np.copyto, stage[12:14], stage[9:11])
            self._write_derivative(do, i, pushed, scaled)
        # position: p + dt v + dt / 3 (sum of the first three stages' increments of v)
        travel, drift = self._axis, self._c[0:3]
        do(np.matmul, self._simpson_twice, d[0:3, 4:7].reshape(3, -1), travel.reshape(1, -1))
        do(np.multiply, x[VELOCITY], self._dt, drift)
        do(np.add, travel, drift, travel)
        do(np.add, x[POSITION], travel, x[POSITION])
        # everything else: x + (d1 + 2 d2 + 2 d3 + d4) / 3
        do(np.matmul, self._simpson, d.reshape(4, -1), self._sum.reshape(1, -1))
        do(np.add, begin, self._sum, begin)
        # back to a unit quaternion
        q, a = x[3:7], self._a
        do(np.multiply, q, q, a)
        do(np.add, a[0:2], a[2:4], a[0:2])
        do(np.add, a[0], a[1], a[0])
        do(np.sqrt, a[0], a[0])
        do(np.divide, q, a[0], q)
        return do

    def _write_rotors(self, do: Program, scaled: bool) -> None:
        """Advance the rotors' speed; leave the wrench of each stage in ``_wrench``."""
        speed, command, f = self._state[ROTOR_SPEED], self._command, self._rotors
        (rise_1, rise_2), (fall_1, fall_2) = self._rise, self._fall
        k1, k2 = rise_1, rise_2
        quadratic = bool(rise_2 or fall_2)
        if rise_1 != fall_1 or rise_2 != fall_2:
            rising, k1, k2 = self._a, self._b, self._c
            do(np.greater, command, speed, rising)
            do(np.multiply, rising, rise_1 - fall_1, k1)
            do(np.add, k1, fall_1, k1)
            do(np.multiply, rising, rise_2 - fall_2, k2)
            do(np.add, k2, fall_2, k2)
        for i in range(4):
            u, squared, d = f[i, 0:4], f[i, 4:8], f[i, 8:12]
            if i == 0:
                do(np.copyto, u, speed)
            else:
                do(np.add, speed, f[i - 1, 8:12], u)
            if i == 3:
                do(np.add, u, f[2, 8:12], u)
            do(np.subtract, command, u, d)
            if quadratic:
                do(np.add, command, u, self._a)
                do(np.multiply, self._a, k2, self._a)
                do(np.add, self._a, k1, self._a)
                do(np.multiply, d, self._a, d)
            else:
                do(np.multiply, d, k1, d)
            do(np.multiply, u, u, squared)
        weights = self._wrench_of_rotors
        do(np.matmul, weights, f[:, : weights.shape[1]], self._wrench)
        if self._idle.any():
            do(np.add, self._wrench, self._idle, self._wrench)
        if scaled:
            do(np.multiply, self._wrench[:, 0], self._light, self._wrench[:, 0])
        do(np.matmul, self._simpson, f[:, 8:12].reshape(4, -1), self._a.reshape(1, -1))
        do(np.add, speed, self._a, speed)

    def _write_derivative(self, do: Program, i: int, pushed: bool, scaled: bool) -> None:
        """Half a step times the derivative at stage i, into its increments."""
        q, v, w = self._stage[0:6], self._stage[6:9], self._stage[9:14]
        increment, wrench = self._increments[i], self._wrench[i]
        dq, dv, dw = increment[0:4], increment[4:7], increment[7:10]
        a, turn, axis = self._a, self._turn, self._axis
        # angular velocity
        do(np.multiply, w[1:4], w[2:5], dw)
        do(np.multiply, dw, self._gyro, dw)
        do(np.add, dw, wrench[1:4], dw)
        if pushed:
            do(np.multiply, self._push[3:6], self._per_torque, a[0:3])
            do(np.add, dw, a[0:3], dw)
        if self.airframe.rotor_inertia_kg_m2:
            do(np.multiply, w[1::-1], wrench[4:6], a[0:2])
            do(np.add, dw[0:2], a[0:2], dw[0:2])
        # quaternion: q * (0, w) / 2
        do(np.multiply, w, self._quarter, turn)
        do(np.multiply, q[1:4], turn[0:3], a[0:3])
        do(np.add, a[0], a[1], a[0])
        do(np.add, a[0], a[2], a[0])
        do(np.negative, a[0], dq[0])
        do(np.multiply, turn[0:3], q[0], dq[1:4])
        do(np.multiply, q[2:5], turn[2:5], a[0:3])
        do(np.add, dq[1:4], a[0:3], dq[1:4])
        do(np.multiply, q[3:6], turn[1:4], a[0:3])
        do(np.subtract, dq[1:4], a[0:3], dq[1:4])
        # velocity: half the body's z axis, times twice the thrust
        do(np.multiply, q[1:3], q[3], axis[0:2])
        do(np.multiply, q[2:0:-1], q[0], a[0:2])
        do(np.add, axis[0], a[0], axis[0])
        do(np.subtract, axis[1], a[1], axis[1])
        do(np.multiply, q[1:3], q[1:3], a[0:2])
        do(np.add, a[0], a[1], a[0])
        do(np.subtract, self._one_half, a[0], axis[2])
        do(np.multiply, axis, wrench[0], dv)
        do(np.subtract, dv[2], self._fall_of_half_step, dv[2])
        if pushed:
            do(np.multiply, self._push[0:3], self._per_force, a[0:3])
            if scaled:
                do(np.multiply, a[0:3], self._light, a[0:3])
            do(np.add, dv, a[0:3], dv)
        if any(self._drag):
            self._write_drag(do, q, v, dv, scaled)

    def _write_drag(self, do: Program, q: Array, v: Array, dv: Array, scaled: bool) -> None:
        """dv -= kx v + (ky - kx) (y . v) y + (kz - kx) (z . v) z; y and z are the body's axes."""
        kx, ky, kz = self._drag
        force, a, half_z, half_y = self._c[0:3], self._a, self._axis, self._turn[0:3]
        do(np.multiply, v, self.dtype(kx), force)
        self._write_along(do, half_z, v, 4 * (kz - kx), force)
        if ky != kx:
            do(np.multiply, q[1:4], q[2], half_y)  # x y, y y, y z
            do(np.multiply, q[1:4], q[1:4], a[0:3])
            do(np.add, a[0], a[2], half_y[1])
            do(np.subtract, self._one_half, half_y[1], half_y[1])
            do(np.multiply, q[3:0:-2], q[0], a[0:2])  # w z, w x
            do(np.subtract, half_y[0], a[0], half_y[0])
            do(np.add, half_y[2], a[1], half_y[2])
            self._write_along(do, half_y, v, 4 * (ky - kx), force)
        if scaled:
            do(np.multiply, force, self._light, force)
        do(np.subtract, dv, force, dv)

    def _write_along(self, do: Program, half_axis: Array, v: Array, k: float, out: Array) -> None:
        """out += k (axis . v) axis"""
        a = self._a
        do(np.multiply, half_axis, v, a[0:3])
        do(np.add, a[0], a[1], a[0])
        do(np.add, a[0], a[2], a[0])
        do(np.multiply, a[0], self.dtype(k), a[3])
        do(np.multiply, half_axis, a[3], a[0:3])
        do(np.add, out, a[0:3], out)


def _mixer(a: Airframe, half: float) -> tuple[Array, Array]:
    """Weights from the rotors' u, u^2 and increment of u to half a step of the wrench, and its constant part.

    Outputs: twice the thrust over mass; torque over inertia (three rows); for spinning propellers also the
    gyroscopic torque's factors of w_y and w_x. Shapes (4, 8) or (6, 12), and (4 or 6, 1).
    """
    x, y, _ = np.array(a.rotor_position_m).T
    sign, (jx, jy, jz) = np.array(a.rotor_torque_sign), a.inertia_kg_m2
    by_thrust = half * np.stack([np.full(4, 2 / a.mass_kg), y / jx, -x / jy, np.zeros(4)])
    by_torque = half * np.stack([np.zeros(4), np.zeros(4), np.zeros(4), sign / jz])
    constant, linear, quadratic = (
        f * by_thrust + t * by_torque for f, t in zip(a.thrust_n, a.torque_nm, strict=True)
    )
    weights, idle = np.hstack([linear, quadratic]), constant.sum(1, keepdims=True)
    if not a.rotor_inertia_kg_m2:
        return weights, idle
    momentum = a.rotor_inertia_kg_m2 * a.rotor_speed_max_rad_s * sign
    spun = np.zeros((6, 12))
    spun[:4, :8] = weights
    spun[3, 8:] = momentum / jz  # the increment carries the half step already
    spun[4, :4], spun[5, :4] = half * momentum / jx, -half * momentum / jy
    return spun, np.vstack([idle, [[0], [0]]])
