"""What happens when the estimate is wrong? A failure here: guard, supervisor, clipping of observations."""

import itertools

import numpy as np
import pytest

from tinyfly.state import VELOCITY
from tinyfly_hil.faults import SENSORS, Injector, parse
from tinyfly_hil.flight import Chip, FaultyChip, fly, lift
from tinyfly_hil.protocol import name_of
from tinyfly_hil.target import Refused
from tinyfly_hil.world import LEVEL, Scenario

HOVER = Scenario("hover", 1.5)
POISON = np.array([0x7FC00000, 0x7F800001, 0xFFC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF], np.uint32).view(
    "f4"
)


def fine(motors):
    return np.isfinite(motors).all() and (motors >= 0).all() and (motors <= 1).all()


def test_no_poison_in_any_number_reaches_a_motor(target):
    control = lift(target, HOVER, LEVEL)
    for row, value in itertools.product(range(13), POISON):
        state = LEVEL.copy()
        state[row] = value
        control = target.step(control.time_us + 10_000, state)
        assert fine(control.motors), f"{value!r} in row {row}"
        assert name_of("reason", control.reason) in ("non_finite_state", "implausible_state")
        target.step(control.time_us + 80_000, LEVEL)  # the guard has forgotten by the next
        control = target.step(control.time_us + 90_000, LEVEL)
        assert name_of("state", control.state) == "flying"


def test_two_bad_states_are_flown_through_and_the_third_degrades(target):
    control = lift(target, HOVER, LEVEL)
    bad = LEVEL.copy()
    bad[0] = np.nan
    found = []
    for _ in range(3):
        control = target.step(control.time_us + 10_000, bad)
        found.append((name_of("state", control.state), name_of("reason", control.reason)))
    assert found == [("flying", "non_finite_state")] * 2 + [("degraded", "non_finite_state")]


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_half_a_second_of_bad_states_is_not_called_a_lost_link(target, value):
    control = lift(target, HOVER, LEVEL)
    bad = LEVEL.copy()
    bad[0] = value
    for _ in range(50):
        control = target.step(control.time_us + 10_000, bad)
    assert name_of("state", control.state) == "failsafe"
    control = target.tick(control.time_us + 10_000)
    assert name_of("reason", control.reason) == "guard_refused"


def test_the_last_safe_command_stands_for_the_first_bad_state(target):
    control = lift(target, HOVER, LEVEL)
    bad = LEVEL.copy()
    bad[7] = np.inf
    held = target.step(control.time_us + 10_000, bad)
    assert (held.motors == control.motors).all()


SPECS = {kind: f"{kind}@0.5s..0.7s" for kind in SENSORS} | {
    "nan now and then": "nan=0.1",
    "spikes now and then": "spike=0.1",
    "a bit off for long": "bias=0.3m",
    "wrong units for ever": "units",
}


@pytest.mark.thorough
@pytest.mark.parametrize("faults", SPECS.values(), ids=SPECS)
def test_the_supervisor_does_what_its_specification_says_under(target, faults):
    chip = FaultyChip(target, Injector(parse(faults), 0))
    fly(HOVER, chip)
    assert chip.broken == []


@pytest.mark.thorough
def test_random_bit_patterns_never_give_a_bad_motor_command(target, figure):
    rng = np.random.default_rng(0)
    control = lift(target, HOVER, LEVEL)
    count = 2000
    for _ in range(count):
        state = LEVEL.copy()
        hit = rng.random(13) < 0.3
        state[hit] = rng.integers(0, 1 << 32, hit.sum(), dtype=np.uint32).view(np.float32)
        control = target.step(control.time_us + 10_000, state)
        assert fine(control.motors), state
        if name_of("state", control.state) == "failsafe":
            target.restart()
            control = lift(target, HOVER, LEVEL)
    figure("bad_states", count)


def test_a_bad_setpoint_is_refused_and_the_old_one_flown_on(target):
    control = lift(target, HOVER, LEVEL)
    for kind, values in itertools.product(
        ("position", "figure_eight", "waypoints"), ([np.nan] * 8, [1e30] * 8)
    ):
        with pytest.raises(Refused) as refusal:
            target.setpoint(kind, values)
        assert refusal.value.reason == "bad_setpoint"
    assert name_of("state", target.step(control.time_us + 10_000, LEVEL).state) == "flying"


