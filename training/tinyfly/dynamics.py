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
stage; nothing is allocated; and callers hand in no more columns than stay in its cache (`chunks`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy import add, multiply, subtract
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.state import POSITION, ROTOR_SPEED, VELOCITY

Array = NDArray[np.floating]

CHUNK = 2048  # columns
# RK4 is stable up to dt * rate = 2.78 and accurate far below; rotors faster than this get shorter steps.
_LARGEST_LAG = 0.5


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Columns 0..n in runs of at most ``size``."""
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


class Dynamics:
    """One airframe, ``n`` columns, steps of ``dt_s``. Holds constants and scratch, never a state."""

    def __init__(
        self, airframe: Airframe, n: int, dt_s: float, dtype: type[np.floating] = np.float32
    ) -> None:
        def zeros(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        self.airframe, self.n, self.dt_s, self.dtype = airframe, n, dt_s, dtype
        lag = max(k1 + 2 * k2 for k1, k2 in (airframe.rotor_rise_per_s, airframe.rotor_fall_per_s))
        self.substeps = math.ceil(dt_s * lag / _LARGEST_LAG)
        half = dt_s / self.substeps / 2
        self._half = self.dtype(half)
        self._lag = np.array([airframe.rotor_rise_per_s, airframe.rotor_fall_per_s], dtype) * self._half
        self._wrench_of_rotors, self._idle = (x.astype(dtype) for x in _mixer(airframe, half))
        jx, jy, jz = airframe.inertia_kg_m2
        column = np.array([[jx], [jy], [jz]])
        self._per_force = self.dtype(half / airframe.mass_kg)
        self._per_torque = (half / column).astype(dtype)
        self._gyro = (half * (np.roll(column, -1, 0) - np.roll(column, -2, 0)) / column).astype(dtype)
        self._drag = np.array(airframe.drag_n_s_m, dtype) * self._per_force
        self._spinning = airframe.rotor_inertia_kg_m2 > 0
        self._idles, self._dragged = bool(self._idle.any()), bool(self._drag.any())

        # u, u^2 and increment of u, each of M1..M4, at every stage -> wrench at every stage
        self._rotors = zeros(12, 4, n)
        self._wrench = zeros(len(self._wrench_of_rotors), 4, n)
        # A stage's quaternion w x y z, x y; velocity; angular velocity x y z, x y. The rows that come twice
        # turn the cyclic shifts of a cross product into plain windows.
        self._stage = zeros(14, n)
        self._increments = [zeros(10, n) for _ in range(4)]  # quaternion, velocity, angular velocity
        self._force, self._torque, self._light = zeros(3, n), zeros(3, n), zeros(1, n)
        self._k1, self._k2 = zeros(4, n), zeros(4, n)
        self._a, self._b, self._turn, self._axis = zeros(4, n), zeros(4, n), zeros(5, n), zeros(3, n)

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
        for _ in range(self.substeps):
            self._substep(state, command, push, mass_scale)

    def _substep(self, state: Array, command: Array, push: Array | None, mass_scale: Array | None) -> None:
        light = None if mass_scale is None else np.divide(1, mass_scale, out=self._light)
        self._turn_rotors(state[ROTOR_SPEED], command)
        if light is not None:
            multiply(self._wrench[0], light, out=self._wrench[0])
        if push is not None:
            multiply(push[0:3], self._per_force, out=self._force)
            if light is not None:
                multiply(self._force, light, out=self._force)
            multiply(push[3:6], self._per_torque, out=self._torque)
        pushed = push is not None

        begin = state[3:13]  # quaternion, velocity, angular velocity
        d1, d2, d3, d4 = self._increments
        self._enter(begin, None)
        self._derive(0, d1, pushed, light)
        self._enter(begin, d1)
        self._derive(1, d2, pushed, light)
        self._enter(begin, d2)
        self._derive(2, d3, pushed, light)
        self._enter(begin, add(d3, d3, out=d4))
        self._derive(3, d4, pushed, light)

        # position: p + dt (v + (sum of the first three stages' dv) / 3)
        travel, velocity = self._axis, slice(4, 7)
        add(d1[velocity], d2[velocity], out=travel)
        add(travel, d3[velocity], out=travel)
        multiply(travel, self.dtype(1 / 3), out=travel)
        add(travel, state[VELOCITY], out=travel)
        multiply(travel, 2 * self._half, out=travel)
        add(state[POSITION], travel, out=state[POSITION])
        self._conclude(begin, d1, d2, d3, d4)
        self._normalise(begin[0:4])

    def _turn_rotors(self, speed: Array, command: Array) -> None:
        """Advance the rotors' speed; leave the wrench of each stage in ``_wrench``."""
        u, squared, gain = self._rotors[0:4], self._rotors[4:8], self._rotors[8:12]
        (rise_1, rise_2), (fall_1, fall_2) = self._lag
        if rise_1 == fall_1 and rise_2 == fall_2:
            k1, k2 = rise_1, rise_2
        else:
            rising = np.greater(command, speed, out=self._b)
            k1 = add(multiply(rising, rise_1 - fall_1, out=self._k1), fall_1, out=self._k1)
            k2 = add(multiply(rising, rise_2 - fall_2, out=self._k2), fall_2, out=self._k2)
        for i in range(4):
            now, d = u[:, i], gain[:, i]
            if i == 0:
                now[:] = speed
            else:
                add(speed, gain[:, i - 1], out=now)
            if i == 3:
                add(now, gain[:, 2], out=now)
            subtract(command, now, out=d)
            if rise_2 or fall_2:
                add(command, now, out=self._a)
                multiply(self._a, k2, out=self._a)
                add(self._a, k1, out=self._a)
                multiply(d, self._a, out=d)
            else:
                multiply(d, k1, out=d)
        multiply(u, u, out=squared)
        weights = self._wrench_of_rotors
        features = self._rotors[: weights.shape[1]].reshape(weights.shape[1], -1)
        np.matmul(weights, features, out=self._wrench.reshape(len(weights), -1))
        if self._idles:
            add(self._wrench, self._idle[:, None], out=self._wrench)
        self._conclude(speed, *(gain[:, i] for i in range(4)))

    def _enter(self, begin: Array, d: Array | None) -> None:
        """Stage state = begin + d."""
        stage = self._stage
        if d is None:
            stage[0:4], stage[6:12] = begin[0:4], begin[4:10]
        else:
            add(begin[0:4], d[0:4], out=stage[0:4])
            add(begin[4:10], d[4:10], out=stage[6:12])
        stage[4:6] = stage[1:3]
        stage[12:14] = stage[9:11]

    def _derive(self, i: int, d: Array, pushed: bool, light: Array | None) -> None:
        """Half a step times the derivative of the stage state -> d."""
        q, v, w = self._stage[0:6], self._stage[6:9], self._stage[9:14]
        dq, dv, dw = d[0:4], d[4:7], d[7:10]
        a, b, turn, wrench = self._a, self._b, self._turn, self._wrench[:, i]
        # angular velocity
        multiply(w[1:4], w[2:5], out=dw)
        multiply(dw, self._gyro, out=dw)
        add(dw, wrench[1:4], out=dw)
        if pushed:
            add(dw, self._torque, out=dw)
        if self._spinning:
            multiply(w[1::-1], wrench[4:6], out=a[0:2])
            add(dw[0:2], a[0:2], out=dw[0:2])
        # quaternion: q * (0, w) / 2
        multiply(w, self._half / 2, out=turn)
        multiply(q[1:4], turn[0:3], out=a[0:3])
        add(a[0], a[1], out=a[0])
        add(a[0], a[2], out=a[0])
        np.negative(a[0], out=dq[0])
        multiply(turn[0:3], q[0], out=dq[1:4])
        multiply(q[2:5], turn[2:5], out=a[0:3])
        add(dq[1:4], a[0:3], out=dq[1:4])
        multiply(q[3:6], turn[1:4], out=a[0:3])
        subtract(dq[1:4], a[0:3], out=dq[1:4])
        # velocity: half the body's z axis times twice the thrust
        axis = self._axis
        multiply(q[1:3], q[3], out=axis[0:2])
        multiply(q[2:0:-1], q[0], out=b[0:2])
        add(axis[0], b[0], out=axis[0])
        subtract(axis[1], b[1], out=axis[1])
        multiply(q[1:3], q[1:3], out=b[0:2])
        add(b[0], b[1], out=b[0])
        subtract(self.dtype(0.5), b[0], out=axis[2])
        multiply(axis, wrench[0], out=dv)
        subtract(dv[2], self._half * self.dtype(GRAVITY_M_S2), out=dv[2])
        if pushed:
            add(dv, self._force, out=dv)
        if self._dragged:
            self._add_drag(q, v, dv, light)

    def _add_drag(self, q: Array, v: Array, dv: Array, light: Array | None) -> None:
        """dv -= kx v + (ky - kx) (y . v) y + (kz - kx) (z . v) z; y and z are the body's axes."""
        kx, ky, kz = self._drag
        force, a, half_z = self._b[0:3], self._a[0:3], self._axis
        multiply(v, kx, out=force)
        self._add_along(half_z, v, 4 * (kz - kx), force)
        if ky != kx:
            half_y = self._turn[0:3]
            multiply(q[1:4], q[2], out=half_y)  # x y, y y, y z
            multiply(q[1:4], q[1:4], out=a)
            add(a[0], a[2], out=half_y[1])
            subtract(self.dtype(0.5), half_y[1], out=half_y[1])
            multiply(q[3:0:-2], q[0], out=a[0:2])  # w z, w x
            subtract(half_y[0], a[0], out=half_y[0])
            add(half_y[2], a[1], out=half_y[2])
            self._add_along(half_y, v, 4 * (ky - kx), force)
        if light is not None:
            multiply(force, light, out=force)
        subtract(dv, force, out=dv)

    def _add_along(self, half_axis: Array, v: Array, k: np.floating, out: Array) -> None:
        """out += k (axis . v) axis"""
        a = self._a[0:3]
        multiply(half_axis, v, out=a)
        add(a[0], a[1], out=a[0])
        add(a[0], a[2], out=a[0])
        multiply(a[0], k, out=self._a[3])
        multiply(half_axis, self._a[3], out=a)
        add(out, a, out=out)

    def _conclude(self, x: Array, d1: Array, d2: Array, d3: Array, d4: Array) -> None:
        """x += (d1 + 2 d2 + 2 d3 + d4) / 3, which is RK4 since d = k dt / 2; overwrites d2."""
        add(d2, d3, out=d2)
        add(d2, d2, out=d2)
        add(d2, d1, out=d2)
        add(d2, d4, out=d2)
        multiply(d2, self.dtype(1 / 3), out=d2)
        add(x, d2, out=x)

    def _normalise(self, q: Array) -> None:
        a = self._a
        multiply(q, q, out=a)
        add(a[0:2], a[2:4], out=a[0:2])
        add(a[0], a[1], out=a[0])
        np.sqrt(a[0], out=a[0])
        np.divide(q, a[0], out=q)


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
