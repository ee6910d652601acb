"""The controller: policy in, motors out, and every way in which it may not."""

from __future__ import annotations

import numpy as np
import pytest
from core import LEVEL, MS, Controller, moved
from hypothesis import given, settings
from hypothesis import strategies as st
from native import FULL, SLOW, build
from policies import random_policy

from tinyfly.observation import Observer

HOVER = 0.5 * (FULL.hover_action + 1)
TURNING = {"armed", "flying", "degraded"}


def test_motors_are_off_until_armed_idle_until_warm_then_fly(library):
    c = Controller(library)
    c.setpoint("hover")
    assert not c.run(520 * MS).any()
    c.arm()
    np.testing.assert_array_equal(c.run(490 * MS), np.float32([0.1] * 4))
    c.run(20 * MS)
    assert c.state == "flying"


def test_armed_without_a_setpoint_only_idles(library):
    c = Controller(library)
    c.run(520 * MS)
    c.arm()
    np.testing.assert_array_equal(c.run(3000 * MS), np.float32([0.1] * 4))
    assert c.state == "armed"
    c.setpoint("hover")
    c.step(10 * MS)
    assert c.state == "flying"


def test_armed_with_a_stale_setpoint_does_not_take_off(library):
    c = Controller(library)
    c.setpoint("velocity", [0, 0, 0])
    c.run(520 * MS)
    c.arm()
    c.run(1000 * MS)
    assert c.state == "armed"


@pytest.mark.parametrize("dt_us", [10_000, 2000, 5000, 1000, 3333, 13_000, 20_000])
@pytest.mark.parametrize("prepare", [False, True])
def test_the_chip_flies_as_numpy_does_bit_for_bit_at_any_rate(library, full_policy, dt_us, prepare):
    rng = np.random.default_rng(dt_us)
    reference = rng.standard_normal(15).astype(np.float32)
    c = Controller(library).take_off(dt_us, "reference", reference)
    observer = Observer(full_policy.contract, 1)
    time_us, state = c.now_us, LEVEL  # the step that took off is the first one flown
    for _ in range(60):
        sensed = np.float32(state)
        action = full_policy.act_exact(observer.observe(time_us, sensed[:, None], reference[:, None]))
        observer.record(action)
        if time_us != c.now_us:
            c.setpoint("reference", reference)
            motors = c.step(dt_us, state)
            np.testing.assert_array_equal(motors, (action[:, 0] + np.float32(1)) * np.float32(0.5))
        if prepare:
            library.bridge_prepare(c.handle)
        time_us += dt_us
        q = rng.standard_normal(4)
        state = [*rng.uniform(-1, 1, 3), *(q / np.linalg.norm(q)), *rng.uniform(-3, 3, 6)]


def test_take_off_forgets_the_last_flight(library):
    c = Controller(library).take_off()
    first = [c.step(10 * MS) for _ in range(5)]
    c.run(500 * MS, state=moved(position=[0.1, 0.2, 0.1]))
    c.disarm()
    c.run(10 * MS)
    c.take_off()
    np.testing.assert_array_equal([c.step(10 * MS) for _ in range(5)], first)


def test_a_hover_holds_where_it_took_off_not_where_it_was_asked_for(library):
    at_two = Controller(library)
    at_two.setpoint("hover")
    at_two.run(520 * MS, state=LEVEL)
    at_two.arm()
    motors = at_two.run(500 * MS, state=moved(position=[2, 0, 0]))
    origin = Controller(library).take_off(kind="position", values=[2, 0, 0])
    assert at_two.state == "flying"
    there = at_two.step(10 * MS, moved(position=[2, 0, 0]))
    assert not np.array_equal(origin.step(10 * MS, LEVEL), there)
    assert motors.any()


def test_level_and_descend_is_flown_by_the_policy_while_states_are_good(library):
    c = Controller(library).take_off(kind="velocity", values=[0, 0, 0])
    c.run(100 * MS)
    assert c.state == "degraded"
    c.setpoint("velocity", [1, 1, 1])  # renewed, but it is too late for it to be obeyed
    z_error = []
    for _ in range(40):
        c.setpoint("velocity", [1, 1, 1])
        c.step(10 * MS)
        z_error.append(library.bridge_input(c.handle)[32 + 2])
    # At rest where it is, the reference sinks away at 0.4 m/s: the error grows by 4 mm a step.
    np.testing.assert_allclose(np.diff(z_error), 0.004, atol=1e-6)
    assert c.state == "degraded"


