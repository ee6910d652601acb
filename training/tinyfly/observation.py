"""The network's input, assembled from a state and a reference as the contract says.

This is the definition of the bits that firmware/core/tf_observation.c mirrors. Everything is float32, every
operation below is one IEEE operation (no fused multiply-add), and this is their order, for each vehicle.

``reset``: history slots 0 (half speed, where training starts), integral and force 0, no previous step.

``observe(time_us, sensed, reference)``
 1. time: dt_us = (time_us - previous time_us) modulo 2^32, at most 100000 (a stall must not wind up the
    integral); 0 on the first step. period_us = round(1e6 / history_rate_hz); phase_us begins at
    period_us // 2; phase_us += dt_us; when it reaches period_us, phase_us %= period_us and the history is due
    to advance. The first step is due as well. Half a period of margin keeps a jittering clock from skipping
    an advance.
 2. integral: I = clip(I + (gain * (dt_us * 1e-6)) * previous clipped error, +-limit). It is the error of
    the previous step, so that at a constant rate the policy sees the very sum that it was trained with.
 3. error = position - reference position; its clip to +-error_limit is kept for the next step.
 4. rotation, row-major, from q = (w, x, y, z) as it comes: x2 = x + x, y2 = y + y, z2 = z + z;
        1 - (y y2 + z z2)    x y2 - w z2          x z2 + w y2
        x y2 + w z2          1 - (x x2 + z z2)    y z2 - w x2
        x z2 - w y2          y z2 + w x2          1 - (x x2 + y y2)
 5. specific force y: from the second step on, where elapsed_us, the time since the last state, is at most
    100000 (longer, and the velocity's change says nothing): k = (elapsed_us * 1e-6) * (1 / time_constant),
    h = 0.5 / time_constant (both constants float32), g_dt = 9.81 * (elapsed_us * 1e-6),
    d = v - previous v, d_z += g_dt; each axis j of the body:
        turned_j = ((R_0j + R'_0j) d_x + (R_1j + R'_1j) d_y) + (R_2j + R'_2j) d_z   with R' the previous R
        y_j = clip(y_j + (h * turned_j - k * (y_j + (0, 0, 9.81)_j)), +-limit)
 6. every channel: input = clip(value, +-limit) * scale; the clip is max(value, -limit), then min(., limit).

``record(action)``, after the network has acted: when an advance is due, the oldest slot drops out, a new
one comes in, and sum = action, count = 1; otherwise sum += action, count += 1. The newest slot becomes
sum / count, clipped and scaled like any channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2
from tinyfly.contract import Channel, Contract
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
_SPARE_SLOTS = 16  # the history slides through spare rows and is copied back once they are used up

Array = NDArray[np.float32]


class Observer:
    """Assembles observations for n vehicles that share a clock; keeps their history and integral."""

    def __init__(self, contract: Contract, n: int) -> None:
        self.contract = contract
        self._history_rows = 4 * contract.history_length
        # The input is one window on this buffer: the history, then the state. To advance, the window moves
        # down four rows; the action is written where the state was, the state is rewritten below. No copies.
        self._buffer = np.zeros((contract.size + 4 * _SPARE_SLOTS, n), np.float32)
        self._top = 0
        self._sum = np.zeros((4, n), np.float32)
        self._count = 0
        self._integral = np.zeros((3, n), np.float32)
        self._clipped_error = np.zeros((3, n), np.float32)
        self._error = np.zeros((3, n), np.float32)
        self._twice = np.zeros((3, n), np.float32)
        self._product = np.zeros((3, 3, n), np.float32)
        self._frame, self._last_frame = np.zeros((2, 3, 3, n), np.float32)
        self._force = np.zeros((3, n), np.float32)
        self._last_velocity, self._gained = np.zeros((2, 3, n), np.float32)
        self._seen = np.zeros(n, np.float32)  # 1 where a state was observed before
        self._cross = np.zeros((3, n), np.float32)
        self._diagonal = np.zeros((3, n), np.float32)
        self._period_us = round(1e6 / contract.history_rate_hz)
        self._slices = contract.slices()
        self._due = True
        self._start_clock()

    def reset(self, columns: NDArray[np.intp] | slice = slice(None)) -> None:
        """Forget the past of these vehicles; with no argument, of all of them and of the clock."""
        history = self._buffer[self._top : self._top + self._history_rows]
        for array in (history, self._sum, self._integral, self._clipped_error, self._force):
            array[:, columns] = 0
        self._seen[columns] = 0
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
        self._rotation(sensed[QUATERNION], self._frame)
        if self.contract.specific_force is not None:
            self._feel(elapsed_us, sensed[VELOCITY])
        window = self._buffer[self._top : self._top + self.contract.size]
        for channel in self.contract.channels:
            if channel.name == "action_history":
                continue  # there already
            rows = window[self._slices[channel.name]]
            match channel.name:
                case "position_error":
                    rows[:] = self._error
                case "rotation":
                    rows.reshape(3, 3, -1)[:] = self._frame
                case "velocity_error":
                    np.subtract(sensed[VELOCITY], reference[REFERENCE_VELOCITY], out=rows)
                case "angular_velocity":
                    rows[:] = sensed[ANGULAR_VELOCITY]
                case "position_integral":
                    rows[:] = self._integral
                case "specific_force":
                    rows[:] = self._force
                case "reference_acceleration":
                    rows[:] = reference[REFERENCE_ACCELERATION]
                case "acceleration_preview":
                    rows[:] = reference[REFERENCE_PREVIEW][: channel.size]
            _clip_and_scale(rows, channel)
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
        _clip_and_scale(newest, self.contract.channels[0])

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
        if self._phase_us >= self._period_us:
            self._phase_us %= self._period_us
            self._due = True
        return dt_us

    def _integrate(self, dt_us: int) -> None:
        integral = self.contract.integral
        assert integral is not None
        step = np.float32(integral.gain_per_s) * (np.float32(dt_us) * np.float32(1e-6))
        self._clipped_error *= step
        self._integral += self._clipped_error
        _clip(self._integral, self._integral, integral.limit_m)
        _clip(self._error, self._clipped_error, integral.error_limit_m)

    def _feel(self, elapsed_us: int, velocity: Array) -> None:
        """The specific force, from what the velocity gained since the last state."""
        settings = self.contract.specific_force
        assert settings is not None
        gained, y, elapsed_s = self._gained, self._force, np.float32(elapsed_us) * np.float32(1e-6)
        if elapsed_us <= LONGEST_STEP_US:
            keep, gain = np.float32(1 / settings.time_constant_s), np.float32(0.5 / settings.time_constant_s)
            np.subtract(velocity, self._last_velocity, out=gained)
            gained[2] += np.float32(GRAVITY_M_S2) * elapsed_s
            frames = np.add(self._frame, self._last_frame, out=self._product)
            frames *= gained[:, None]
            turned = np.add(frames[0], frames[1], out=self._cross)
            turned += frames[2]
            turned *= gain
            fades = self._diagonal
            fades[:] = y
            fades[2] += np.float32(GRAVITY_M_S2)
            fades *= elapsed_s * keep
            turned -= fades
            turned *= self._seen
            y += turned
            _clip(y, y, settings.limit_m_s2)
        self._last_velocity[:], self._last_frame[:], self._seen[:] = velocity, self._frame, 1

    def _rotation(self, q: Array, out: Array) -> None:
        """(4, n) quaternion -> (3, 3, n), operation for operation as the module says."""
        vector, p = q[1:4], self._product
        np.add(vector, vector, out=self._twice)
        np.multiply(vector[:, None], self._twice[None], out=p)  # p[i, j] = v_i 2 v_j
        wx, wy, wz = np.multiply(q[0], self._twice, out=self._cross)
        yy_zz, xx_zz, xx_yy = self._diagonal
        np.add(p[1, 1], p[2, 2], out=yy_zz)
        np.add(p[0, 0], p[2, 2], out=xx_zz)
        np.add(p[0, 0], p[1, 1], out=xx_yy)
        for i in range(3):
            np.subtract(np.float32(1), self._diagonal[i], out=out[i, i])
        np.subtract(p[0, 1], wz, out=out[0, 1])
        np.add(p[0, 2], wy, out=out[0, 2])
        np.add(p[0, 1], wz, out=out[1, 0])
        np.subtract(p[1, 2], wx, out=out[1, 2])
        np.subtract(p[0, 2], wy, out=out[2, 0])
        np.add(p[1, 2], wx, out=out[2, 1])

    def _advance(self) -> None:
        if self._top == 4 * _SPARE_SLOTS:
            self._buffer[: self._history_rows] = self._buffer[
                self._top : self._top + self._history_rows
            ].copy()
            self._top = 0
        self._top += 4


def _clip_and_scale(rows: Array, channel: Channel) -> None:
    if channel.limit is not None:
        _clip(rows, rows, channel.limit)
    if channel.scale != 1:
        rows *= np.float32(channel.scale)


def _clip(values: Array, out: Array, limit: float) -> None:
    np.maximum(values, np.float32(-limit), out=out)
    np.minimum(out, np.float32(limit), out=out)
