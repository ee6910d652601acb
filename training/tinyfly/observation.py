"""The network's input, assembled from a state and a reference as the contract says.

This is the definition of the bits that firmware/core/tf_observation.c mirrors. Everything is float32, every
operation below is one IEEE operation (no fused multiply-add), and this is their order, for each vehicle.

``reset``: history slots 0 (half speed, where training starts), integral 0, specific force's y and z 0,
angular acceleration 0, no previous step.

``observe(time_us, sensed, reference)``
 1. time: dt_us = (time_us - previous time_us) modulo 2^32, at most 100000 (a stall must not wind up the
    integral); 0 on the first step. period_us = round(1e6 / history_rate_hz); phase_us begins at
    period_us // 2; phase_us += dt_us; each time it reaches period_us, phase_us -= period_us and the history
    is due to advance; where it is due already the oldest slot drops out and the newest is repeated, for the
    command has stood that long. The first step is due as well. Half a period of margin keeps a jittering
    clock from skipping an advance.
 2. integral: I = clip(I + (gain * (dt_us * 1e-6)) * previous clipped error, +-limit). It is the error of
    the previous step, so that at a constant rate the policy sees the very sum that it was trained with.
 3. error = position - reference position; its clip to +-error_limit is kept for the next step.
 4. rotation, row-major, from q = (w, x, y, z) as it comes: x2 = x + x, y2 = y + y, z2 = z + z;
        1 - (y y2 + z z2)    x y2 - w z2          x z2 + w y2
        x y2 + w z2          1 - (x x2 + z z2)    y z2 - w x2
        x z2 - w y2          y z2 + w x2          1 - (x x2 + y y2)
 5. what the state's changes tell, from the second step on, where elapsed_us, the time since the last state,
    is at most 100000 (longer, and a change says nothing).
    Specific force y: k = (elapsed_us * 1e-6) * (1 / time_constant),
    h = 0.5 / time_constant (both constants float32), g_dt = 9.81 * (elapsed_us * 1e-6),
    d = v - previous v, d_z += g_dt, m = (elapsed_us * 1e-6) * (1 / trend); each axis j of the body:
        z_j = z_j + m * (y_j - z_j)
        turned_j = ((R_0j + R'_0j) d_x + (R_1j + R'_1j) d_y) + (R_2j + R'_2j) d_z   with R' the previous R
        y_j = clip(y_j + (h * turned_j - k * (y_j + (0, 0, 9.81)_j)), +-limit)
    the channel's value is y + (lead / trend) * (t - clip(t, +-quiet)) with t = y - z, the quotient float32,
    whether or not y has changed.
    Angular acceleration a, with w the angular velocity: i = 1 / max(elapsed_us * 1e-6, time_constant),
    a = clip(a + ((w - previous w) - (elapsed_us * 1e-6) * a) * i, +-limit), each axis.
 6. every channel: input = clip(value, +-limit) * scale; the clip is max(value, -limit), then min(., limit).

``record(action)``, after the network has acted: when an advance is due, the oldest slot drops out, a new
one comes in, and sum = action, count = 1; otherwise sum += action, count += 1. The newest slot becomes
sum / count, clipped and scaled like any channel.
"""

from __future__ import annotations

import numpy as np
from numpy import add, multiply, subtract
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2
from tinyfly.contract import AngularAcceleration, Channel, Contract, SpecificForce
from tinyfly.state import (
    ANGULAR_VELOCITY,
    POSITION,
    QUATERNION,
    REFERENCE_ACCELERATION,
    REFERENCE_POSITION,
    REFERENCE_PREVIEW,
    REFERENCE_VELOCITY,
    VELOCITY,
)

LONGEST_STEP_US = 100_000

Array = NDArray[np.float32]

_ONE = np.array(1, np.float32)


