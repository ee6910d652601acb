"""Fly a complete Crazyflie firmware image, the file that will be flashed, in an emulator in our simulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.evaluate import airframe_of
from tinyfly.policy import Policy
from tinyfly.state import POSITION, QUATERNION, euler_rad
from tinyfly_hil.build import occupied
from tinyfly_hil.crazyflie_image import Crazyflie
from tinyfly_hil.setpoint import path
from tinyfly_hil.world import LEVEL, Scenario, World

Array = NDArray[Any]

RATE_HZ = 1000
COMMANDER, TARGET, FIGURE_EIGHT = 0, 1, 2  # tinyfly.mode
SETTLE_S = 0.6  # the core wants half a second of good states
WARM_UP_S = 0.52  # from enable until the policy flies, at most
PERIOD_S = 5.5  # of the figure-eight, as everywhere


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
    """An image, booted; UserError when it does not read, or does not carry this policy."""
    craft = Crazyflie(elf, airframe_of(policy))
    if craft.policy_crc != policy.crc32():
        raise UserError(
            f"{elf} carries another policy (crc {craft.policy_crc:08x}, expected {policy.crc32():08x}): "
            f"build it with `tinyfly build POLICY --target crazyflie --crazyflie-base DIR`"
        )
    return craft


def start(craft: Crazyflie, target: Array) -> Run:
    """The image booted anew and hovering on its PID, told to hold ``target`` (3,) m, ready to be enabled."""
    craft.restart()
    hovering = Scenario("image", 0.0, rate_hz=RATE_HZ, start=_at(target), noise=1.0)
    world = World(hovering, craft.airframe)
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
    _headings(craft, home, judge)
    figure_eight_rmse_m = _figure_eight(craft, home, judge)
    _far_away(craft, home, judge)
    _landing(craft, home, judge)
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
    """Enable; True when the policy flies in time. No more is flown: a path's time begins then."""
    run.craft.enable(mode)
    for _ in range(round(WARM_UP_S * RATE_HZ)):
        if run.craft.flying:
            break
        run.fly(1 / RATE_HZ)
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


def _headings(craft: Crazyflie, home: Array, judge: Judge) -> None:
    run = start(craft, home)
    _took_over(run, COMMANDER)
    craft.command(home, yaw_deg=90.0)
    run.fly(2.5)
    judge("the nose turns to the commanded heading", craft.flying and abs(_yaw_deg(run) - 90) < 5)
    craft.command_hover(0.5, 0.0, 1.0)
    position, _ = run.fly(2.0)
    there = home + np.array([0.0, 1.0, 0.0])  # 2 s at 0.5 m/s, the nose along y
    judge("a hover command is flown along the nose", float(np.linalg.norm(position[-1] - there)) < 0.15)
    craft.command_hover(0.0, 0.0, 1.0)
    craft.disable()
    position, _ = run.fly(1.0)
    stays = abs(_yaw_deg(run) - 90) < 10 and float(np.abs(position[:, 2] - 1).max()) < 0.15
    judge("disabled after a turn, the PID keeps heading and height", stays)


def _yaw_deg(run: Run) -> float:
    return math.degrees(euler_rad(run.world.sense()[QUATERNION])[2])


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


def _far_away(craft: Crazyflie, home: Array, judge: Judge) -> None:
    """A place 2 m away is flown to at tinyfly.speed, 1 m/s, and not as fast as the policy can, 3 m/s."""
    there = home + np.array([2.0, 0.0, 0.0])
    names = {COMMANDER: "a commanded place that jumps", TARGET: "the own target"}
    for mode, what in names.items():
        run = start(craft, home)
        craft.image.set("tf_target", "3f", *there)
        _took_over(run, mode)
        if mode == COMMANDER:
            craft.command(there)
        position, _ = run.fly(4.2)
        fastest = float(np.linalg.norm(np.diff(position, axis=0), axis=1).max()) * RATE_HZ
        arrived = craft.flying and float(np.linalg.norm(position[-1] - there)) < 0.1
        judge(f"{what} is flown to at 1 m/s", arrived and fastest < 1.4)


def _landing(craft: Crazyflie, home: Array, judge: Judge) -> None:
    """The commander lands while the policy is at a target of its own: what it asks for counts."""
    run = start(craft, home)
    craft.image.set("tf_target", "3f", *(home + np.array([0.1, 0.0, 0.0])))
    _took_over(run, TARGET)
    run.fly(1.0)
    heights = home[2] * (1 - np.arange(1, 301) / 300)
    for height in heights:
        craft.command(np.array([*home[:2], height]))
        position, _ = run.fly(0.01)
    down = bool(position[-1, 2] < 0.15) and float(np.linalg.norm(position[-1, :2] - home[:2])) < 0.1
    judge("a landing ends a flight to the own target: the PID flies it", not craft.flying and down)
    judge(
        "a landing ends a flight to the own target: the reason is named", craft.refusal == "commander_changed"
    )


def _bad_estimates(craft: Crazyflie, home: Array, judge: Judge) -> None:
    nothing = np.full(13, math.nan)
    run = start(craft, home)
    _took_over(run, COMMANDER)
    run.fly(1.0)
    position, motors = run.fly(0.5, lambda k, s: nothing if k < 2 else s)
    stays = bool(np.isfinite(motors).all()) and float(np.linalg.norm(position[-1] - home)) < 0.2
    judge("one NaN estimate is flown through", run.craft.flying and stays)
    _, before = run.fly(0.022, lambda k, s: nothing if k < 20 else s)
    _, motors = run.fly(0.6, lambda k, s: nothing)
    judge("NaN estimates: the motors never see one", bool(np.isfinite([*before, *motors]).all()))
    judge("NaN estimates, a good one among them: motors off within 500 ms", not motors[502:].any())
    _, motors = run.fly(0.1)
    judge("a good estimate again: stopped motors stay off", not motors.any())
    run.craft.disable()
    _, motors = run.fly(0.1)
    judge("disabled: they stay off while the commander asks for the place of before", not motors.any())
    run.craft.command(None)
    run.fly(0.002)
    run.craft.command(home)
    _, motors = run.fly(0.02)
    judge("asked for nothing, then for a place: the PID has them again", bool(motors[-1].any()))


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
