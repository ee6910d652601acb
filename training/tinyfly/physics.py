"""The training integrator: one step of n quadrotors, and the same step backwards, side by side.

`forward` is read top to bottom, `reverse` bottom to top: each block of one undoes the same block of the
other by the chain rule, turning the loss's derivative by the next state (the adjoint) into its derivative by
this state and by the command. Rotors follow a held command exactly (first-order lag), thrust and torque are
those of their mean speed in the step, the attitude turns by a two-stage midpoint rule, velocity and position
follow by the trapezoidal rule. RK4 in `dynamics` is the truth this is tested against.

Three things keep NumPy's call overhead down, which would otherwise be most of the time. A cross product's
cyclic indices (j+1, j+2) are windows into arrays whose first two entries are repeated at one end, so that one
multiply forms both of its halves. Constants have the full shape of what they multiply: broadcasting a row or
a Python number doubles the cost of a small call. And every view is made once per step number, in `Step`.

State rows, all relative to the reference: angular velocity (body), position, velocity (world), then the
rotation matrix column by column. A rotor's speed r is in the units of the action: u = (r + 1) / 2.
"""

from __future__ import annotations

import numpy as np
from numpy import add, copyto, dot, greater, maximum, multiply, subtract
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from tinyfly.episodes import DT, Episodes

Array = NDArray[np.floating]

RATE, POSITION, VELOCITY, ROTATION = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 18)
ROWS = 18

# Rows of the tape, in order: angular velocity 1, 2 again; the state, the rotation matrix R its last; columns
# 0, 1 of R again; the rotation matrix M in the middle of the step that begins here; its columns 0, 1 again.
_RATE_PAD, _STATE, _ROTATION_PAD = slice(0, 2), slice(2, 20), slice(20, 26)
_RATES, _FRAME, _MIDDLE, _FRAMES = slice(0, 5), slice(11, 26), slice(26, 41), slice(11, 41)  # with repeats
_TAPE_ROWS = 41


