"""Is what the policy sees on the chip what it saw in training? A failure here: observation, history.

States are dictated instead of flown, so that they go where no flight does: to every limit, at uneven times.
"""

import numpy as np
import pytest

from tinyfly.state import VELOCITY
from tinyfly_hil.flight import Beside, Chip, Twin, fly, lift
from tinyfly_hil.protocol import name_of
from tinyfly_hil.world import LEVEL, Scenario, thrown

HERE = Scenario("dictated", 1.0)


def dictate(target, twin, states, dts_us):
    """Give chip and twin the same states; the steps at which their motor commands differ in a bit."""
    control = lift(target, HERE, LEVEL)
    different = [] if (control.motors == twin.take_off(HERE, LEVEL)).all() else [-1]
    now = control.time_us
    for k, (told, dt_us) in enumerate(zip(states, dts_us, strict=True)):
        now += int(dt_us)
        control = target.step(now, told)
        if not (control.motors == twin.step(told, int(dt_us))).all():
            different.append(k)
    return different


def wild(rng, count, position_m=5.0, velocity_m_s=20.0, rate_rad_s=40.0):
    """(count, 13) any states that the guard believes: far off, fast, upside down."""
    states = rng.uniform(-1, 1, (count, 13)) * np.repeat(
        [position_m, 1, velocity_m_s, rate_rad_s], [3, 4, 3, 3]
    )
    states[:, 3:7] /= np.linalg.norm(states[:, 3:7], axis=1, keepdims=True)
    return states.astype(np.float32)


@pytest.fixture
def twin(target, policy, kernel_of):
    return Twin(policy, kernel_of(target).act)


def test_wild_states_at_uneven_times_are_answered_as_in_training_to_the_bit(target, twin):
    rng = np.random.default_rng(0)
    dts_us = rng.integers(1_000, 99_000, 200)
    dts_us[::3] = rng.integers(1_000, 24_000, 67)  # or all would count as late
    assert dictate(target, twin, wild(rng, 200), dts_us) == []


def test_a_long_standing_error_fills_the_integral_to_its_limit_and_empties_it_again(target, twin, policy):
    integral = policy.contract.integral
    if integral is None:
        pytest.skip("this policy has no integral")
    away, back = LEVEL.copy(), LEVEL.copy()
    away[:3], back[:3] = (1.0, -1.0, 0.1), (-0.3, 0.3, -1.0)
    to_the_limit_s = integral.limit_m / (integral.gain_per_s * integral.error_limit_m)
    steps = 2 * round(1.25 * to_the_limit_s / 0.11)
    assert dictate(target, twin, [away] * steps + [back] * steps, [90_000, 20_000] * steps) == []


def test_what_happened_during_an_outage_is_not_felt(target, twin, policy):
    """A state after 150 ms of none: the chip flies its descent from there, and feels nothing of the gap."""
    now = lift(target, HERE, LEVEL).time_us
    twin.take_off(HERE, LEVEL)
    for k in range(1, 6):
        target.step(now + 10_000 * k, LEVEL)
        twin.step(LEVEL)
    falling = LEVEL.copy()
    falling[VELOCITY] = (1.0, -1.0, -1.5)
    control = target.step(now + 200_000, falling)
    assert name_of("state", control.state) == "degraded"
    descent = np.zeros(9 + 3 * len(policy.contract.preview_s), np.float32)
    descent[5] = -0.4  # m/s, of what stays where it is
    assert (control.motors == twin.step(falling, 150_000, descent)).all()


@pytest.mark.parametrize("rate_hz", [50, 67, 200, 500])
def test_a_chip_that_runs_at_another_rate_than_it_trained_flies_as_predicted_to_the_bit(
    target, twin, rate_hz
):
    scenario = thrown(5, duration_s=1.0, rate_hz=rate_hz)
    chip = Beside(Chip(target), twin)
    assert not fly(scenario, chip).differs(chip.commands)


def test_a_second_flight_remembers_nothing_of_the_first(target, twin):
    now = lift(target, HERE, LEVEL).time_us
    for k, told in enumerate(wild(np.random.default_rng(1), 40)):
        target.step(now + 10_000 * (k + 1), told)
    target.stop()
    target.disarm()
    control = lift(target, HERE, LEVEL, start_us=now + 500_000)
    assert (control.motors == twin.take_off(HERE, LEVEL)).all()
    for k in range(1, 20):
        assert (target.step(control.time_us + 10_000 * k, LEVEL).motors == twin.step(LEVEL)).all()
