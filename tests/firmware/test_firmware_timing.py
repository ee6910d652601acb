"""When things happen: to the microsecond, at every phase of the control tick, across the clock's wrap."""

from __future__ import annotations

import numpy as np
import pytest
from core import LEVEL, MS, Controller
from hypothesis import given, settings
from hypothesis import strategies as st

TICK = 2 * MS
NEAR_WRAP = 2**32 - 1_250 * MS  # the clock wraps while it flies


def first_tick_at(age_us: int, phase_us: int) -> int:
    """Index of the first tick (phase, phase + TICK, ... after the last sample) that is at least that old."""
    return -(-(age_us - phase_us) // TICK)


def states_over_ticks(c: Controller, phase_us: int, ticks: int, state=None) -> list[str]:
    states = []
    for i in range(ticks):
        c.step(phase_us if i == 0 else TICK, state)
        states.append(c.state)
    return states


@pytest.mark.parametrize("phase_us", [1, 2, 999, 1000, 1001, 1999, 2000, *range(37, 2000, 149)])
@pytest.mark.parametrize("start_us", [0, NEAR_WRAP])
def test_a_stale_state_degrades_at_100_ms_and_is_off_at_500_ms(library, phase_us, start_us):
    c = Controller(library, start_us).take_off()
    states = states_over_ticks(c, phase_us, 260)
    stale, lost = first_tick_at(100 * MS, phase_us), first_tick_at(500 * MS, phase_us)
    assert states == ["flying"] * stale + ["degraded"] * (lost - stale) + ["failsafe"] * (260 - lost)
    assert c.reason == "link_lost"


@pytest.mark.parametrize("phase_us", [1, 999, 1000, 1999, 2000, *range(37, 2000, 349)])
@pytest.mark.parametrize("start_us", [0, NEAR_WRAP])
def test_a_stale_setpoint_degrades_at_100_ms_and_is_off_at_500_ms(library, phase_us, start_us):
    c = Controller(library, start_us).take_off(kind="velocity", values=[0, 0, 0])
    c.setpoint("velocity", [0, 0, 0])
    states = states_over_ticks(c, phase_us, 260, LEVEL)
    stale, lost = first_tick_at(100 * MS, phase_us), first_tick_at(500 * MS, phase_us)
    assert states == ["flying"] * stale + ["degraded"] * (lost - stale) + ["failsafe"] * (260 - lost)
    assert c.reason == "stale_setpoint"


def test_a_gap_of_any_length_is_seen_in_the_step_that_ends_it(library):
    for gap, state in [
        (99_999, "flying"),
        (100_000, "degraded"),
        (499_999, "degraded"),
        (500_000, "failsafe"),
    ]:
        c = Controller(library).take_off()
        c.step(gap, LEVEL)  # the state that comes is good, but came too late
        assert c.state == state, gap


@pytest.mark.parametrize("kind", ["position", "hover", "waypoints", "figure_eight"])
def test_setpoints_that_run_on_the_chip_need_no_renewal_unless_asked_for(library, kind):
    values = {"waypoints": [1, 1, 1, 0, 0], "figure_eight": [0, 0, 0, 1, 1, 5.5, 2]}.get(kind, [0, 0, 0])
    c = Controller(library).take_off(kind=kind, values=values)
    c.run(1500 * MS)
    assert c.state == "flying"
    c.setpoint(kind, values, streamed=True)
    c.run(90 * MS)
    assert c.state == "flying"
    c.run(10 * MS)
    assert (c.state, c.reason) == ("degraded", "stale_setpoint")


def test_time_that_runs_for_hours_makes_nothing_fresh_again(library):
    c = Controller(library)
    c.run(600 * MS)
    for _ in range(5):  # more than once around the 32-bit microsecond clock
        c.step(2**30, None)
        assert not c.has("fresh_state")
        assert c.arm() == "stale_state"


def test_warm_up_takes_exactly_half_a_second(library):
    c = Controller(library)
    c.run(520 * MS)
    c.setpoint("hover")
    assert c.arm() == "none"
    c.run(499 * MS, MS)
    assert c.state == "armed"
    assert not c.has("warm")
    c.step(MS)
    assert c.state == "flying"


def test_arming_needs_500_ms_of_good_states_without_a_gap(library):
    c = Controller(library)
    assert c.arm() == "stale_state"
    c.step(0)
    c.run(490 * MS)
    assert c.arm() == "link_not_settled"
    c.step(110 * MS)  # a gap
    assert c.arm() == "link_not_settled"
    c.run(510 * MS)
    assert c.has("settled")
    c.step(5 * MS, [float("nan")] * 13)  # one bad state
    assert c.arm() == "link_not_settled"
    c.step(5 * MS)
    assert c.arm() == "link_not_settled"
    c.run(490 * MS)
    assert c.arm() == "link_not_settled"
    c.run(10 * MS)
    assert c.has("settled")
    assert c.arm() == "none"


def test_a_good_state_just_in_time_keeps_it_flying(library):
    c = Controller(library).take_off()
    for _ in range(20):
        c.step(99 * MS, LEVEL)
        c.step(99 * MS, LEVEL)
        c.step(24_999, LEVEL)
        assert c.state == "flying"
    assert c.counters.deadline_misses == 60


@pytest.mark.parametrize(
    ("gap_us", "settles"), [(20_000, True), (24_999, True), (25_000, False), (99_999, False)]
)
def test_states_slower_than_the_policy_can_fly_do_not_settle(library, gap_us, settles):
    c = Controller(library)
    c.run(2000 * MS, gap_us)
    assert (c.has("settled"), c.arm()) == (settles, "none" if settles else "link_not_settled")


@pytest.mark.parametrize("gap_us", [25_000, 30_000, 50_000, 99_999])
@pytest.mark.parametrize("bring_up", ["armed", "flying"])
def test_states_that_all_come_too_late_are_as_good_as_stale_after_a_quarter_of_a_second(
    library, gap_us, bring_up
):
    c = Controller(library).take_off()
    if bring_up == "armed":
        c.disarm()
        c.run(520 * MS)
        assert c.arm() == "none"
    late = -(-250 * MS // gap_us)
    c.run(late * gap_us, gap_us)
    assert c.state == bring_up
    c.step(MS, None)
    assert (c.state, c.reason) == ({"armed": "failsafe", "flying": "degraded"}[bring_up], "stale_state")


@pytest.mark.parametrize("gap_us", [20_000, 24_999])
def test_states_at_half_the_policys_rate_are_flown(library, gap_us):
    c = Controller(library).take_off()
    c.run(2000 * MS, gap_us)
    assert c.state == "flying"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.4])