class Observer:
    """Assembles observations for n vehicles that share a clock; keeps their history and integral."""

    def __init__(self, contract: Contract, n: int) -> None:
        self.contract = contract
        self._history_rows = 4 * contract.history_length
        # The input is one window on this buffer: the history, then the state. To advance, the window moves
        # down four rows; the action is written where the state was, the state is rewritten below. Once it has
        # moved by its own length, it is copied back: four rows a step.
        self._buffer = np.zeros((self._history_rows + contract.size, n), np.float32)
        self._top = 0
        # What is remembered besides, in one array for the sake of `reset`; seen: 1 where a state was before.
        self._memory = np.zeros((20, n), np.float32)
        self._sum, self._seen = self._memory[0:4], self._memory[4]
        self._integral, self._clipped_error, self._force, self._slow, self._turn = self._memory[5:].reshape(
            5, 3, n
        )
        self._count = 0
        self._error = np.zeros((3, n), np.float32)
        self._twice = np.zeros((3, n), np.float32)
        self._square, self._mixed = np.zeros((2, 3, n), np.float32)  # x2, y2, z2; x y, y z, x z, each twice
        self._product = np.zeros((3, 3, n), np.float32)
        self._frame, self._last_frame = np.zeros((2, 3, 3, n), np.float32)
        self._last_velocity, self._last_rate, self._gained = np.zeros((3, 3, n), np.float32)
        self._cross = np.zeros((3, n), np.float32)
        self._fades = np.zeros((3, n), np.float32)
        self._period_us = round(1e6 / contract.history_rate_hz)
        self._slices = contract.slices()
        self._due = True
        self._start_clock()

    def reset(self, columns: NDArray[np.intp] | slice = slice(None)) -> None:
        """Forget the past of these vehicles; with no argument, of all of them and of the clock."""
        history = self._buffer[self._top : self._top + self._history_rows]
        history[:, columns] = 0
        self._memory[:, columns] = 0
        if isinstance(columns, slice) and columns == slice(None):
            self._start_clock()

    def observe(self, time_us: int, sensed: Array, reference: Array) -> Array:
        """The network's input.

        Args:
            time_us: when the state was sampled, any origin.
            sensed: (13, n) position, quaternion, velocity, angular velocity (rows of tinyfly.state).
            reference: (9 + 3 k, n) or (9 + 3 k, 1) position, velocity, acceleration, k previews.

        Returns:
            (inputs, n), a view that the next ``record`` and ``observe`` overwrite.
        """
        elapsed_us = 0 if self._time_us is None else (time_us - self._time_us) % (1 << 32)
        dt_us = self._tick(time_us)
        np.subtract(sensed[POSITION], reference[REFERENCE_POSITION], out=self._error)
        if self.contract.integral is not None:
            self._integrate(dt_us)
        window = self._buffer[self._top : self._top + self.contract.size]
        if self.contract.specific_force is not None:
            self._rotation(sensed[QUATERNION], self._frame)
        self._compare(elapsed_us, sensed)
        for channel in self.contract.channels:
            rows = window[self._slices[channel.name]]
            match channel.name:
                case "action_history":  # there already
                    continue
                case "position_error":
                    values = self._error
                case "rotation" if self.contract.specific_force is None:
                    values = rows
                    self._rotation(sensed[QUATERNION], rows.reshape(3, 3, -1))
                case "rotation":
                    values = self._frame.reshape(9, -1)
                case "velocity_error":
                    values = subtract(sensed[VELOCITY], reference[REFERENCE_VELOCITY], out=self._cross)
                case "angular_velocity":
                    values = sensed[ANGULAR_VELOCITY]
                case "position_integral":
                    values = self._integral
                case "specific_force":
                    values = self._lead()
                case "angular_acceleration":
                    values = self._turn
                case "reference_acceleration":
                    values = reference[REFERENCE_ACCELERATION]
                case "acceleration_preview":
                    values = reference[REFERENCE_PREVIEW][: channel.size]
            _clip_and_scale(values, rows, channel)
        return window

    def record(self, action: Array) -> None:
        """Put the (4, n) action that followed the last observation into the history."""
        if not self._history_rows:
            return
        if self._due:
            self._advance()
            self._sum[:] = action
            self._count = 1
            self._due = False
        else:
            self._sum += action
            self._count += 1
        newest = self._buffer[self._top + self._history_rows - 4 : self._top + self._history_rows]
        np.divide(self._sum, np.float32(self._count), out=newest)
        _clip_and_scale(newest, newest, self.contract.channels[0])

    def _start_clock(self) -> None:
        self._time_us: int | None = None
        self._phase_us = self._period_us // 2
        self._due = True

    def _tick(self, time_us: int) -> int:
        dt_us = 0
        if self._time_us is not None:
            dt_us = min((time_us - self._time_us) % (1 << 32), LONGEST_STEP_US)
        self._time_us = time_us
        self._phase_us += dt_us
        while self._phase_us >= self._period_us:
            self._phase_us -= self._period_us
            if self._due:
                self._repeat()
            self._due = True
        return dt_us

    def _repeat(self) -> None:
        """Nobody has acted for a whole slot: the newest is there twice."""
        if not self._history_rows:
            return
        self._advance()
        end = self._top + self._history_rows
        self._buffer[end - 4 : end] = self._buffer[end - 8 : end - 4]

    def _integrate(self, dt_us: int) -> None:
        integral = self.contract.integral
        assert integral is not None
        step = np.float32(integral.gain_per_s) * (np.float32(dt_us) * np.float32(1e-6))
        self._clipped_error *= step
        self._integral += self._clipped_error
        _clip(self._integral, self._integral, integral.limit_m)
        _clip(self._error, self._clipped_error, integral.error_limit_m)

    def _compare(self, elapsed_us: int, sensed: Array) -> None:
        """What the state's changes since the last one tell."""
        force, turning = self.contract.specific_force, self.contract.angular_acceleration
        if elapsed_us <= LONGEST_STEP_US:
            elapsed_s = np.float32(elapsed_us) * np.float32(1e-6)
            if force is not None:
                self._feel(force, elapsed_s, sensed[VELOCITY])
            if turning is not None:
                self._turn_on(turning, elapsed_s, sensed[ANGULAR_VELOCITY])
        if force is not None:
            self._last_velocity[:], self._last_frame[:] = sensed[VELOCITY], self._frame
        if turning is not None:
            self._last_rate[:] = sensed[ANGULAR_VELOCITY]
        self._seen[:] = 1

    def _feel(self, settings: SpecificForce, elapsed_s: np.float32, velocity: Array) -> None:
        """The specific force, from what the velocity gained."""
        gained, y = self._gained, self._force
        keep, gain = np.float32(1 / settings.time_constant_s), np.float32(0.5 / settings.time_constant_s)
        follows = np.subtract(y, self._slow, out=self._fades)
        follows *= elapsed_s * np.float32(1 / settings.trend_s)
        follows *= self._seen
        self._slow += follows
        np.subtract(velocity, self._last_velocity, out=gained)
        gained[2] += np.float32(GRAVITY_M_S2) * elapsed_s
        frames = np.add(self._frame, self._last_frame, out=self._product)
        frames *= gained[:, None]
        turned = np.add(frames[0], frames[1], out=self._cross)
        turned += frames[2]
        turned *= gain
        fades = self._fades
        fades[:] = y
        fades[2] += np.float32(GRAVITY_M_S2)
        fades *= elapsed_s * keep
        turned -= fades
        turned *= self._seen
        y += turned
        _clip(y, y, settings.limit_m_s2)

    def _turn_on(self, settings: AngularAcceleration, elapsed_s: np.float32, rate: Array) -> None:
        """The angular acceleration, from what the angular velocity gained."""
        a = self._turn
        gained = np.subtract(rate, self._last_rate, out=self._gained)
        gained -= np.multiply(a, elapsed_s, out=self._fades)
        gained *= np.float32(1) / max(elapsed_s, np.float32(settings.time_constant_s))
        gained *= self._seen
        a += gained
        _clip(a, a, settings.limit_rad_s2)

    def _lead(self) -> Array:
        """The specific force along its trend."""
        settings = self.contract.specific_force
        assert settings is not None
        led = np.subtract(self._force, self._slow, out=self._cross)
        led -= led.clip(np.float32(-settings.quiet_m_s2), np.float32(settings.quiet_m_s2), out=self._fades)
        led *= np.float32(settings.lead_s / settings.trend_s)
        led += self._force
        return led

    def _rotation(self, q: Array, out: Array) -> None:
        """(4, n) quaternion -> (3, 3, n), operation for operation as the module says (x y2 = y x2)."""
        (w, x), vector, twice = q[:2], q[1:], self._twice
        square, (xy, yz, xz), (wx, wy, wz) = self._square, self._mixed, self._cross
        add(vector, vector, out=twice)
        multiply(vector, twice, out=square)
        multiply(vector[:2], twice[1:], out=self._mixed[:2])
        multiply(x, twice[2], out=xz)
        multiply(w, twice[0], out=wx)
        multiply(w, twice[1], out=wy)
        multiply(w, twice[2], out=wz)
        xx, yy, zz = square
        for i, (a, b) in enumerate(((yy, zz), (xx, zz), (xx, yy))):
            diagonal = out[i, i]
            add(a, b, out=diagonal)
            subtract(_ONE, diagonal, out=diagonal)
        subtract(xy, wz, out=out[0, 1])
        add(xz, wy, out=out[0, 2])
        add(xy, wz, out=out[1, 0])
        subtract(yz, wx, out=out[1, 2])
        subtract(xz, wy, out=out[2, 0])
        add(yz, wx, out=out[2, 1])

    def _advance(self) -> None:
        rows = self._history_rows
        if self._top == rows:
            self._buffer[:rows] = self._buffer[rows : 2 * rows]
            self._top = 0
        self._top += 4


def _clip_and_scale(values: Array, out: Array, channel: Channel) -> None:
    if channel.limit is not None:
        _clip(values, out, channel.limit)
    elif values is not out:
        np.copyto(out, values)
    if channel.scale != 1:
        out *= np.float32(channel.scale)


def _clip(values: Array, out: Array, limit: float) -> None:
    values.clip(np.float32(-limit), np.float32(limit), out=out)