def test_without_a_state_all_motors_turn_alike_below_hover_and_sink(library):
    c = Controller(library).take_off()
    motors = np.array([c.step(2 * MS, None) for _ in range(250)])
    blind = motors[49:-1]  # 100 ms to 498 ms
    assert (blind == blind[:, :1]).all()
    assert (blind < 0.951 * HOVER).all()
    assert (np.diff(blind[:, 0]) < 0).all()
    np.testing.assert_array_equal(motors[:5], np.repeat(motors[:1], 5, 0))
    assert not motors[-1].any()


def test_the_history_hears_of_blind_commands(library):
    c = Controller(library).take_off()
    for _ in range(20):
        blind = c.step(2 * MS, None)
    newest = np.array(library.bridge_input(c.handle)[28:32])
    assert abs(newest.mean() - (2 * blind.mean() - 1)) < 0.1


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.1, 1.1), (0.5, 0.8), (9.0, 1.25), (np.nan, 1.0), (np.inf, 1.0), (-np.inf, 1.0), (-1, 0.8)],
)
def test_battery_compensation_scales_the_command_within_bounds(library, factor, expected):
    a, b = Controller(library).take_off(), Controller(library).take_off()
    library.tf_controller_compensate.argtypes = [type(a.handle), library.tf_sqrt.restype]
    library.tf_controller_compensate(b.handle, factor)
    plain, scaled = a.step(10 * MS), b.step(10 * MS)
    np.testing.assert_array_equal(scaled, np.minimum(plain * np.float32(expected), np.float32(1)))
    np.testing.assert_array_equal(  # the policy sees its own actions, not the battery's
        library.bridge_input(a.handle)[:32], library.bridge_input(b.handle)[:32]
    )


def test_thrust_fraction_follows_the_contracts_curve_within_the_unit_range(library):
    library.tf_thrust_fraction.argtypes = [library.tf_sqrt.restype]
    fractions = [library.tf_thrust_fraction(u) for u in (-1.0, 0.0, 0.5, 1.0, 2.0, np.nan, np.inf)]
    assert fractions == [0.0, 0.0, 0.25, 1.0, 1.0, 0.0, 1.0]


def test_a_network_input_out_of_range_holds_the_last_command():
    c = Controller(build(random_policy(SLOW))).take_off(20 * MS)
    safe = c.step(10 * MS)
    motors = c.step(10 * MS, moved(velocity=[0, 0, 11]))  # a plausible state, but 11000 after scaling
    np.testing.assert_array_equal(motors, safe)
    assert (c.step_reason, c.counters.guard_action) == ("implausible_state", 1)


requests = st.sampled_from(
    ["arm", "stop", "disarm", "good", "good", "good", "settle", "bad", "none", "gap", "hover", "velocity"]
)


@given(st.lists(requests, max_size=60), st.booleans())
@settings(max_examples=150)
def test_motors_turn_only_after_an_accepted_arm_and_never_after_a_stop(library, story, airborne):
    c = Controller(library)
    if airborne:
        c.take_off()
    allowed = airborne
    for request in story:
        before = c.state
        if request in ("arm", "stop", "disarm"):
            refusal = getattr(c, request)()
            allowed = refusal == "none" if request == "arm" and before == "disarmed" else allowed
            allowed &= request == "arm"
            continue
        if request in ("hover", "velocity"):
            c.setpoint(request)
            continue
        if request == "settle":
            c.run(510 * MS)
        state = {"bad": moved(position=[np.nan]), "none": None, "gap": None}.get(request, LEVEL)
        motors = c.step(200 * MS if request == "gap" else 5 * MS, state)
        assert allowed or not motors.any()
        assert motors.any() == (c.state in TURNING)
        allowed &= c.state in TURNING
