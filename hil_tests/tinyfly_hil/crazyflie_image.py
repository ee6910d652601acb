"""A complete Crazyflie firmware image as a controller: the file that will be flashed, called from Python.

The image's own controllerOutOfTree, powerDistribution and powerDistributionCap run at 1 kHz, its stock PID
before and after the policy. Not part of it: the estimator (the given state takes its place), the stock
supervisor, the battery's voltage (thrust is taken as compensated).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe, speed_at
from tinyfly.errors import UserError
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, VELOCITY, euler_rad
from tinyfly_hil.arm_image import Image
from tinyfly_hil.protocol import ENUMS

Array = NDArray[Any]

ABSOLUTE, RATE = 1, 2  # setpoint mode modeAbs, modeVelocity
MOTORS = [f"list.{i}" for i in range(4)]
FULL = 65535.0  # of a motor, in powerDistribution's units
ESTIMATE = [f"{what}.{axis}" for what in ("position", "velocity") for axis in "xyz"]
ESTIMATE += [f"attitudeQuaternion.{axis}" for axis in "wxyz"]
ESTIMATE += [f"attitude.{angle}" for angle in ("roll", "pitch", "yaw")]


class Crazyflie:
    """An image as a controller: states in, rotor speed fractions out, one call a millisecond."""

    def __init__(self, elf: Path, airframe: Airframe):
        self.image = image = Image(elf)
        self.airframe = airframe
        entry = "controllerOutOfTree"
        self.control, self.setpoint = image.struct("control_t", entry), image.struct("setpoint_t", entry)
        self.sensors, self.state = image.struct("sensorData_t", entry), image.struct("state_t", entry)
        self.thrust = image.struct("motors_thrust_uncapped_t", "powerDistribution")
        self.pwm = image.struct("motors_thrust_pwm_t", "powerDistribution")
        self._estimate = self.state.floats(*ESTIMATE)
        self._gyro = self.sensors.floats("gyro.x", "gyro.y", "gyro.z", "acc.z")
        self.restart()
        self._full_n = image.call_float("powerDistributionGetMaxThrust") / 4

    def restart(self) -> None:
        """Boot it: initial values, the firmware's own initialisation and self-test."""
        self.tick = 1
        self.image.restart()
        self.image.call("controllerOutOfTreeInit")
        if not self.image.call("controllerOutOfTreeTest") & 0xFF:
            raise UserError(f"{self.image.path}: the self-test refuses: {self.reason} ({self.supervisor})")

    @property
    def flying(self) -> bool:
        """The policy's commands go to the motors."""
        return bool(self.image.get("flying", "B"))

    @property
    def supervisor(self) -> str:
        """State of the core's supervisor."""
        return _name("state", self.image.get("tf", "B"))

    @property
    def reason(self) -> str:
        """Why the supervisor is where it is."""
        return _name("reason", self.image.read(self.image.address("tf") + 1, 1)[0])

    @property
    def refusal(self) -> str:
        """Why the last enable was refused or ended."""
        return _name("reason", self.image.get("refusal", "B"))

    @property
    def policy_crc(self) -> int:
        """Identity of the policy inside."""
        return int(self.image.get("policy_hash", "I"))

    @property
    def kernel(self) -> str:
        """Arithmetic of its network."""
        return _name("kernel", self.image.get("kernel", "B"))

    def enable(self, mode: int) -> None:
        """What cfclient does: choose a mode and set tinyfly.enable."""
        self.image.set("tf_mode", "B", mode)
        self.image.set("tf_enable", "B", 1)

    def disable(self) -> None:
        """Give the aircraft back to the PID."""
        self.image.set("tf_enable", "B", 0)

    def command(self, position: Array | None, yaw_deg: float = 0.0) -> None:
        """The commander's position set-point (3,) m; None: no set-point, as after a link loss."""
        self.setpoint.clear()
        if position is not None:
            for axis, value in zip("xyz", position, strict=True):
                self.setpoint[f"mode.{axis}"] = ABSOLUTE
                self.setpoint[f"position.{axis}"] = float(value)
            self.setpoint["mode.yaw"], self.setpoint["attitude.yaw"] = ABSOLUTE, yaw_deg

    def command_hover(self, forward_m_s: float, left_m_s: float, height_m: float) -> None:
        """The commander's hover set-point, as cfclient and cflib's MotionCommander send it."""
        self.setpoint.clear()
        self.setpoint["velocity_body"] = 1
        for axis, velocity in (("x", forward_m_s), ("y", left_m_s)):
            self.setpoint[f"mode.{axis}"], self.setpoint[f"velocity.{axis}"] = RATE, velocity
        self.setpoint["mode.z"], self.setpoint["position.z"] = ABSOLUTE, height_m
        self.setpoint["mode.yaw"] = RATE

    def step(self, sensed: Array) -> Array:
        """State estimate (13,) -> rotor speed commands (4,) in [0, 1] of full speed."""
        self._sense(np.asarray(sensed, float))
        pointers = (self.control, self.setpoint, self.sensors, self.state)
        self.image.call_all(
            ("controllerOutOfTree", *(p.address for p in pointers), self.tick),
            ("powerDistribution", self.control.address, self.thrust.address),
            ("powerDistributionCap", self.thrust.address, self.pwm.address),
        )
        self.tick += 1
        return self._speeds(np.array(self.pwm.values(*MOTORS)) / FULL * self._full_n)

    def _sense(self, s: Array) -> None:
        roll, pitch, yaw = np.rad2deg(euler_rad(s[QUATERNION]))
        angles = (roll, -pitch, yaw)  # their pitch is inverted
        self.state.set_floats(self._estimate, [*s[POSITION], *s[VELOCITY], *s[QUATERNION], *angles])
        self.sensors.set_floats(self._gyro, [*np.rad2deg(s[ANGULAR_VELOCITY]), 1.0])

    def _speeds(self, thrust_n: Array) -> Array:
        """Rotor speed fractions that give these thrusts; a motor that gets nothing stands still."""
        curve = self.airframe.thrust_n
        speeds = speed_at(np.maximum(thrust_n, curve[0]), curve).clip(0, 1)
        return np.where(thrust_n > 0, speeds, 0.0)


def _name(enum: str, value: int) -> str:
    return next((name for name, number in ENUMS[enum].items() if number == value), str(value))
