"""What happens when the estimate is wrong? A failure here: guard, supervisor, clipping of observations."""

import itertools

import numpy as np
import pytest

from tinyfly_hil.faults import SENSORS, Injector, parse
from tinyfly_hil.flight import FaultyChip, fly, lift
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
        control = target.step(control.time_us + 80_000, LEVEL)  # the guard has forgotten by the next
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
