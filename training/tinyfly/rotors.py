"""Four lagging rotors through one Runge-Kutta step (RK4), and what they do to the body at each of its stages.

    u_i' = (c_i - u_i) (k1 + k2 (c_i + u_i)),  k rising or falling (see `airframe`)

The rotors depend on nothing but their commands, so their stages come first. `StagedRotors` takes any law.
`LinearRotors` takes u' = k (c - u), the same both ways: each of its stages stands at u + s (c - u) with a
number s of its own; thrust and torque, quadratic in the speed, are then quadratic in s, and it suffices to
mix three coefficients once.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy import add, copyto, greater, matmul, multiply, subtract
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.program import Program

Array = NDArray[np.floating]

SIMPSON = np.array([[1, 2, 2, 1]]) / 3  # RK4's weights, for increments of half a step's length
_SPARE = 16  # columns: 64 bytes of float32


class Rotors(Protocol):
    """The rotors of n vehicles, in steps of twice ``half_s``. Holds constants and scratch, never a speed.

    ``wrench`` (4, rows, n) is what ``advance`` leaves for each stage, times half a step: twice the thrust
    over the mass; the torque over the inertia, x, y, z, in units of ``unit_rad_s``; and, where propellers
    have inertia, the factors of w_y and w_x in the gyroscopic acceleration about x and y.
    """

    wrench: Array

    def advance(self, speed: Array, command: Array, torque: Array | None = None) -> None:
        """Advance ``speed`` (4, n) in place towards ``command`` (4, n); leave the wrenches.

        ``torque`` (3, n), over the inertia and in the wrench's units, is added to that of every stage.
        """


def make_rotors(
    airframe: Airframe, n: int, half_s: float, unit_rad_s: float, dtype: type[np.floating]
) -> Rotors:
    """Of the airframe's law."""
    rise, fall = airframe.rotor_rise_per_s, airframe.rotor_fall_per_s
    linear = rise == fall and not rise[1] and not airframe.rotor_inertia_kg_m2
    return (LinearRotors if linear else StagedRotors)(airframe, n, half_s, unit_rad_s, dtype)


def linear_lag(x: float) -> tuple[NDArray[np.float64], float]:
    """RK4's way through u' = k (c - u), where k times half a step is x.

    Returns:
        The share s of the way from u to c at which each stage stands (4,), and at which the step ends, which
        is 1 - exp(-2 x) but for terms of x^5.
    """
    shares = np.zeros(4)
    for i, length in enumerate((1, 1, 2)):
        shares[i + 1] = length * x * (1 - shares[i])
    return shares, float(SIMPSON[0] @ (x * (1 - shares)))


class LinearRotors:
    """`Rotors` of a linear lag, the same for rise and fall, and of propellers without inertia.

    With lead = c - u, the wrench at u + s lead is quadratic in s, and its coefficients are linear in
    (lead^2, 0) for s^2, (2 u lead, lead) for s, and (u^2, u) for 1.
    """

    def __init__(
        self, airframe: Airframe, n: int, half_s: float, unit_rad_s: float, dtype: type[np.floating]
    ) -> None:
        idle, linear, quadratic, _ = _mixers(airframe, half_s, unit_rad_s)
        shares, end = linear_lag(half_s * airframe.rotor_rise_per_s[0])
        self._idle, self._end = idle.astype(dtype) if idle.any() else None, np.array(end, dtype)
        self._with_linear = bool(linear.any())  # many an airframe's polynomials are u^2 alone
        mixers = (quadratic, 0 * linear), (2 * quadratic, linear), (quadratic, linear)
        columns = 8 if self._with_linear else 4
        self._mixers = np.stack([np.hstack(m) for m in mixers])[:, :, :columns].astype(dtype)
        self._terms = np.zeros((3, self._mixers.shape[2], n), dtype)
        self._lead, self._gained = np.zeros((2, 4, n), dtype)
        # Three coefficients, the last of which is the first stage's wrench; then the other stages'.
        rows = np.zeros((6, len(idle), n), dtype)
        self._coefficients, self.wrench = rows[:3], rows[2:]
        powers = (shares[1:, None] ** [2, 1, 0]).astype(dtype)
        self._evaluate = powers, rows[:3].reshape(3, -1), rows[3:].reshape(3, -1)

    def advance(self, speed: Array, command: Array, torque: Array | None = None) -> None:
        """See `Rotors`."""
        lead, terms, first = self._lead, self._terms, self.wrench[0]
        subtract(command, speed, lead)
        multiply(lead, lead, terms[0, :4])
        multiply(speed, lead, terms[1, :4])
        multiply(speed, speed, terms[2, :4])
        if self._with_linear:
            copyto(terms[1, 4:], lead)
            copyto(terms[2, 4:], speed)
        matmul(self._mixers, terms, self._coefficients)
        if self._idle is not None:
            add(first, self._idle, first)
        if torque is not None:
            acceleration = first[1:4]
            add(acceleration, torque, acceleration)
        matmul(*self._evaluate)
        multiply(lead, self._end, self._gained)
        add(speed, self._gained, speed)


