"""The Crazyflie app's decisions: who flies, what is followed, what is refused."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native import FULL, GENERATE, HERE, build, core_sources
from policies import random_policy

from tinyfly_hil.protocol import name_of

APP = GENERATE.parents[1] / "ports" / "crazyflie" / "src"
HEADERS = ("app", "attitude_controller", "controller", "controller_pid", "FreeRTOS", "log", "param", "task")
HEADERS += ("platform_defaults", "position_controller", "stabilizer_types", "usec_time", "tf_airframe")
COMMANDER, TARGET, FIGURE_EIGHT = range(3)
DISABLED, ABSOLUTE, RATE = range(3)
LEGACY, FORCE = 0, 2


class Vector(ctypes.Structure):
    _fields_ = tuple((axis, ctypes.c_float) for axis in "xyz")


class Setpoint(ctypes.Structure):
    """setpoint_t of crazyflie_stock.h"""

    _fields_ = (
        *((name, Vector) for name in ("attitude", "rate")),
        ("thrust", ctypes.c_float),
        *((name, Vector) for name in ("position", "velocity", "acceleration")),
        ("velocity_body", ctypes.c_bool),
        *((name, ctypes.c_uint) for name in ("x", "y", "z", "yaw")),
    )


class State(ctypes.Structure):
    """state_t of crazyflie_stock.h"""

    _fields_ = (
        ("attitude", Vector),
        ("quaternion", ctypes.c_float * 4),
        ("position", Vector),
        ("velocity", Vector),
    )


class Control(ctypes.Structure):
    """control_t of crazyflie_stock.h"""

    _fields_ = (("forces", ctypes.c_float * 4), ("mode", ctypes.c_uint))


@dataclass
class Aircraft:
    """The app, called once a millisecond."""

    c: ctypes.CDLL
    tick: int = 1
    setpoint: Setpoint = field(default_factory=Setpoint)
    state: State = field(default_factory=State)
    control: Control = field(default_factory=Control)

    def __post_init__(self) -> None:
        self.parameters(enable=0)
        self.c.controllerOutOfTreeInit()
        assert self.c.controllerOutOfTreeTest()
        self.face(0.0)
        self.hold(0, 0, 1)

    def parameters(
        self, enable: int, mode: int = COMMANDER, target: tuple[float, ...] = (0, 0, 1), speed: float = 1.0
    ) -> None:
        self.c.bridge_parameters(enable, mode, (ctypes.c_float * 3)(*target), ctypes.c_float(speed))

    def face(self, yaw_deg: float) -> None:
        half = math.radians(yaw_deg) / 2
        self.state.attitude.z = yaw_deg
        self.state.quaternion = (math.cos(half), 0, 0, math.sin(half))

    def command(self, modes: tuple[int, int, int, int], **values: tuple[float, float, float]) -> None:
        self.setpoint = Setpoint(x=modes[0], y=modes[1], z=modes[2], yaw=modes[3])
        for name, vector in values.items():
            setattr(self.setpoint, name, Vector(*vector))

    def hold(self, x: float, y: float, z: float) -> None:
        self.command((ABSOLUTE,) * 4, position=(x, y, z))

    def run(self, ms: int) -> bool:
        """Time passes; True when the policy's commands went out last."""
        arguments = [ctypes.byref(x) for x in (self.control, self.setpoint, Vector(), self.state)]
        for _ in range(ms):
            self.c.controllerOutOfTree(*arguments, self.tick)
            self.tick += 1
        if self.control.mode == FORCE:
            assert all(0 <= force <= 1.25 for force in self.control.forces)
        return bool(self.control.mode == FORCE)

    def take_over(self, mode: int = COMMANDER, **parameters: Any) -> Aircraft:
        assert not self.run(600)
        self.parameters(enable=1, mode=mode, **parameters)
        assert self.run(520), self.refusal
        return self

    refusal = property(lambda self: name_of("reason", self.c.bridge_refusal()))
    core = property(lambda self: name_of("state", self.c.bridge_state()))

    @property
    def reference(self) -> np.ndarray:
        """Position, velocity, acceleration that the core flies to."""
        return np.array(self.c.bridge_reference()[:9]).reshape(3, 3)


