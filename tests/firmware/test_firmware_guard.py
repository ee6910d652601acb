"""The guard: no bit pattern reaches a motor, and what it does instead is bounded."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
from core import MS, Controller, floats, moved
from hypothesis import given, settings
from hypothesis import strategies as st
from native import CORE, GENERATE

from tinyfly_export.native import find_compiler
from tinyfly_hil.protocol import name_of

HOVER = np.float32(0.5 * (0.334 + 1))
bits = st.integers(0, 2**32 - 1)
ordinary = st.floats(-1, 1, width=32).map(lambda x: int(np.float32(x).view(np.uint32)))
LIMITS = np.float32([100] * 3 + [np.inf] * 4 + [30] * 3 + [60] * 3)


def verdict(state: np.ndarray) -> str:
    """The guard's rules, by NumPy on 13 float32."""
    if not np.isfinite(state).all():
        return "non_finite_state"
    with np.errstate(over="ignore", invalid="ignore"):
        w, x, y, z = np.float32(state[3:7])
        norm2 = w * w + x * x + y * y + z * z
        good = (np.abs(state) <= LIMITS).all() and abs(norm2 - np.float32(1)) <= np.float32(0.1)
    return "none" if good else "implausible_state"


def check(library, state) -> str:
    return name_of("reason", library.tf_guard_check(floats(state)))


@pytest.fixture(scope="session")
def fast_math(tmp_path_factory) -> ctypes.CDLL:
    """The guard as a careless build would compile it."""
    folder = tmp_path_factory.mktemp("fast")
    subprocess.run(["python3", GENERATE, folder], check=True)
    compiler, sources = find_compiler(), [CORE / "tf_guard.c", CORE / "tf_math.c"]
    flags = ["-std=c11", "-O3", "-ffast-math", "-fPIC", f"-I{CORE}", f"-I{folder}"]
    subprocess.run([compiler, *flags, "-c", *sources], check=True, cwd=folder)
    # Linked without the flag, or this whole process would flush subnormal numbers to zero.
    subprocess.run([compiler, "-shared", "-o", "guard.so", "tf_guard.o", "tf_math.o"], check=True, cwd=folder)
    library = ctypes.CDLL(str(folder / "guard.so"))
    library.tf_guard_check.restype = ctypes.c_uint8
    return library


@given(st.lists(bits | ordinary, min_size=13, max_size=13))
@settings(max_examples=300)
def test_any_state_gets_the_verdict_of_the_stated_ranges(library, pattern):
    state = np.array(pattern, np.uint32).view(np.float32)
    assert check(library, state) == verdict(state)


SPECIAL = [0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF, 0xFF7FFFFF]


@pytest.mark.parametrize("pattern", SPECIAL, ids=hex)
@pytest.mark.parametrize("index", range(13))
def test_one_wild_number_anywhere_is_refused_even_under_fast_math(library, fast_math, index, pattern):
    state = np.float32(moved())
    state[index] = np.uint32(pattern).view(np.float32)
    assert check(library, state) == check(fast_math, state) == verdict(state) != "none"


@pytest.mark.parametrize(("field", "limit"), [("position", 100), ("velocity", 30), ("angular_velocity", 60)])
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_component_is_plausible_up_to_its_limit_and_not_beyond(library, field, limit, axis, sign):
    value = np.zeros(3, np.float32)
    value[axis] = sign * limit
    assert check(library, moved(**{field: value})) == "none"
    value[axis] = np.nextafter(value[axis], np.float32(sign * np.inf))
    assert check(library, moved(**{field: value})) == "implausible_state"


@pytest.mark.parametrize(
    ("norm", "expected"), [(0.95, "none"), (1.045, "none"), (0.94, "bad"), (1.06, "bad")]
)
def test_a_quaternion_must_be_of_about_unit_length(library, norm, expected):
    assert (check(library, moved(quaternion=[0.5 * norm] * 4)) == "none") == (expected == "none")


def test_two_bad_states_hold_the_last_command_and_the_third_degrades(library):
    c = Controller(library).take_off()
    safe = c.step(5 * MS)
    for expected in ("flying", "flying", "degraded"):
        motors = c.step(2 * MS, moved(position=[np.nan]))
        assert c.state == expected
        assert c.step_reason == "non_finite_state"
        np.testing.assert_array_equal(motors, safe)
        assert c.has("held")
    assert c.reason == "non_finite_state"
    assert c.counters.guard_state == 3


@pytest.mark.parametrize(("spacing_us", "state"), [(50_000, "degraded"), (50_001, "flying")])
def test_three_bad_states_degrade_only_within_100_ms(library, spacing_us, state):
    c = Controller(library).take_off()
    for _ in range(3):
        c.step(spacing_us - 5 * MS, moved(velocity=[31]))
        c.step(5 * MS)
    assert c.state == state


def test_degraded_stays_latched_when_states_are_good_again(library):
    c = Controller(library).take_off()
    c.run(6 * MS, 2 * MS, moved(velocity=[31]))
    c.run(400 * MS)
    assert (c.state, c.reason) == ("degraded", "implausible_state")


def blind(library, age_us: int, safe) -> np.ndarray:
    c = Controller(library)
    c.guard.safe[:] = safe
    c.guard.state_age_us = age_us
    motors = floats([0] * 4)
    library.tf_guard_blind.argtypes = [ctypes.c_void_p, ctypes.c_float, ctypes.c_void_p]
    library.tf_guard_blind(ctypes.addressof(c.guard), HOVER, motors)
    return np.array(motors, np.float32)


