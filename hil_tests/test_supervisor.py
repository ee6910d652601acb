"""Does the chip leave and enter its states as docs/safety.md says? A failure here: supervisor, clocks."""

import numpy as np
import pytest

from tinyfly_hil import protocol
from tinyfly_hil.flight import lift
from tinyfly_hil.protocol import ENUMS, name_of
from tinyfly_hil.target import Refused, step_values
from tinyfly_hil.world import IDLE, LEVEL, Scenario

HOVER = Scenario("hover", 1.0)
PERIOD_US, STALE_US, LOST_US, WARM_UP_US = 10_000, 100_000, 500_000, 500_000
NAN = np.full(13, np.nan, np.float32)


def state(control):
    return name_of("state", control.state), name_of("reason", control.reason)


def held(control):
    return bool(control.flags & 1 << ENUMS["flag"]["held"])


def settle(target, duration_us=520_000, start_us=0):
    """A disarmed chip gets good states for so long; the time of the last."""
    for now in range(start_us, start_us + duration_us + 1, PERIOD_US):
        target.step(now, LEVEL)
    return now


def bring_to(target, wanted):
    """The time at which the chip is in this state, by the shortest way."""
    target.lock_step()
    if wanted == "disarmed":
        return settle(target)
    if wanted == "armed":
        now = settle(target)
        target.arm()
        assert state(target.step(now + PERIOD_US, LEVEL)) == ("armed", "none")
        return now + PERIOD_US
    now = lift(target, HOVER, LEVEL).time_us
    if wanted == "flying":
        return now
    now += {"degraded": STALE_US, "failsafe": LOST_US}[wanted]
    assert name_of("state", target.tick(now).state) == wanted
    return now


@pytest.mark.parametrize("before", ["disarmed", "armed", "flying", "degraded", "failsafe"])
def test_stop_ends_in_motors_off_from_every_state(target, before):
    now = bring_to(target, before)
    target.stop()
    for k in range(1, 5):
        control = target.step(now + k * PERIOD_US, LEVEL)
        assert state(control) == ("stopped", "stop_requested") and not control.motors.any()


def test_armed_turns_at_idle_for_half_a_second_and_then_flies(target):
    target.lock_step()
    target.setpoint("hover")
    now = settle(target)
    target.arm()
    for late_us in (*range(20_000, WARM_UP_US, 20_000), WARM_UP_US - 1):
        control = target.step(now + late_us, LEVEL)
        assert state(control) == ("armed", "none")
        assert (control.motors == np.float32(IDLE)).all()
    assert state(target.step(now + WARM_UP_US, LEVEL)) == ("flying", "none")


def test_degraded_stays_degraded_until_it_is_armed_again(target):
    now = bring_to(target, "degraded")
    for _ in range(50):
        now += PERIOD_US
        assert state(target.step(now, LEVEL)) == ("degraded", "stale_state")
        with pytest.raises(Refused) as refusal:
            target.arm()
        assert refusal.value.reason == "link_not_settled"
    target.step(now + PERIOD_US, LEVEL)
    target.arm()
    assert state(target.step(now + 2 * PERIOD_US, LEVEL)) == ("flying", "none")


def test_a_descent_ends_after_five_seconds(target):
    now = bring_to(target, "degraded")
    for late_us in range(90_000, 4_990_000, 90_000):
        assert name_of("state", target.step(now + late_us, LEVEL).state) == "degraded"
    control = target.step(now + 5_000_000, LEVEL)
    assert state(control) == ("failsafe", "descent_over") and not control.motors.any()


@pytest.mark.parametrize(("gap_periods", "settles"), [(2.0, True), (2.4, True), (2.5, False), (4.0, False)])
def test_states_too_slow_to_fly_do_not_settle(target, gap_periods, settles):
    gap_us = int(gap_periods * 1e6 / target.identity.rate_hz)
    target.lock_step()
    for k in range(40):
        control = target.step(k * gap_us, LEVEL)
    assert bool(control.flags & 1 << ENUMS["flag"]["settled"]) == settles


