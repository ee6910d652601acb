"""Populations: a different quadrotor in every training environment, as the constants the training step needs.

Thrust and torque enter the equations of motion only divided by mass and inertia, so a population is a set of
accelerations. A policy trained over wide ranges of them flies airframes that it has never met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe, Layout, speed_at

Array = NDArray[np.floating]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Population:
    """n quadrotors; struct of arrays, (n,) unless noted. Full = at full rotor speed."""

    thrust: Array  # full thrust of one rotor / mass, m/s^2
    torque: Array  # (3, n) full torque of one average rotor / inertia about roll, pitch, yaw, rad/s^2
    curve: Array  # (3, n) thrust fraction = c0 + c1 u + c2 u^2
    rise_s: Array  # rotor time constants
    fall_s: Array
    drag: Array  # 1/s
    gyro: Array  # (3, n) (Jz - Jy) / Jx, (Jx - Jz) / Jy, (Jy - Jx) / Jz
    spin_s: Array  # a propeller's angular momentum at full speed / its full reaction torque
    strength: Array  # (4, n) of each rotor over the mean: two seem stronger where the centre of mass is off
    weight: Array  # (3, n) weight at a lever of 1 m over inertia, rad/s^2: scales torque disturbances

    @property
    def hover_action(self) -> Array:
        """(n,) the action whose thrust carries the weight; at most 1."""
        needed = np.minimum(GRAVITY_M_S2 / (4 * self.thrust), 1)
        return 2 * speed_at(np.maximum(needed, self.curve[0] + 0.01), self.curve) - 1


@dataclass(frozen=True, slots=True)
class Ranges:
    """What is randomised in the `crazyflie` task: wide enough to hold seven named airframes with room around.

    Log-uniform where a scale is meant, uniform elsewhere. Mass multiplies after thrust/weight was drawn.
    Motor order and turning directions are one airframe's.
    """

    layout: Layout  # see `Airframe.layout`
    thrust_to_weight: Range = (1.34, 2.4)
    mass: Range = (0.7, 1.3)  # the body's mass alone: inertia stays
    roll: Range = (105.0, 820.0)  # torque / inertia, rad/s^2, over thrust/weight: both grow with the rotors
    asymmetry: Range = (0.93, 1.07)  # roll and pitch each, times the above
    yaw: Range = (0.07, 0.16)  # yaw over roll torque / inertia
    rise_s: Range = (0.045, 0.18)
    fall_s: Range = (0.05, 0.26)
    c0: Range = (-0.1, 0.17)  # below 0 counts as 0: half of all propellers have no offset
    c1: Range = (-0.12, 0.15)
    drag: Range = (-0.3, 0.55)  # below 0 counts as 0
    gyro: Range = (0.5, 0.95)
    spin_s: Range = (-0.06, 0.12)  # below 0 counts as 0: a third of all propellers have no inertia
    centre: Range = (-0.05, 0.05)  # off its place, over the mean lever; below 0 counts as 0: half are not
    pitch: float = 1.0  # pitch over roll torque / inertia of the whole family, times the asymmetry

    @staticmethod
    def around(airframe: Airframe) -> Ranges:
        """The family with this airframe in it: a range that it is outside of is stretched a tenth past it."""
        r = Ranges(airframe.layout)
        own = Fixed(airframe).sample(np.random.default_rng(0), 1)
        roll, pitch, yaw = own.torque[:, 0]
        usual = r.asymmetry[0] / r.asymmetry[1] <= pitch / roll <= r.asymmetry[1] / r.asymmetry[0]
        c0, c1, _ = own.curve[:, 0]
        return replace(
            r,
            thrust_to_weight=_stretched(r.thrust_to_weight, airframe.thrust_to_weight),
            roll=_stretched(r.roll, roll / airframe.thrust_to_weight),
            yaw=_stretched(r.yaw, yaw / roll),
            rise_s=_stretched(r.rise_s, airframe.rotor_rise_s),
            fall_s=_stretched(r.fall_s, airframe.rotor_fall_s),
            c0=_stretched(r.c0, c0),
            c1=_stretched(r.c1, c1),
            drag=_stretched(r.drag, own.drag[0]),
            spin_s=_stretched(r.spin_s, own.spin_s[0]),
            pitch=1.0 if usual else pitch / roll,
        )

    def sample(self, rng: np.random.Generator, n: int) -> Population:
        """n airframes of the family."""
        log, flat = _log_uniform(rng, n), _uniform(rng, n)
        weight_ratio = log(self.thrust_to_weight)
        roll = log(self.roll) * weight_ratio
        torque = np.stack([roll * log(self.asymmetry), roll * log(self.asymmetry), roll * log(self.yaw)])
        torque[1] *= self.pitch
        c0, c1 = np.maximum(flat(self.c0), 0), flat(self.c1)
        gyro = flat(self.gyro)
        thrust = weight_ratio * GRAVITY_M_S2 / 4 / flat(self.mass)
        arm = 0.03  # m; turns a thrust ratio into the scale of the torque disturbance
        return Population(
            thrust=thrust,
            torque=torque,
            curve=np.stack([c0, c1, 1 - c0 - c1]),
            rise_s=log(self.rise_s),
            fall_s=log(self.fall_s),
            drag=np.maximum(flat(self.drag), 0),
            gyro=np.stack([gyro, -gyro, np.zeros(n)]),
            spin_s=np.maximum(flat(self.spin_s), 0),
            strength=_strength(rng, self.layout, self.centre, thrust),
            weight=np.stack([torque[0], torque[1], 0.6 * torque[0]]) * 4 / (weight_ratio * arm),
        )


@dataclass(frozen=True, slots=True)
class Fixed:
    """One airframe, its mass uncertain by a factor in ``mass``."""

    airframe: Airframe
    mass: Range = (1.0, 1.0)
    centre: Range = (0.0, 0.0)  # as in `Ranges`

    @property
    def layout(self) -> Layout:
        return self.airframe.layout

    def sample(self, rng: np.random.Generator, n: int) -> Population:
        """n sisters."""
        a, ones = self.airframe, np.ones(n)
        jx, jy, jz = a.inertia_kg_m2
        full = sum(a.thrust_n)
        mass_kg = a.mass_kg * _uniform(rng, n)(self.mass)
        thrust = full / mass_kg
        x, y = np.abs(np.array(a.rotor_position_m)[:, :2]).mean(0)
        arms = np.array([[y / jx], [x / jy], [a.reaction_m / jz]])
        return Population(
            thrust=thrust,
            torque=full * arms * ones,
            curve=np.array(a.thrust_curve)[:, None] * ones,
            rise_s=a.rotor_rise_s * ones,
            fall_s=a.rotor_fall_s * ones,
            drag=np.mean(a.drag_n_s_m) / mass_kg,
            gyro=np.array([[(jz - jy) / jx], [(jx - jz) / jy], [(jy - jx) / jz]]) * ones,
            spin_s=a.rotor_inertia_kg_m2 * a.rotor_speed_max_rad_s / (full * a.reaction_m) * ones,
            strength=_strength(rng, self.layout, self.centre, thrust),
            weight=a.weight_n / np.array([[jx], [jy], [jz]]) * ones,
        )


def _strength(rng: np.random.Generator, layout: Layout, centre: Range, thrust: Array) -> Array:
    """(4, n) of rotors whose centre of mass is off by a share of the mean lever, in any direction.

    Balance costs thrust, and a vehicle that has none to spare would fall whatever was learnt: below a
    thrust/weight of 2.2 it is off by less, from 1.4 down not at all.
    """
    n = len(thrust)
    if centre[1] <= 0:
        return np.ones((4, n))
    spare = np.clip((4 * thrust / GRAVITY_M_S2 - 1.4) / 0.8, 0, 1)
    off, angle = np.maximum(_uniform(rng, n)(centre), 0) * spare, _uniform(rng, n)((0, 2 * np.pi))
    roll, pitch = np.sign(layout[0])[:, None], np.sign(layout[1])[:, None]
    return 1 + roll * (off * np.cos(angle)) + pitch * (off * np.sin(angle))


def _stretched(bounds: Range, value: float) -> Range:
    low, high = bounds
    spare = abs(value) / 10
    if low <= value <= high:
        return bounds
    return (value - spare, high) if value < low else (low, value + spare)


def _uniform(rng, n):
    return lambda r: rng.uniform(*r, n)


def _log_uniform(rng, n):
    return lambda r: np.exp(rng.uniform(np.log(r[0]), np.log(r[1]), n))
