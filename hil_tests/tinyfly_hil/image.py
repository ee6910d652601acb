"""Fly a complete Crazyflie firmware image, the file that will be flashed, in an emulator in our simulator.

The image's own controllerOutOfTree, powerDistribution and powerDistributionCap run at 1 kHz, its stock PID
before and after the policy. Not part of it: the estimator (the simulator's state takes its place), the stock
supervisor, the battery's voltage (thrust is taken as compensated).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, VELOCITY
from tinyfly_hil.arm_image import Image
from tinyfly_hil.build import occupied
from tinyfly_hil.protocol import ENUMS
from tinyfly_hil.setpoint import path
from tinyfly_hil.world import LEVEL, Scenario, World

Array = NDArray[Any]

RATE_HZ = 1000
ABSOLUTE = 1  # setpoint mode modeAbs
COMMANDER, TARGET, FIGURE_EIGHT = 0, 1, 2  # tinyfly.mode
MOTORS = [f"list.{i}" for i in range(4)]
FULL = 65535.0  # of a motor, in powerDistribution's units
SETTLE_S = 0.6  # the core wants half a second of good states
WARM_UP_S = 0.52  # from enable until the policy flies
ESTIMATE = [f"{what}.{axis}" for what in ("position", "velocity") for axis in "xyz"]
ESTIMATE += [f"attitudeQuaternion.{axis}" for axis in "wxyz"]
ESTIMATE += [f"attitude.{angle}" for angle in ("roll", "pitch", "yaw")]
PERIOD_S = 5.5  # of the figure-eight, as everywhere


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

    def command(self, position: Array | None) -> None:
        """The commander's position set-point (3,) m, heading 0; None: no set-point, as after a link loss."""
        self.setpoint.clear()
        if position is not None:
            for axis, value in zip("xyz", position, strict=True):
                self.setpoint[f"mode.{axis}"] = ABSOLUTE
                self.setpoint[f"position.{axis}"] = float(value)
            self.setpoint["mode.yaw"] = ABSOLUTE

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
        return np.array([self._speed(u / FULL * self._full_n) for u in self.pwm.values(*MOTORS)])

    def _sense(self, s: Array) -> None:
        w, x, y, z = s[QUATERNION].tolist()
        roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
        pitch = -math.asin(min(max(2 * (w * y - z * x), -1.0), 1.0))  # theirs is inverted
        yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        angles = (math.degrees(angle) for angle in (roll, pitch, yaw))
        self.state.set_floats(self._estimate, [*s[POSITION], *s[VELOCITY], w, x, y, z, *angles])
        self.sensors.set_floats(self._gyro, [*np.rad2deg(s[ANGULAR_VELOCITY]), 1.0])

    def _speed(self, thrust_n: float) -> float:
        """Rotor speed fraction that gives a thrust; the inverse of the airframe's polynomial."""
        c0, c1, c2 = self.airframe.thrust_n
        root = math.sqrt(max(c1 * c1 + 4 * c2 * max(thrust_n - c0, 0.0), 0.0))
        return min(max((root - c1) / (2 * c2), 0.0), 1.0) if thrust_n > 0 else 0.0


def _name(enum: str, value: int) -> str:
    return next((name for name, number in ENUMS[enum].items() if number == value), str(value))


@dataclass(slots=True)
class Run:
    """The aircraft and the image, going on from flight to flight."""

    craft: Crazyflie
    world: World

    def fly(
        self,
        duration_s: float,
        change: Callable[[int, Array], Array] = lambda k, sensed: sensed,
    ) -> tuple[Array, Array]:
        """Fly on; ``change`` may falsify what is sensed in ms k. Returns position (k, 3), motors (k, 4)."""
        positions, motors = [], []
        for k in range(round(duration_s * RATE_HZ)):
            command = self.craft.step(change(k, self.world.sense()))
            positions.append(self.world.position)
            motors.append(command)
            self.world.advance(command)
        return np.array(positions), np.array(motors)


def load(elf: Path, policy: Policy) -> Crazyflie:
    """An image, booted; UserError when it does not carry this policy."""
    craft = Crazyflie(elf, Airframe.from_dict(policy.airframe))
    if craft.policy_crc != policy.crc32():
        raise UserError(
            f"{elf} carries another policy (crc {craft.policy_crc:08x}, expected {policy.crc32():08x}): "
            f"build it with `tinyfly build POLICY --target crazyflie --crazyflie-base DIR`"
        )
    return craft


def start(craft: Crazyflie, target: Array) -> Run:
    """The image booted anew and hovering on its PID, told to hold ``target`` (3,) m, ready to be enabled."""
    craft.restart()
    name = craft.airframe.name
    world = World(Scenario("image", 0.0, airframe=name, rate_hz=RATE_HZ, start=_at(target), noise=1.0))
    craft.command(target)
    run = Run(craft, world)
    run.fly(SETTLE_S)
    return run