class Physics:
    """The environments of ``episodes``, up to ``steps`` steps; `reverse` reads the tape `forward` left."""

    def __init__(self, episodes: Episodes, steps: int, feels: bool = False) -> None:
        """``feels``: whether ``felt`` is wanted."""
        n, dtype = episodes.n, episodes.dtype

        def zeros(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        self.n, self.constants = n, episodes
        self.tape = zeros(steps + 1, _TAPE_ROWS, n)
        self.state = self.tape[:, _STATE]  # (steps + 1, 18, n)
        self.rotor = zeros(steps + 1, 4, n)
        self.rotor_sum = zeros(steps, 4, n)  # of the speeds before and after the step
        self.lead = zeros(steps, 4, n)  # command - rotor speed
        self.wrench = zeros(
            steps, 6, n
        )  # gained in the step: velocity along body z (three times), angular velocity
        self.half_angle = zeros(steps, 5, 3, n)  # of the step's rotation vector; one copy for each row of R
        self.push = zeros(steps, 3, n)  # velocity gained from gravity, wind and the reference's acceleration
        self.feels = feels
        self.wind = zeros(steps, 3, n)  # the part of it that is wind, as at rest beside the reference
        self.air = zeros(steps, 3, n)  # velocity gained from wind and drag
        self.felt = zeros(steps, 3, n)  # velocity gained but for gravity, body frame: an accelerometer's
        self.slope, self.lag = zeros(steps, 4, n), zeros(steps, 4, n)  # made by `prepare_reverse`
        # Thrusts of M1..M4 -> their sum, once for each axis of the velocity, then roll, pitch and yaw torque;
        # where propellers have inertia, their changes of speed -> yaw torque.
        layout = episodes.task.population.layout
        self.spins = episodes.spins
        self.mixer = np.zeros((6, 8 if self.spins else 4), dtype)
        self.mixer[:, :4] = [(1, 1, 1, 1)] * 3 + [*layout]
        self.mixer[5, 4:] = layout[2][: self.mixer.shape[1] - 4]
        self.mixer_t = np.ascontiguousarray(self.mixer.T)
        self._half_dt, self._quarter_dt = np.full((3, n), DT / 2, dtype), np.full((5, 3, n), DT / 4, dtype)
        self._zero, self._change, self._four, self._three = zeros(4, n), zeros(4, n), zeros(4, n), zeros(3, n)
        self._loads = zeros(self.mixer.shape[1], n)
        self._thrusts, self._spun = self._loads[:4], self._loads[4:]
        self._product, self._cross = zeros(2, 3, 3, n), zeros(3, 3, n)
        self._product_0, self._product_1 = self._product
        self.reverse_scratch = ReverseScratch(n, len(self._loads), dtype)
        self.steps = [Step(self, t) for t in range(steps)]

    def start(self, index: NDArray[np.intp], state: Array, rotor: Array) -> None:
        """Put some environments into a state (18, k) with rotor speeds (4, k)."""
        first = self.tape[0]
        first[_STATE, index] = state
        first[_RATE_PAD, index] = state[RATE][1:]
        first[_ROTATION_PAD, index] = state[ROTATION][:6]
        self.rotor[0][:, index] = rotor

    def carry(self, t: int) -> None:
        """The state at t becomes the state at 0."""
        self.tape[0], self.rotor[0] = self.tape[t], self.rotor[t]

    def forward(self, t: int, command: Array) -> None:
        """State t and the command (4, n) -> state t + 1."""
        s, c = self.steps[t], self.constants
        # rotor lag: r + gain * (command - r), faster up than down
        subtract(command, s.rotor, out=s.lead)
        maximum(s.lead, self._zero, out=self._change)
        multiply(self._change, c.rise_more, out=self._change)
        multiply(s.lead, c.fall, out=self._four)
        add(self._change, self._four, out=self._change)
        add(s.rotor, self._change, out=s.rotor_next)
        # thrust and torque, in velocity per step:
        # mixer @ (c2 (r + r')^2 + c1 (r + r'), spin (r' - r)) + constant
        add(s.rotor, s.rotor_next, out=s.rotor_sum)
        multiply(s.rotor_sum, c.curve_2, out=self._thrusts)
        add(self._thrusts, c.curve_1, out=self._thrusts)
        multiply(self._thrusts, s.rotor_sum, out=self._thrusts)
        if self.spins:
            multiply(self._change, c.spin, out=self._spun)
        dot(self.mixer, self._loads, out=s.wrench)
        multiply(s.wrench, c.scale, out=s.wrench)
        add(s.wrench, c.offset, out=s.wrench)
        # angular velocity: w + torque - gyro * w_(j+1) w_(j+2)
        multiply(s.rate_1, s.rate_2, out=self._three)
        multiply(self._three, c.gyro, out=self._three)
        add(s.rate, s.torque, out=s.rate_next)
        subtract(s.rate_next, self._three, out=s.rate_next)
        copyto(s.rate_pad_next, s.rate_head_next)
        # attitude: M = R + R x h, R' = R + 2 M x h with the half angle h = (w + w') dt / 4
        add(s.rates, s.rates_next, out=s.half_angle)
        multiply(s.half_angle, self._quarter_dt, out=s.half_angle)
        multiply(s.rotation_pair, s.half_angle_pair, out=self._product)
        subtract(self._product_0, self._product_1, out=self._cross)
        add(s.rotation, self._cross, out=s.middle)
        copyto(s.middle_pad, s.middle_head)
        multiply(s.middle_pair, s.half_angle_pair, out=self._product)
        subtract(self._product_0, self._product_1, out=self._cross)
        add(self._cross, self._cross, out=self._cross)
        add(s.rotation, self._cross, out=s.rotation_next)
        copyto(s.rotation_pad_next, s.rotation_head_next)
        # velocity: v (1 - drag dt) + thrust along the middle body z + push; position: trapezoid
        multiply(s.middle_z, s.thrust, out=s.velocity_next)
        multiply(s.velocity, c.keep, out=self._three)
        add(s.velocity_next, self._three, out=s.velocity_next)
        add(s.velocity_next, s.push, out=s.velocity_next)
        add(s.velocity, s.velocity_next, out=self._three)
        multiply(self._three, self._half_dt, out=self._three)
        add(s.position, self._three, out=s.position_next)
        # what the body feels: M^T (wind - drag v), and thrust along its z
        if self.feels:
            multiply(s.velocity, c.drag, out=s.air)
            subtract(s.wind, s.air, out=s.air)
            multiply(s.middle, s.air, out=self._cross)
            add.reduce(self._cross, axis=1, out=s.felt)
            add(s.felt_z, s.thrust_z, out=s.felt_z)

    def reverse(self, t: int, a: Adjoint, command: Array) -> None:
        """Adjoint of state t + 1 -> of state t, both in ``a``, and of the command, in ``command``.

        That of ``felt`` at t is in ``reverse_scratch.felt``.
        """
        s, c, b = self.steps[t], self.constants, self.reverse_scratch
        # position, velocity
        multiply(a.position, self._half_dt, out=b.three)
        add(a.velocity, b.three, out=a.velocity)
        multiply(a.velocity, s.middle_z, out=b.thrust)
        multiply(a.velocity, s.thrust, out=b.from_thrust)
        multiply(a.velocity, c.keep, out=a.velocity)
        add(a.velocity, b.three, out=a.velocity)
        # what the body feels
        if self.feels:
            add(b.thrust_z, b.felt_z, out=b.thrust_z)
            multiply(s.middle, b.felt_rows, out=self._cross)
            add.reduce(self._cross, axis=0, out=b.three)
            multiply(b.three, c.drag, out=b.three)
            subtract(a.velocity, b.three, out=a.velocity)
            multiply(b.felt_rows, s.air, out=b.frame)
        # attitude. f = g . (x x h) has derivatives h x g by x and g x x by h. Second stage, then the first:
        add(a.rotation, a.rotation, out=b.end)
        copyto(b.end_pad, b.end_head)
        multiply(b.end_pair, s.half_angle_pair_reversed, out=self._product)
        subtract(self._product_0, self._product_1, out=b.middle)
        add(b.middle_z, b.from_thrust, out=b.middle_z)
        if self.feels:
            add(b.middle, b.frame, out=b.middle)
        copyto(b.middle_pad, b.middle_head)
        multiply(b.middle_pair, s.half_angle_pair_reversed, out=self._product)
        subtract(self._product_0, self._product_1, out=self._cross)
        add(self._cross, b.middle, out=self._cross)
        add(a.rotation, self._cross, out=a.rotation)
        multiply(b.stages_1, s.frames_2, out=b.stages)  # both stages' g x x at once
        multiply(b.stages_2, s.frames_1, out=b.stages_more)
        subtract(b.stages, b.stages_more, out=b.stages)
        add.reduce(b.stages_flat, axis=1, out=b.three)
        multiply(b.three, b.quarter_dt, out=b.three)
        add(a.rate, b.three, out=b.torque)
        add(b.torque, b.three, out=a.rate)
        # angular velocity
        multiply(b.torque, c.gyro, out=b.gyro)
        copyto(b.gyro_pad, b.gyro_head)
        multiply(b.gyro_pair, s.rate_pair_reversed, out=b.rate_pair)
        subtract(a.rate, b.rate_pair_0, out=a.rate)
        subtract(a.rate, b.rate_pair_1, out=a.rate)
        # thrust and torque
        multiply(b.wrench, c.scale, out=b.wrench)
        dot(self.mixer_t, b.wrench, out=b.loads)
        multiply(b.rotor, s.slope, out=b.rotor)
        # rotor lag
        add(a.rotor, b.rotor, out=a.rotor)
        if self.spins:
            multiply(b.spun, c.spin, out=b.spun)
            add(a.rotor, b.spun, out=b.spun)
            multiply(b.spun, s.lag, out=command)
        else:
            multiply(a.rotor, s.lag, out=command)
        add(a.rotor, b.rotor, out=a.rotor)
        subtract(a.rotor, command, out=a.rotor)

    def prepare_reverse(self, steps: int) -> None:
        """What the reverse pass needs of every step and can be had for all of them at once."""
        c = self.constants
        multiply(self.rotor_sum[:steps], 2 * c.curve_2, out=self.slope[:steps])
        add(self.slope[:steps], c.curve_1, out=self.slope[:steps])
        multiply(greater(self.lead[:steps], 0), c.rise_more, out=self.lag[:steps])
        add(self.lag[:steps], c.fall, out=self.lag[:steps])


class Adjoint:
    """Derivative of the loss by the state: its rows, then four rotor speeds, then ``extra`` rows."""

    def __init__(self, n: int, extra: int, dtype: type[np.floating]) -> None:
        self.all: Array = np.zeros((ROWS + 4 + extra, n), dtype)
        self.state, self.rotor, self.extra = self.all[:ROWS], self.all[ROWS : ROWS + 4], self.all[ROWS + 4 :]
        self.rate, self.position, self.velocity = self.all[RATE], self.all[POSITION], self.all[VELOCITY]
        self.rotation = self.all[ROTATION].reshape(3, 3, n)


class Step:
    """Views of the tape for one step. `_1`, `_2`: cyclically shifted by one, two; `_pair`: both, stacked."""

    def __init__(self, p: Physics, t: int) -> None:
        n, x, y = p.n, p.tape[t], p.tape[t + 1]
        state, following, rates = x[_STATE], y[_STATE], x[_RATES]
        self.rotor, self.rotor_next, self.rotor_sum, self.lead = (
            p.rotor[t],
            p.rotor[t + 1],
            p.rotor_sum[t],
            p.lead[t],
        )
        self.wrench, self.thrust, self.torque = p.wrench[t], p.wrench[t, :3], p.wrench[t, 3:]
        self.rate, self.rate_next = state[RATE], following[RATE]
        self.rate_1, self.rate_2, self.rate_pair_reversed = rates[0:3], rates[1:4], _windows(rates, 0, 1)
        self.rate_pad_next, self.rate_head_next = y[_RATE_PAD], following[RATE][1:]
        self.rates, self.rates_next = rates[:, None], y[_RATES, None]
        self.half_angle = h = p.half_angle[t]
        self.half_angle_pair, self.half_angle_pair_reversed = _windows(h, 1, -1), _windows(h, 0, 1)
        r, r_next, m = (frame.reshape(5, 3, n) for frame in (x[_FRAME], y[_FRAME], x[_MIDDLE]))
        self.rotation, self.rotation_pair = r[:3], _windows(r, 1, 1)
        self.rotation_next, self.rotation_pad_next, self.rotation_head_next = (
            r_next[:3],
            r_next[3:],
            r_next[:2],
        )
        self.middle, self.middle_pad, self.middle_head, self.middle_z = m[:3], m[3:], m[:2], m[2]
        self.middle_pair = _windows(m, 1, 1)
        self.position, self.velocity, self.push = state[POSITION], state[VELOCITY], p.push[t]
        self.position_next, self.velocity_next = following[POSITION], following[VELOCITY]
        frames = x[_FRAMES].reshape(2, 5, 3, n).transpose(1, 0, 2, 3)  # (5, stage, 3, n)
        self.frames_1, self.frames_2 = frames[1:4], frames[2:5]
        self.slope, self.lag = p.slope[t], p.lag[t]
        self.wind, self.air, self.felt = p.wind[t], p.air[t], p.felt[t]
        self.felt_z, self.thrust_z = p.felt[t, 2], p.wrench[t, 2]


class ReverseScratch:
    """Where the reverse pass keeps what it needs within a step; windows as in `Step`."""

    def __init__(self, n: int, loads: int, dtype: type[np.floating]) -> None:
        def zeros(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        self.three, self.from_thrust, self.wrench, self.loads = (
            zeros(3, n),
            zeros(3, n),
            zeros(6, n),
            zeros(loads, n),
        )
        self.rotor, self.spun = self.loads[:4], self.loads[4:]
        self.thrust, self.torque = self.wrench[:3], self.wrench[3:]
        self.felt, self.frame = zeros(3, n), zeros(3, 3, n)
        self.thrust_z, self.felt_z, self.felt_rows = self.wrench[2], self.felt[2], self.felt[:, None]
        self.quarter_dt = np.full((3, n), DT / 4, dtype)
        both = zeros(
            2, 5, 3, n
        )  # adjoints of M and of R' (doubled), which stand beside R and M; columns repeated
        middle, end = both
        self.end, self.end_pad, self.end_head, self.end_pair = end[:3], end[3:], end[:2], _windows(end, 2, -1)
        self.middle, self.middle_pad, self.middle_head = middle[:3], middle[3:], middle[:2]
        self.middle_z, self.middle_pair = middle[2], _windows(middle, 2, -1)
        stages = both.transpose(1, 0, 2, 3)
        self.stages_1, self.stages_2 = stages[1:4], stages[2:5]
        self.stages, self.stages_more = zeros(3, 2, 3, n), zeros(3, 2, 3, n)
        self.stages_flat = self.stages.reshape(3, 6, n)
        gyro = zeros(5, n)
        self.gyro, self.gyro_pad, self.gyro_head = gyro[:3], gyro[3:], gyro[:2]
        self.gyro_pair, self.rate_pair = _windows(gyro, 2, -1), zeros(2, 3, n)
        self.rate_pair_0, self.rate_pair_1 = self.rate_pair


def _windows(x: Array, start: int, step: int) -> Array:
    """(2, 3, ...): rows start..start+2 of x, and the three that begin `step` rows later."""
    s = x.strides
    return as_strided(x[start:], (2, 3, *x.shape[1:]), (step * s[0], *s))