def test_losing_states_at_random_degrades_nothing(library, share):
    """At 100 Hz: ten seconds, the same in each run."""
    rng = np.random.default_rng(0)
    c = Controller(library).take_off()
    for lost in rng.random(1000) < share:
        c.step(10 * MS, None if lost else LEVEL)
    assert c.state == "flying"


def test_recovery_in_the_air_needs_half_a_second_of_good_states_and_a_new_arm(library):
    c = Controller(library).take_off()
    c.step(150 * MS, None)
    for _ in range(50):
        c.step(10 * MS, LEVEL)
        assert (c.state, c.arm()) == ("degraded", "link_not_settled")
    c.step(10 * MS, LEVEL)
    assert (c.state, c.arm()) == ("degraded", "none")
    c.step(10 * MS)
    assert c.state == "flying"


def test_recovery_on_the_ground_needs_disarm_settling_and_a_new_arm(library):
    c = Controller(library).take_off()
    c.step(600 * MS, None)
    assert (c.state, c.reason) == ("failsafe", "link_lost")
    c.run(1000 * MS)
    assert (c.state, c.arm()) == ("failsafe", "not_disarmed")
    assert (c.disarm(), c.arm()) == ("none", "none")
    assert c.state == "armed"


NAN, WILD = [float("nan")] * 13, [1e30] * 13