def _at(position: Array) -> tuple[float, ...]:
    return (*(float(x) for x in position), *(float(x) for x in LEVEL[3:]))


def check(elf: Path, policy: Policy) -> dict[str, Any]:
    """Fly everything once; the keys of `tinyfly hil --json`, and ``checks``: what was looked at -> it held.

    Raises:
        UserError: the image does not read, is not ours, carries another policy, faults or hangs.
    """
    home = np.array([0.0, 0.0, 1.0])
    checks: dict[str, bool] = {}
    judge = checks.__setitem__
    craft = load(elf, policy)
    flash_bytes, ram_bytes = occupied(elf)
    hover_error_m = _hover(craft, home, judge)
    figure_eight_rmse_m = _figure_eight(craft, home, judge)
    _bad_estimates(craft, home, judge)
    _link_loss(craft, home, judge)
    return {
        "target": "image",
        "image": str(elf),
        "kernel": craft.kernel,
        "passed": sum(checks.values()),
        "failed": sum(not good for good in checks.values()),
        "checks": checks,
        "hover_error_m": hover_error_m,
        "figure_eight_rmse_m": figure_eight_rmse_m,
        "instructions_per_step": None,
        "flash_bytes": flash_bytes,
        "ram_bytes": ram_bytes,
        "round_trip_ms_max": None,  # there is no line
    }


Judge = Callable[[str, bool], None]


def _took_over(run: Run, mode: int) -> bool:
    run.craft.enable(mode)
    run.fly(WARM_UP_S)
    return run.craft.flying


def _hover(craft: Crazyflie, home: Array, judge: Judge) -> float:
    run = start(craft, home)
    judge("the PID flies until the policy is enabled", not run.craft.flying)
    judge("the policy takes over in the air", _took_over(run, COMMANDER))
    there = home + np.array([0.2, -0.2, 0.1])
    run.craft.command(there)
    position, motors = run.fly(5.0)
    error = np.linalg.norm(position - there, axis=1)[-2000:].mean()
    judge("the policy hovers within 0.1 m", run.craft.flying and bool(error < 0.1))
    judge("motors stay in [0, 1]", bool(((motors >= 0) & (motors <= 1)).all()))
    run.craft.disable()
    position, _ = run.fly(2.0)
    back = float(np.linalg.norm(position[-1] - position[0]))
    judge("disabled, the PID has the aircraft back", not run.craft.flying and back < 0.3)
    return float(error)


def _figure_eight(craft: Crazyflie, home: Array, judge: Judge) -> float:
    run = start(craft, home)
    image = run.craft.image
    length, width, period, ramp = 1.0, 1.0, PERIOD_S, 3.0
    image.set("tf_eight", "4f", length, width, period, ramp)
    centre = run.world.sense()[POSITION].astype(float)  # where it is enabled: the centre
    took = _took_over(run, FIGURE_EIGHT)
    position, _ = run.fly(ramp + period)
    values = (*centre, length / 2, width, period, ramp)
    t = np.arange(len(position)) / RATE_HZ
    reference = path("figure_eight", values, centre).at(t)[0].T
    rmse = float(np.sqrt(((position - reference) ** 2).sum(1).mean()))
    judge("a figure-eight is flown within 0.3 m", took and run.craft.flying and rmse < 0.3)
    return rmse


def _bad_estimates(craft: Crazyflie, home: Array, judge: Judge) -> None:
    nothing = np.full(13, math.nan)
    run = start(craft, home)
    _took_over(run, COMMANDER)
    run.fly(1.0)
    position, motors = run.fly(0.5, lambda k, s: nothing if k < 2 else s)
    stays = bool(np.isfinite(motors).all()) and float(np.linalg.norm(position[-1] - home)) < 0.2
    judge("one NaN estimate is flown through", run.craft.flying and stays)
    _, motors = run.fly(0.6, lambda k, s: nothing)
    judge("NaN estimates: the motors never see one", bool(np.isfinite(motors).all()))
    judge("NaN estimates: motors off within 500 ms", not motors[502:].any())


def _link_loss(craft: Crazyflie, home: Array, judge: Judge) -> None:
    run = start(craft, home)
    _took_over(run, COMMANDER)
    run.fly(1.0)
    run.craft.command(None)
    _, motors = run.fly(0.02)
    judge("no set-point: the PID decides, motors off at once", not run.craft.flying and not motors[3:].any())
    judge("no set-point: the reason is named", run.craft.refusal == "stale_setpoint")
    run.craft.command(home)
    run.fly(0.02)
    judge("a set-point again: the policy waits for a new enable", not run.craft.flying)