@given(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_blind_commands_hold_then_level_then_sink_and_never_leave_the_range(library, safe, age_us):
    motors = blind(library, age_us, safe)
    assert ((motors >= 0) & (motors <= 1)).all()
    if age_us <= 10_000:
        np.testing.assert_array_equal(motors, np.float32(safe))
    if age_us >= 30_000:
        assert (motors == motors[0]).all()
        assert 0.8 * HOVER * 0.999 <= motors[0] <= 0.95 * HOVER * 1.001
    if 100_000 < age_us < 500_000:
        assert blind(library, age_us + 1000, safe)[0] < motors[0]
    if age_us < 30_000:  # a ramp: no jump, whatever the commands were
        assert np.abs(blind(library, age_us + 100, safe) - motors).max() <= 0.0051


def test_random_bit_patterns_never_make_a_bad_motor_command(library):
    c = Controller(library).take_off()
    now, accepted = ctypes.c_uint32(c.now_us), ctypes.c_uint64()
    library.bridge_bombard.restype = ctypes.c_uint64
    for seed in range(1, 21):  # it is degraded or in failsafe soon, so it takes off again and again
        n = ctypes.c_uint64(2000)
        assert library.bridge_bombard(c.handle, ctypes.byref(now), seed, n, ctypes.byref(accepted)) == 0
        c.now_us = now.value
        c.disarm()
        c.take_off()
        now.value = c.now_us
    assert 1000 < accepted.value < 39_000


@given(st.lists(bits, min_size=4, max_size=4))
@settings(max_examples=200)
def test_whatever_the_network_says_motors_stay_in_range(evil_library, pattern):
    evil = (ctypes.c_uint32 * 4).in_dll(evil_library, "bridge_evil")
    evil[:] = floats_bits([0.25] * 4)
    c = airborne(evil_library)
    safe = c.step(10 * MS)
    evil[:] = pattern
    motors = c.step(10 * MS)
    action = np.array(pattern, np.uint32).view(np.float32)
    if (np.abs(action) <= 1).all():
        np.testing.assert_array_equal(motors, (action + np.float32(1)) * np.float32(0.5))
    else:
        np.testing.assert_array_equal(motors, safe)
        assert c.step_reason == "non_finite_action"


def test_a_network_gone_mad_degrades_after_three_and_is_off_after_half_a_second(evil_library):
    evil = (ctypes.c_uint32 * 4).in_dll(evil_library, "bridge_evil")
    evil[:] = floats_bits([0.25] * 4)
    c = airborne(evil_library)
    evil[1] = 0x7FC00000
    states = []
    for _ in range(51):
        motors = c.step(10 * MS)
        states.append(c.state)
        assert ((motors >= 0) & (motors <= 1)).all()
    assert states[:4] == ["flying", "flying", "flying", "degraded"]  # the third is seen in the next step
    assert (states[-1], c.reason) == ("failsafe", "guard_refused")
    assert c.counters.guard_action == 49


def flown_at(evil_library, share: float, seconds: float, dt_us: int = 10 * MS) -> Controller:
    """A flight in which all motors have turned at this share of the nominal hover speed all the time."""
    evil = (ctypes.c_uint32 * 4).in_dll(evil_library, "bridge_evil")
    evil[:] = floats_bits([2 * share * HOVER - 1] * 4)
    c = airborne(evil_library)
    c.run(round(seconds * 1e6), dt_us)
    return c


def blind_share(c: Controller) -> float:
    """The common command 50 ms after the last state, as a share of 95 % of the nominal hover speed."""
    motors = c.step(50 * MS, None)
    assert (motors == motors[0]).all()
    return float(motors[0] / (np.float32(0.95) * HOVER))


@pytest.mark.parametrize("share", [0.86, 0.95, 1.0, 1.05, 1.14])
@pytest.mark.parametrize("dt_us", [10 * MS, 2 * MS, 24 * MS])
def test_blind_it_sinks_from_the_speed_that_has_carried_it(evil_library, share, dt_us):
    assert blind_share(flown_at(evil_library, share, 12, dt_us)) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(("share", "held_to"), [(0.1, 0.85), (0.8, 0.85), (1.2, 1.15), (1.49, 1.15)])
def test_what_has_been_flown_moves_the_blind_command_by_15_percent_at_most(evil_library, share, held_to):
    assert blind_share(flown_at(evil_library, share, 60)) == pytest.approx(held_to, abs=1e-6)


def test_a_flight_that_has_just_begun_sinks_from_the_nominal_hover(evil_library):
    assert blind_share(airborne(evil_library)) == 1
    assert blind_share(flown_at(evil_library, 0.86, 0.1)) == pytest.approx(1, abs=0.01)
    c = flown_at(evil_library, 0.86, 12)  # and so does the one after it
    c.disarm()
    assert blind_share(c.take_off()) == 1


def test_a_burst_of_full_speed_moves_the_blind_command_little(evil_library):
    assert blind_share(flown_at(evil_library, 1.49, 0.2)) < 1.05


def test_no_battery_drives_a_motor_beyond_full_speed(evil_library):
    evil = (ctypes.c_uint32 * 4).in_dll(evil_library, "bridge_evil")
    evil[:] = floats_bits([1.0, 0.99, 0.0, -1.0])
    c = airborne(evil_library)
    evil_library.tf_controller_compensate.argtypes = [ctypes.c_void_p, ctypes.c_float]
    evil_library.tf_controller_compensate(c.handle, 1.25)
    np.testing.assert_array_equal(c.step(10 * MS), np.float32([1, 1, 0.625, 0]))


def floats_bits(values) -> list[int]:
    return [int(x) for x in np.float32(values).view(np.uint32)]


def airborne(evil_library) -> Controller:
    """A flying controller whose self-test passed, because its golden actions are what the network says."""
    c = Controller(evil_library)
    c.supervisor.state = 3  # the evil network fails the golden vectors, as it should
    return c.take_off()