@pytest.mark.parametrize("bad", [NAN, WILD], ids=["nan", "wild"])
@pytest.mark.parametrize("tick", [2 * MS, 10 * MS, 50 * MS])
def test_a_line_that_brings_nothing_but_bad_states_is_not_called_lost(library, bad, tick):
    c = Controller(library).take_off()
    c.run(499 * MS // tick * tick, tick, bad)
    assert c.state == "degraded"
    c.run(tick, tick, bad)
    assert (c.state, c.reason) == ("failsafe", "guard_refused")


@pytest.mark.parametrize("silent", [110 * MS, 490 * MS])
def test_a_line_that_falls_silent_after_bad_states_is_lost(library, silent):
    c = Controller(library).take_off()
    c.run(500 * MS - silent, 2 * MS, NAN)
    c.run(silent - 2 * MS, 2 * MS, None)
    c.step(2 * MS, NAN)  # a bad one after the silence does not make it a talk
    assert (c.state, c.reason) == ("failsafe", "link_lost")


def test_a_descent_under_control_ends_after_five_seconds(library):
    c = Controller(library).take_off()
    c.step(100 * MS, None)
    assert c.state == "degraded"
    c.run(4990 * MS)
    assert c.state == "degraded"
    motors = c.run(10 * MS)
    assert (c.state, c.reason) == ("failsafe", "descent_over")
    assert not motors.any()


RATES_HZ = [100, 150, 200, 250, 333, 500, 1000]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_limits_are_the_same_at_any_rate(library, rate_hz):
    tick = 1_000_000 // rate_hz
    c = Controller(library, NEAR_WRAP).take_off(tick)
    for age in range(tick, 600 * MS, tick):
        motors = c.step(tick, None)
        expected = "flying" if age < 100 * MS else "degraded" if age < 500 * MS else "failsafe"
        assert (c.state, bool(motors.any())) == (expected, expected != "failsafe")


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_stop_in_any_phase_of_any_flight_is_obeyed_in_the_next_step(library, rate_hz):
    tick = 1_000_000 // rate_hz
    for phase in range(0, tick, tick // 5):
        for state in (LEVEL, None, [float("nan")] * 13):
            c = Controller(library).take_off(tick)
            assert c.step(phase + 1, state).any()
            assert c.stop() == "none"
            assert not c.step(tick - phase, state).any()
            assert (c.state, c.arm()) == ("stopped", "not_disarmed")


TIMES_US = [1, 999, 2_000, 3_003, 10_000, 33_333, 60_000, 99_999, 100_000, 250_000, 499_999, 500_000, 2**31]
STEP = st.tuples(
    st.sampled_from(TIMES_US),
    st.sampled_from(["good", "good", "good", "none", "nan", "wild"]),
    st.sampled_from(["", "", "", "arm", "disarm", "hover", "velocity", "reference"]),
)


@given(story=st.lists(STEP, max_size=60), start_us=st.sampled_from([0, NEAR_WRAP, 2**31 - 1]))
@settings(max_examples=150)
def test_whatever_happens_motors_are_off_half_a_second_after_the_last_good_state(library, story, start_us):
    c = Controller(library, start_us).take_off()
    states = {"good": LEVEL, "none": None, "nan": [float("nan")] * 13, "wild": [1e30] * 13}
    age = 0
    for dt_us, kind, request in story:
        if request in ("arm", "disarm"):
            getattr(c, request)()
        elif request:
            c.setpoint(request)
        motors = c.step(dt_us, states[kind])
        age += dt_us
        assert ((motors >= 0) & (motors <= 1)).all()
        assert age < 500 * MS or not motors.any()
        age = 0 if kind == "good" else age