@pytest.mark.parametrize(("gap_periods", "after"), [(2.0, "flying"), (2.5, "degraded"), (4.0, "degraded")])
def test_states_that_all_come_late_for_a_quarter_of_a_second_degrade(target, gap_periods, after):
    now, gap_us = bring_to(target, "flying"), int(gap_periods * 1e6 / target.identity.rate_hz)
    for k in range(1, -(-250_000 // gap_us) + 1):
        assert state(target.step(now + k * gap_us, LEVEL)) == ("flying", "none")
    expected = (after, "none" if after == "flying" else "stale_state")
    assert state(target.step(now + (k + 1) * gap_us, LEVEL)) == expected


LATE = [
    (99_999, "flying", "none"),
    (100_000, "degraded", "stale_state"),
    (499_999, "degraded", "stale_state"),
]


@pytest.mark.parametrize(("gap_us", "after", "reason"), [*LATE, (500_000, "failsafe", "link_lost")])
def test_a_good_state_that_comes_too_late_is_too_late(target, gap_us, after, reason):
    now = bring_to(target, "flying")
    assert state(target.step(now + gap_us, LEVEL)) == (after, reason)


@pytest.mark.parametrize(("after_us", "expected"), [(100_000, "degraded"), (100_001, "flying")])
def test_the_third_bad_state_degrades_within_100_ms_of_the_first_and_not_later(target, after_us, expected):
    now = bring_to(target, "flying")
    for late_us, told in ((10_000, NAN), (50_000, NAN), (80_000, LEVEL), (10_000 + after_us, NAN)):
        control = target.step(now + late_us, told)
    assert state(control) == (expected, "non_finite_state")


def test_one_bad_state_unsettles(target):
    target.lock_step()
    now = settle(target)
    target.step(now + PERIOD_US, NAN)
    with pytest.raises(Refused) as refusal:
        target.arm()
    assert refusal.value.reason == "link_not_settled"


def test_hours_without_a_state_make_nothing_fresh_again(target):
    target.lock_step()
    now = settle(target)
    for gap_us in (2**31 - 1, 2**31 - 1, 50_000, 2**31 - 1):  # the microsecond clock wraps every 71 minutes
        now += gap_us
        control = target.tick(now & 0xFFFFFFFF)
        assert not control.flags & 1 << ENUMS["flag"]["fresh_state"]
        with pytest.raises(Refused) as refusal:
            target.arm()
        assert refusal.value.reason == "stale_state"


def test_a_flight_across_the_clocks_wrap_is_a_flight_like_any_other(target):
    control = lift(target, HOVER, LEVEL, start_us=2**32 - 1_200_000)
    for k in range(1, 40):
        now = (control.time_us + k * PERIOD_US) & 0xFFFFFFFF
        assert state(target.step(now, LEVEL)) == ("flying", "none")


def test_time_does_not_run_backwards_in_flight(target):
    control = lift(target, HOVER, LEVEL)
    before = target.step(control.time_us - 1, LEVEL)
    assert state(before) == ("flying", "old_sequence")
    assert before.time_us == control.time_us and (before.motors == control.motors).all()


def test_a_clock_that_begins_anew_in_flight_turns_the_motors_off_after_ten_frames(target):
    lift(target, HOVER, LEVEL, start_us=100_000_000)
    before = [target.step(k * PERIOD_US, LEVEL) for k in range(9)]
    assert all(state(control) == ("flying", "old_sequence") and control.motors.all() for control in before)
    assert not target.step(9 * PERIOD_US, LEVEL).motors.any()
    assert state(target.step(10 * PERIOD_US, LEVEL)) == ("failsafe", "link_lost")


def test_a_repeated_time_stamp_is_no_new_state(target):
    now = bring_to(target, "flying")
    tilted = LEVEL.copy()
    tilted[3:7] = np.cos(0.1), np.sin(0.1), 0, 0
    first, again = target.step(now + PERIOD_US, tilted), target.step(now + PERIOD_US, LEVEL)
    assert not held(first) and held(again)
    assert (first.motors == again.motors).all()


def test_an_old_step_after_a_stop_is_answered_with_motors_off(target):
    control = lift(target, HOVER, LEVEL)
    assert control.motors.all()
    target.stop()
    old = protocol.encode("step", 5, **step_values(control.time_us + PERIOD_US, LEVEL))
    target.link.write(old)
    answer = target.link.wait(lambda f: f.name == "control", "an old step").body
    assert state(answer) == ("stopped", "old_sequence") and not answer.motors.any()


def test_the_bare_network_does_not_run_in_flight(target, policy):
    now = bring_to(target, "flying")
    with pytest.raises(Refused) as refusal:
        target.infer(np.zeros(policy.contract.size))
    assert refusal.value.reason == "not_disarmed"
    assert state(target.step(now + PERIOD_US, LEVEL)) == ("flying", "none")


@pytest.mark.parametrize("request_name", ["arm", "lock_step"])
def test_what_is_for_the_ground_is_refused_in_flight(target, request_name):
    now = bring_to(target, "flying")
    with pytest.raises(Refused) as refusal:
        getattr(target, request_name)()
    assert refusal.value.reason == "not_disarmed"
    assert state(target.step(now + PERIOD_US, LEVEL)) == ("flying", "none")


def test_no_self_test_runs_in_flight(target):
    now = bring_to(target, "flying")
    assert name_of("reason", target.self_test().reason) == "not_disarmed"
    assert state(target.step(now + PERIOD_US, LEVEL)) == ("flying", "none")


def test_a_weak_battery_turns_all_motors_faster_but_none_beyond_full_speed(target):
    now = bring_to(target, "flying")
    hard = LEVEL.copy()
    hard[2], hard[10] = -1.0, 20.0  # far below, and rolling: one side at full speed
    before = target.step(now + PERIOD_US, hard).motors
    for factor, held_to in ((1.1, 1.1), (9.0, 1.25), (0.1, 0.8), (np.nan, 1.0)):
        target.compensate(factor)
        motors = target.tick(now + PERIOD_US + 1).motors  # the last command stands
        expected = np.minimum(before * np.float32(held_to), np.float32(1))
        assert (motors == expected).all(), factor
    assert before.max() * 1.25 > 1 > before.min() * 1.25