@pytest.fixture(scope="module")
def app():
    digest = hashlib.sha256()
    for path in (*sorted(APP.glob("*.[ch]")), *sorted(HERE.glob("crazyflie_*"))):
        digest.update(path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"tinyfly-stock-{os.getuid()}-{digest.hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    for name in HEADERS:
        (folder / f"{name}.h").write_text('#include "crazyflie_stock.h"\n')
    sources = [*core_sources(), APP / "tf_frame.c", HERE / "bridge.c", HERE / "crazyflie_bridge.c"]
    flags = [f"-I{path}" for path in (folder, HERE, APP)]
    library = build(random_policy(FULL), sources=sources, flags=flags)
    library.bridge_reference.restype = library.bridge_app_input.restype = ctypes.POINTER(ctypes.c_float)
    library.controllerOutOfTreeTest.restype = ctypes.c_bool
    for name in ("bridge_refusal", "bridge_state"):
        getattr(library, name).restype = ctypes.c_uint8
    library.bridge_pid_yaw.restype = ctypes.c_float
    return library


@pytest.fixture
def aircraft(app):
    return Aircraft(app)


MOVE = (RATE, RATE, RATE, RATE)
HOVER = (RATE, RATE, ABSOLUTE, RATE)
NOT_FLOWN = {
    "nothing": (DISABLED,) * 4,
    "attitude and thrust": (DISABLED, DISABLED, DISABLED, RATE),
    "attitude and height": (DISABLED, DISABLED, ABSOLUTE, RATE),
    "attitude and climb": (DISABLED, DISABLED, RATE, RATE),
}


@pytest.mark.parametrize("modes", NOT_FLOWN.values(), ids=NOT_FLOWN)
def test_what_says_not_where_to_be_is_the_stock_controllers(aircraft, modes):
    aircraft.take_over()
    aircraft.command(modes)
    assert not aircraft.run(2)
    assert (aircraft.core, aircraft.refusal) == ("disarmed", "stale_setpoint")
    aircraft.hold(0, 0, 1)
    assert not aircraft.run(1000)  # not before enable has gone through 0
    aircraft.parameters(enable=0)
    aircraft.take_over()


@pytest.mark.parametrize("modes", [*NOT_FLOWN.values()], ids=NOT_FLOWN)
def test_without_a_place_to_be_the_policy_cannot_be_enabled(aircraft, modes):
    aircraft.command(modes)
    aircraft.run(600)
    aircraft.parameters(enable=1)
    assert not aircraft.run(600)
    assert aircraft.refusal == "stale_setpoint"


def test_handed_back_the_stock_controller_starts_afresh_with_all_its_loops(aircraft):
    aircraft.take_over()
    before = aircraft.c.bridge_pid_resets()
    aircraft.parameters(enable=0)
    aircraft.tick += aircraft.tick % 2  # the core steps on even ticks
    assert not aircraft.run(1)
    assert (aircraft.c.bridge_pid_tick(), aircraft.c.bridge_pid_resets() - before) == (0, 2)
    aircraft.run(1)
    assert aircraft.c.bridge_pid_tick() == aircraft.tick - 1


def test_a_position_is_seen_from_the_nose(aircraft):
    aircraft.face(90)
    aircraft.state.position = Vector(1, 2, 3)
    aircraft.command((ABSOLUTE,) * 4, position=(1, 2, 3), acceleration=(1, 0, 0), attitude=(0, 0, 90))
    aircraft.take_over()
    assert np.allclose(aircraft.reference, [[2, -1, 3], [0, 0, 0], [0, -1, 0]], atol=1e-5)
    rotation = np.array(aircraft.c.bridge_app_input()[35:44])  # after 32 of history, 3 of position
    assert np.allclose(rotation.reshape(3, 3), np.eye(3), atol=1e-5)


@pytest.mark.parametrize("yaw", [0.0, 180.0, -135.0])
def test_a_commanded_heading_is_approached_the_short_way_at_90_degrees_a_second(aircraft, yaw):
    aircraft.face(135)
    aircraft.setpoint.attitude.z = 135
    aircraft.take_over()
    aircraft.hold(1, 0, 1)
    aircraft.setpoint.attitude.z = yaw
    aircraft.run(500)
    expected = {0.0: 90, 180.0: 180, -135.0: 180}[yaw]  # the last lies 90 degrees on: half the way
    seen = math.degrees(math.atan2(-aircraft.reference[0, 1], aircraft.reference[0, 0]))
    assert abs((seen - expected + 180) % 360 - 180) < 0.5


def test_a_velocity_moves_the_reference_on_a_leash_and_is_clipped(aircraft):
    aircraft.take_over()
    aircraft.command(MOVE, velocity=(0.5, -9.0, 0.0))
    aircraft.run(200)
    assert np.allclose(aircraft.reference[:2], [[0.1, -0.4, 0], [0.5, -2, 0]], atol=0.01)
    aircraft.run(2000)
    assert np.allclose(aircraft.reference[0], [0.5, -0.5, 0.0], atol=0.01)


def history(aircraft, ms):
    """References (steps, 3, 3) of the next ms."""
    steps = []
    for _ in range(ms // 2):
        assert aircraft.run(2)
        steps.append(aircraft.reference)
    return np.array(steps)


def settled(aircraft, mode=COMMANDER, **parameters):
    """Flying where it is told to be."""
    aircraft.state.position.z = 1
    return aircraft.take_over(mode, **parameters)


def is_smooth(steps, push):
    """Each step is what the velocity says, each velocity what the acceleration says, and that is bounded."""
    position, velocity, acceleration = steps.transpose(1, 0, 2)
    wrong_m = np.abs(np.diff(position, axis=0) - velocity[1:] * 0.002).max(1)
    wrong_m_s = np.abs(np.diff(velocity, axis=0) - acceleration[1:] * 0.002).max(1)
    # but for the last 3 mm, in one
    assert (wrong_m > 2e-5).sum() <= 1 and wrong_m.max() < 0.0031
    assert (wrong_m_s > 4e-4).sum() <= 1 and wrong_m_s.max() < 0.02
    assert np.linalg.norm(acceleration, axis=1).max() < push
    return True


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("there", [(3, 2, 1), (0.2, 0, 1), (0, 0, 4)])
def test_a_place_that_jumps_is_moved_to_at_the_speed_that_is_set(aircraft, there, speed):
    settled(aircraft, speed=speed)
    far = float(np.linalg.norm(np.subtract(there, (0, 0, 1))))
    aircraft.hold(*there)
    steps = history(aircraft, round(1000 * (2.5 + far / speed)))
    assert is_smooth(steps, push=2.01)
    fastest = np.linalg.norm(steps[:, 1], axis=1).max()
    assert fastest < speed + 0.001 and (far < 3 * speed**2 or fastest > 0.99 * speed)
    line = np.outer(
        (steps[:, 0] - (0, 0, 1)) @ (np.subtract(there, (0, 0, 1)) / far**2), np.subtract(there, (0, 0, 1))
    )
    assert np.abs(steps[:, 0] - (0, 0, 1) - line).max() < 0.01  # straight, and not beyond
    assert np.linalg.norm(line, axis=1).max() < far + 0.001
    assert np.allclose(steps[-1], [there, (0, 0, 0), (0, 0, 0)])


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_enabled_far_from_the_own_target_it_flies_there_at_the_speed_that_is_set(aircraft, speed):
    settled(aircraft, TARGET, target=(3, 0, 0.5), speed=speed)
    steps = history(aircraft, round(6500 / speed))
    assert is_smooth(steps, push=5.01)
    assert np.linalg.norm(steps[:, 1], axis=1).max() == pytest.approx(speed, rel=0.01)
    assert np.allclose(steps[-1], [(3, 0, 0.5), (0, 0, 0), (0, 0, 0)], atol=1e-5)


def test_enabled_far_from_the_commanded_place_it_flies_there_from_where_and_as_fast_as_it_is(aircraft):
    aircraft.state.velocity.x = 0.5
    aircraft.hold(2, 0, 0)
    aircraft.take_over()
    assert np.allclose(aircraft.reference[:2], [[0, 0, 0], [0.5, 0, 0]], atol=0.05)
    assert is_smooth(history(aircraft, 4000), push=2.01)
    assert np.allclose(aircraft.reference[0], [2, 0, 0])


@pytest.mark.parametrize("every_ms", [2, 10])
def test_a_trajectory_with_its_velocity_is_followed_as_it_comes(aircraft, every_ms):
    settled(aircraft)
    for ms in range(0, 3000, 2):
        if ms % every_ms == 0:
            turn = 2 * math.pi * ms / 3000
            place = (1 - math.cos(turn), math.sin(turn) ** 2, 1)
            velocity = np.array([math.sin(turn), math.sin(2 * turn), 0]) * (2 * math.pi / 3)
            push = np.array([math.cos(turn), 2 * math.cos(2 * turn), 0]) * (2 * math.pi / 3) ** 2
            aircraft.command((ABSOLUTE,) * 4, position=place, velocity=velocity, acceleration=push)
        assert aircraft.run(2)
        assert np.allclose(aircraft.reference, [place, velocity, push], atol=1e-6)


@pytest.mark.parametrize("fast", [1.4, 3.0])
def test_small_steps_are_followed_as_they_come_but_no_faster_than_the_speed_that_is_set(aircraft, fast):
    settled(aircraft)
    x = 0.0
    for _ in range(100):  # 0.8 m/s
        x += 0.04
        aircraft.hold(x, 0, 1)
        aircraft.run(50)
        assert aircraft.reference[0, 0] == pytest.approx(x)
    begin = x
    for _ in range(1000):
        x += fast * 0.002
        aircraft.hold(x, 0, 1)
        aircraft.run(2)
    assert 1.5 < aircraft.reference[0, 0] - begin < 2.2
    assert aircraft.reference[1, 0] == pytest.approx(1, abs=0.05)


def test_a_moving_trajectory_is_caught_up_with(aircraft):
    settled(aircraft)
    for ms in range(0, 6000, 10):
        aircraft.command((ABSOLUTE,) * 4, position=(2 + 0.5 * ms / 1000, 0, 1), velocity=(0.5, 0, 0))
        aircraft.run(10)
    assert np.allclose(aircraft.reference[:2], [[2 + 0.5 * 5.99, 0, 1], [0.5, 0, 0]], atol=1e-5)


@pytest.mark.parametrize("x", [-2, 0.36, 2])  # the second: too near to stop
def test_a_place_after_a_velocity_goes_on_from_it(aircraft, x):
    settled(aircraft)
    aircraft.command(MOVE, velocity=(1.0, 0, 0))
    aircraft.run(300)
    before = aircraft.reference
    aircraft.hold(x, 0, 1)
    steps = np.array([before, *history(aircraft, 6000)])
    assert is_smooth(steps, push=2.01)
    assert np.allclose(steps[-1, 0], [x, 0, 1])


def test_a_place_that_was_no_number_for_a_moment_is_moved_to_as_before(aircraft):
    settled(aircraft)
    aircraft.hold(2, 0, 1)
    aircraft.run(1000)
    aircraft.hold(math.nan, 0, 1)
    before = aircraft.reference[0, 0]
    aircraft.run(20)
    aircraft.hold(2, 0, 1)
    assert is_smooth(history(aircraft, 3000), push=2.01)
    assert 0.5 < before < 1 and np.allclose(aircraft.reference[0], [2, 0, 1])


@pytest.mark.parametrize("mode", [COMMANDER, TARGET])
@pytest.mark.parametrize("speed", [math.nan, 0.0, -1.0, math.inf])
def test_a_speed_that_makes_no_sense_is_refused_by_name(aircraft, mode, speed):
    aircraft.run(600)
    aircraft.parameters(enable=1, mode=mode, speed=speed)
    assert not aircraft.run(600)
    assert aircraft.refusal == "bad_setpoint"


def test_a_hover_command_is_the_bodys(aircraft):
    aircraft.face(90)
    aircraft.hold(0, 0, 0.7)
    aircraft.state.position.z = 0.7
    aircraft.setpoint.attitude.z = 90
    aircraft.take_over()
    aircraft.command(HOVER, velocity=(0.5, 0, 0), position=(0, 0, 0.7))
    aircraft.setpoint.velocity_body = True
    aircraft.run(200)
    assert np.allclose(aircraft.reference[:2], [[0.1, 0, 0.7], [0.5, 0, 0]], atol=0.01)


@pytest.mark.parametrize(("yaw", "told"), [(RATE, 70.0), (ABSOLUTE, 30.0)])
def test_the_stock_controller_is_told_the_heading_that_a_yaw_rate_has_led_to(aircraft, yaw, told):
    aircraft.command((ABSOLUTE, ABSOLUTE, ABSOLUTE, yaw), position=(0, 0, 1), attitude=(0, 0, 30))
    aircraft.take_over()
    aircraft.face(70)
    aircraft.parameters(enable=0)
    aircraft.tick += aircraft.tick % 2
    assert not aircraft.run(1)
    assert (aircraft.c.bridge_pid_yaw_mode(), aircraft.c.bridge_pid_yaw()) == (ABSOLUTE, told)
    aircraft.run(1)
    assert aircraft.c.bridge_pid_yaw_mode() == yaw


def test_the_last_flights_target_is_not_flown_to_when_the_commander_has_none(aircraft):
    aircraft.take_over(TARGET, target=(1, 2, 3))
    aircraft.parameters(enable=0)
    aircraft.run(600)
    aircraft.hold(math.nan, 0, 1)
    aircraft.parameters(enable=1)
    assert not aircraft.run(2000)
    aircraft.hold(4, 0, 1)
    assert aircraft.run(20) and np.allclose(aircraft.reference[0], 0, atol=0.01)  # from where it is
    assert aircraft.run(6000) and np.allclose(aircraft.reference[0], [4, 0, 1])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30, 101.0])