# The largest that is believed, by row of a state; beyond it by a thousandth is not.
SCALES = {1.0: "none", 1.001: "implausible_state"}
LIMITS = {0: 100.0, 1: -100.0, 2: 100.0, 7: 30.0, 8: -30.0, 9: 30.0, 10: 60.0, 11: -60.0, 12: 60.0}


def test_every_number_is_believed_up_to_its_limit_and_not_beyond(target):
    now = lift(target, HOVER, LEVEL).time_us
    lengths = {0.949: "none", 1.048: "none", 0.948: "implausible_state", 1.05: "implausible_state"}
    told = [(row, limit * k, fault) for row, limit in LIMITS.items() for k, fault in SCALES.items()]
    told += [(row, length, fault) for row in range(3, 7) for length, fault in lengths.items()]
    for row, value, fault in told:
        state = LEVEL.copy()
        state[3:7] = 0 if 3 <= row < 7 else LEVEL[3:7]
        state[row] = value
        control = target.step(now := now + 40_000, state)
        assert name_of("reason", control.reason) == fault, f"{value:g} in row {row}"
        assert name_of("state", control.state) == "flying"
        target.step(now := now + 40_000, LEVEL)
        target.step(now := now + 10_000, LEVEL)


@pytest.mark.parametrize("height_m", [0.0, -1.0, 1.0])
def test_blind_it_levels_out_within_30_ms_and_sinks_from_the_mean_of_what_was_flown(target, policy, height_m):
    """docs/safety.md, "Flying blind": the last command stands for 10 ms, its differences are gone at 30.

    Held too low, or too high, it pulls or drops for seconds: that moves the mean by 15 % at most.
    """
    now = lift(target, HOVER, LEVEL).time_us
    nominal = hover = 0.5 * (policy.contract.hover_action + 1)
    assert abs(nominal - target.airframe.hover_fraction) < 0.01  # or it would climb, or fall
    tilted, held = LEVEL.copy(), LEVEL.copy()
    tilted[3:7], tilted[10:] = (np.cos(0.1), np.sin(0.1), 0, 0), (1.0, -1.0, 0.5)
    held[2] = height_m
    for told in [held] * 300 + [tilted]:
        last = target.step(now := now + 10_000, told).motors
        off = hover + 0.01 / 2.01 * (last.mean() - hover) - nominal
        hover = nominal + np.clip(off, -0.15 * nominal, 0.15 * nominal)
    for age_us in (1_000, 10_000, 20_000, 30_000, 60_000, 100_000, 300_000, 499_999):
        motors = target.tick(now + age_us).motors
        level = np.clip((age_us - 10_000) / 20_000, 0, 1)
        sunk = np.clip((age_us - 100_000) / 400_000, 0, 1)
        expected = (1 - level) * last + level * hover * (0.95 - 0.15 * sunk)
        assert np.abs(motors - expected).max() < 1e-6, f"{age_us} us after the last state"
    target.stop()
    target.disarm()
    now = lift(target, HOVER, LEVEL, start_us=now + 1_000_000).time_us  # another flight, another load
    assert np.abs(target.tick(now + 50_000).motors - 0.95 * nominal).max() < 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("mass_scale", [0.7, 1.0, 1.3])
def test_blind_it_sinks_whatever_it_weighs_and_does_not_drop(target, figure, mass_scale):
    worlds, chip = [], Chip(target)
    fly(Scenario("weighed", 6.0, mass_scale=mass_scale), chip, lambda k, world: worlds.append(world))
    world, heights_m = worlds[-1], [float(worlds[-1].position[2])]
    for late_us in range(10_000, 500_000, 10_000):
        world.advance(target.tick(chip.time_us + late_us).motors)
        heights_m.append(float(world.position[2]))
    climb_m_s = float(world.state[VELOCITY, 0][2])
    figure(f"blind_rise_m_{mass_scale:g}", max(heights_m) - heights_m[0])
    assert max(heights_m) - heights_m[0] < 0.02
    assert -1.0 < climb_m_s < -0.3