class StagedRotors:
    """`Rotors` of any law, stage by stage: u' = g(c) - g(u) with g(x) = x (k1 + k2 x)."""

    def __init__(
        self, airframe: Airframe, n: int, half_s: float, unit_rad_s: float, dtype: type[np.floating]
    ) -> None:
        idle, linear, quadratic, yaw_per_spin_up = _mixers(airframe, half_s, unit_rad_s)
        self._n, self._idle = n, idle.astype(dtype) if idle.any() else None
        mixer = [quadratic, linear, yaw_per_spin_up] if airframe.rotor_inertia_kg_m2 else [quadratic, linear]
        self._mixer = np.hstack(mixer).astype(dtype)
        rates = airframe.rotor_rise_per_s, airframe.rotor_fall_per_s
        self._rise, self._fall = ([np.array(half_s * k, dtype) for k in ks] for ks in rates)
        self._simpson = SIMPSON.astype(dtype)
        self.wrench = np.zeros((4, len(idle), n), dtype)
        # A matrix product reads twelve rows at once; if they lie a power of two apart, they evict each other.
        width = n + _SPARE if n % 1024 == 0 else n
        self._terms = np.zeros((4, 12, width), dtype)  # u^2, u and its increment at every stage
        self._speed, self._command, self._drive, *self._scratch = np.zeros((6, 4, width), dtype)
        self._program = self._write()

    def advance(self, speed: Array, command: Array, torque: Array | None = None) -> None:
        """See `Rotors`."""
        copyto(self._speed[:, : self._n], speed)
        copyto(self._command[:, : self._n], command)
        self._program.run()
        copyto(speed, self._speed[:, : self._n])
        if self._idle is not None:
            add(self.wrench, self._idle, self.wrench)
        if torque is not None:
            accelerations = self.wrench[:, 1:4]
            add(accelerations, torque, accelerations)

    def _write(self) -> Program:
        do, speed, command, drive = Program(), self._speed, self._command, self._drive
        (rise_1, rise_2), (fall_1, fall_2), (a, k1, k2) = self._rise, self._fall, self._scratch
        if rise_1 == fall_1 and rise_2 == fall_2:
            k1, k2 = rise_1, rise_2
        else:
            do(greater, command, speed, a)
            for rise, fall, k in ((rise_1, fall_1, k1), (rise_2, fall_2, k2)):
                do(multiply, a, rise - fall, k)
                do(add, k, fall, k)
        quadratic = bool(rise_2 or fall_2)
        _write_law(do, command, k1, k2 if quadratic else None, drive)
        for i, (squared, u, d) in enumerate(self._terms.reshape(4, 3, 4, -1)):
            if i == 0:
                do(copyto, u, speed)
            else:
                before = self._terms[i - 1, 8:]
                do(add, speed, before, u)
                if i == 3:
                    do(add, u, before, u)
            do(multiply, u, u, squared)
            _write_law(do, u, k1, k2 if quadratic else None, a)
            do(subtract, drive, a, d)
        do(matmul, self._mixer, self._terms[:, : self._mixer.shape[1], : self._n], self.wrench)
        do(matmul, self._simpson, self._terms[:, 8:].reshape(4, -1), a.reshape(1, -1))
        do(add, speed, a, speed)
        return do


def _write_law(do: Program, x: Array, k1: Array, k2: Array | None, out: Array) -> None:
    """x (k1 + k2 x)"""
    if k2 is None:
        do(multiply, x, k1, out)
        return
    do(multiply, x, k2, out)
    do(add, out, k1, out)
    do(multiply, out, x, out)


def _mixers(a: Airframe, half_s: float, unit_rad_s: float) -> tuple[Array, Array, Array, Array]:
    """From the rotors' 1, u, u^2 and half a step of u' to the rows of `Rotors.wrench`.

    Shapes (rows, 1) and three times (rows, 4); 4 rows, or 6 for propellers with inertia.
    """
    x, y, _ = np.array(a.rotor_position_m).T
    sign, (jx, jy, jz) = np.array(a.rotor_torque_sign), a.inertia_kg_m2
    by_thrust, by_torque, gyro_per_speed, yaw_per_spin_up = np.zeros((4, 6, 4))
    by_thrust[0] = half_s * 2 / a.mass_kg
    by_thrust[1:3] = half_s / unit_rad_s * np.stack([y / jx, -x / jy])
    by_torque[3] = half_s / unit_rad_s * sign / jz
    momentum = a.rotor_inertia_kg_m2 * a.rotor_speed_max_rad_s * sign
    gyro_per_speed[4], gyro_per_speed[5] = half_s * momentum / jx, -half_s * momentum / jy
    yaw_per_spin_up[3] = momentum / jz / unit_rad_s
    constant, linear, quadratic = (
        f * by_thrust + t * by_torque for f, t in zip(a.thrust_n, a.torque_nm, strict=True)
    )
    rows = 6 if a.rotor_inertia_kg_m2 else 4
    return (
        constant.sum(1, keepdims=True)[:rows],
        (linear + gyro_per_speed)[:rows],
        quadratic[:rows],
        yaw_per_spin_up[:rows],
    )