def test_a_command_that_is_no_number_is_not_flown(aircraft, bad):
    aircraft.take_over()
    aircraft.hold(bad, 0, 1)
    assert aircraft.run(90)  # it flies on to the last good one ...
    assert not aircraft.run(20)  # ... for 100 ms
    assert (aircraft.core, aircraft.refusal) == ("degraded", "stale_setpoint")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e30])
def test_a_heading_that_is_no_number_changes_nothing(aircraft, bad):
    aircraft.take_over()
    aircraft.hold(1, 0, 1)
    aircraft.setpoint.attitude.z = bad
    assert aircraft.run(3000)
    assert np.allclose(aircraft.reference[0], [1, 0, 1])


@pytest.mark.parametrize("mode", [TARGET, FIGURE_EIGHT])
def test_the_mode_is_that_of_the_enable_whatever_is_set_in_flight(aircraft, mode):
    aircraft.take_over(TARGET, target=(1, 2, 3))
    aircraft.parameters(enable=1, mode=COMMANDER if mode == TARGET else FIGURE_EIGHT, target=(9, 9, 9))
    assert aircraft.run(8000)
    assert np.allclose(aircraft.reference[0], [1, 2, 3])


OTHERWISE = {
    "a landing": {"position": (0, 0, 0.98)},
    "a place": {"position": (0.02, 0, 1)},
    "a heading": {"position": (0, 0, 1), "attitude": (0, 0, -5)},
}


@pytest.mark.parametrize("mode", [TARGET, FIGURE_EIGHT])
@pytest.mark.parametrize("asked", OTHERWISE.values(), ids=OTHERWISE)
@pytest.mark.parametrize("ms", [20, 1000])  # warming up, flying
def test_a_commander_that_asks_for_something_else_has_the_aircraft_back(aircraft, mode, asked, ms):
    aircraft.run(600)
    aircraft.parameters(enable=1, mode=mode)
    assert aircraft.run(ms) == (ms > 500)
    aircraft.command((ABSOLUTE,) * 4, **asked)
    assert not aircraft.run(2)
    assert (aircraft.core, aircraft.refusal) == ("disarmed", "commander_changed")
    aircraft.hold(0, 0, 1)
    assert not aircraft.run(1000)  # not before enable has gone through 0
    aircraft.parameters(enable=0)
    aircraft.take_over(mode)


@pytest.mark.parametrize(
    "stick", [{"velocity": (0.1, 0, 0)}, {"rate": (0, 0, 20)}, {"position": (0, 0, 0.9)}], ids=str
)
def test_a_stick_that_is_moved_has_the_aircraft_back(aircraft, stick):
    aircraft.command(HOVER, position=(0, 0, 1))
    aircraft.take_over(TARGET)
    aircraft.command(HOVER, **{"position": (0, 0, 1)} | stick)
    assert not aircraft.run(2) and aircraft.refusal == "commander_changed"


@pytest.mark.parametrize("modes", [(ABSOLUTE, ABSOLUTE, ABSOLUTE, RATE), (RATE, RATE, ABSOLUTE, ABSOLUTE)])
def test_a_commander_that_changes_from_a_velocity_to_a_place_has_the_aircraft_back(aircraft, modes):
    aircraft.command(HOVER, position=(0, 0, 1))
    aircraft.take_over(TARGET)
    aircraft.command(modes, position=(0, 0, 1))
    assert not aircraft.run(2) and aircraft.refusal == "commander_changed"


@pytest.mark.parametrize("same", [(0.005, -0.005, 1.005), (math.nan, 0, 1)])
def test_noise_and_what_is_no_number_do_not_end_a_flight_to_the_own_target(aircraft, same):
    aircraft.setpoint.attitude.z = 179.8
    aircraft.take_over(TARGET)
    aircraft.hold(*same)
    aircraft.setpoint.attitude.z = -179.8
    assert aircraft.run(1000)


@pytest.mark.parametrize("target", [(math.nan, 0, 1), (0, 200, 1)])
def test_a_target_that_makes_no_sense_is_refused_by_name(aircraft, target):
    aircraft.run(600)
    aircraft.parameters(enable=1, mode=TARGET, target=target)
    assert not aircraft.run(600)
    assert aircraft.refusal == "bad_setpoint"


def test_without_an_estimate_the_core_descends_blind_and_stops(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    assert aircraft.run(400) and aircraft.control.forces[0] > 0
    assert aircraft.run(110) and not any(aircraft.control.forces)
    assert (aircraft.core, aircraft.refusal) == ("failsafe", "non_finite_state")


def test_motors_that_the_core_has_stopped_stay_off_until_the_commander_has_asked_for_nothing(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    aircraft.run(600)
    aircraft.state.position.x = 0
    for enable in (1, 0, 1, 0):  # whatever it says: the commander still asks for the place of before
        aircraft.parameters(enable=enable)
        for _ in range(1000):
            assert aircraft.run(1) and not any(aircraft.control.forces)
    assert (aircraft.core, aircraft.refusal) == ("failsafe", "non_finite_state")
    aircraft.command((DISABLED,) * 4)
    assert not aircraft.run(2) and aircraft.core == "disarmed"
    aircraft.hold(0, 0, 1)
    aircraft.take_over()


def test_a_hand_on_the_throttle_is_not_nothing(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    aircraft.run(600)
    aircraft.state.position.x = 0
    aircraft.parameters(enable=0)
    aircraft.command((DISABLED, DISABLED, DISABLED, RATE))
    aircraft.setpoint.thrust = 20000
    assert aircraft.run(1000) and not any(aircraft.control.forces)
    aircraft.setpoint.thrust = 0
    assert not aircraft.run(2)


def test_enabled_still_when_the_commander_has_asked_for_nothing_it_waits_for_a_new_enable(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    aircraft.run(600)
    aircraft.state.position.x = 0
    aircraft.command((DISABLED,) * 4)
    aircraft.run(2)
    aircraft.hold(0, 0, 1)
    assert not aircraft.run(2000)
    aircraft.parameters(enable=0)
    aircraft.take_over()


def test_disabled_without_an_estimate_the_core_still_descends_and_stops(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    assert aircraft.run(200)
    aircraft.parameters(enable=0)
    assert aircraft.run(200) and aircraft.control.forces[0] > 0
    assert aircraft.run(110) and not any(aircraft.control.forces)


def test_without_an_estimate_a_commander_that_asks_for_nothing_stops_the_motors_at_once(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    assert aircraft.run(200)
    aircraft.command((DISABLED,) * 4)
    assert not aircraft.run(2)


@pytest.mark.parametrize("good_ms", [2, 90, 200])
def test_an_estimate_that_comes_and_goes_again_is_never_the_stock_controllers_to_fly_on(aircraft, good_ms):
    aircraft.take_over()
    for ms in (20, 600):
        aircraft.state.position.x = math.nan
        aircraft.tick += aircraft.tick % 2  # the core steps on even ticks, the PID looks on them
        for _ in range(ms):
            assert aircraft.run(1)
        aircraft.state.position.x = 0
        aircraft.run(good_ms)
    assert aircraft.core == "failsafe" and not any(aircraft.control.forces)


def test_the_stock_controller_waits_for_100_ms_of_good_estimates_while_the_core_descends(aircraft):
    aircraft.take_over()
    for ms in [6] + 20 * [2]:
        aircraft.state.position.x = math.nan
        assert aircraft.run(ms)
        aircraft.state.position.x = 0
        assert aircraft.run(96) and aircraft.core == "degraded"
    assert not aircraft.run(10)


def test_long_after_a_failure_one_bad_estimate_does_not_keep_the_motors_off(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    aircraft.run(20)
    aircraft.state.position.x = 0
    assert not aircraft.run(6000) and aircraft.core == "failsafe"
    aircraft.state.position.x = math.nan
    assert aircraft.run(2)
    aircraft.state.position.x = 0
    assert not aircraft.run(2)


def test_without_an_estimate_before_the_policy_has_flown_the_stock_controller_goes_on(aircraft):
    aircraft.run(600)
    aircraft.parameters(enable=1)
    aircraft.run(100)
    aircraft.state.position.x = math.nan
    assert not any(aircraft.run(1) for _ in range(1000))
    assert (aircraft.core, aircraft.refusal) == ("failsafe", "non_finite_state")


def test_an_estimate_that_comes_back_in_time_gives_the_aircraft_to_the_stock_controller(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = math.nan
    assert aircraft.run(300)
    aircraft.state.position.x = 0
    assert not aircraft.run(1000)


def test_an_estimate_that_is_only_implausible_is_the_stock_controllers(aircraft):
    aircraft.take_over()
    aircraft.state.position.x = 150
    assert not aircraft.run(100)
    assert (aircraft.core, aircraft.refusal) == ("degraded", "implausible_state")
    assert not aircraft.run(1000)


@pytest.mark.parametrize(("ticks", "flies"), [(1, True), (90, True), (110, False), (600, False)])
def test_ticks_that_are_skipped_are_time_that_has_passed(aircraft, ticks, flies):
    aircraft.take_over()
    aircraft.tick += ticks
    assert aircraft.run(3) == flies


def test_the_clock_may_wrap_in_flight(aircraft):
    aircraft.tick = 2**32 // 1000 - 900
    aircraft.take_over()
    assert aircraft.run(2000)


def test_chosen_anew_as_controller_it_waits_for_a_new_enable(aircraft):
    aircraft.take_over()
    aircraft.c.controllerOutOfTreeInit()
    assert not aircraft.run(1500)
    assert aircraft.refusal == "stale_state"


def test_an_estimator_that_starts_again_is_flown_through(aircraft):
    aircraft.take_over()
    aircraft.state.position = Vector(3, -2, 5)
    assert aircraft.run(1000)
