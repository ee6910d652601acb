"""Does the chip fly? The bound of every error is what the pure simulation predicts, plus margin."""

import pytest

from tinyfly_hil.flight import Beside, Chip, Twin, fly
from tinyfly_hil.world import Scenario, pushed, thrown

MARGIN, MARGIN_M = 1.05, 0.002  # of the prediction, and on top: the chip's sines differ in the seventh digit
HOVER_M, TRACKING_M = 0.2, 0.35  # what may be called flying at all


def eight(period_s, duration_s=None):
    """Up to speed in 2 s, then once round."""
    shape = (0, 0, 0, 1, 1, period_s, 2)
    return Scenario(f"figure-eight {period_s:g} s", duration_s or 2 + period_s, "figure_eight", shape)


@pytest.fixture
def flown(target, policy, kernel_of):
    """Flies a scenario: the chip's flight, and its prediction."""
    return lambda scenario: (fly(scenario, Chip(target)), fly(scenario, Twin(policy, kernel_of(target).act)))


@pytest.fixture
def as_predicted(target, policy, kernel_of):
    """Flies a scenario whose prediction is exact: the chip's flight, once it is the twin's to the bit."""

    def fly_it(scenario):
        chip = Beside(Chip(target), Twin(policy, kernel_of(target).act))
        flight = fly(scenario, chip)
        assert not flight.differs(chip.commands)
        return flight

    return fly_it


def test_a_thrown_start_ends_in_a_hover_as_predicted_to_the_bit(as_predicted, figure):
    flight = as_predicted(thrown(0, name="thrown"))
    figure("hover_error_m", flight.hover_error_m)
    assert flight.hover_error_m < HOVER_M


def test_a_figure_eight_made_on_the_chip_is_followed_as_predicted(flown, figure):
    flight, prediction = flown(eight(5.5))
    figure("figure_eight_rmse_m", flight.rmse_m)
    assert flight.rmse_m < TRACKING_M
    assert flight.rmse_m < MARGIN * prediction.rmse_m + MARGIN_M
    assert not flight.differs(prediction.motors, 1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("period_s", [4.0, 7.0])
def test_figure_eights_at_other_speeds(flown, period_s):
    flight, prediction = flown(eight(period_s))
    assert flight.rmse_m < MARGIN * prediction.rmse_m + MARGIN_M


@pytest.mark.thorough
def test_waypoints_are_reached_and_held(flown):
    scenario = Scenario("waypoints", 6.0, "waypoints", (1.0, 3, 0.5, 0, 0, 0.5, 0.5, 0.2, 0, 0, 0.3))
    flight, prediction = flown(scenario)
    assert flight.hover_error_m < HOVER_M
    assert flight.rmse_m < MARGIN * prediction.rmse_m + MARGIN_M


CONDITIONS = {
    "heavy": {"mass_scale": 1.15},
    "light": {"mass_scale": 0.85},
    "10 ms late": {"latency_s": 0.010},
    "20 ms late": {"latency_s": 0.020},
}
PUSHES = {"wind": {"force_n": (0.015, -0.01, 0.0)}, "torque": {"torque_nm": (2e-5, -2e-5, 1e-5)}}
THOROUGH = [pytest.param(c, marks=pytest.mark.thorough) for c in (*CONDITIONS, *PUSHES) if c != "20 ms late"]


@pytest.mark.parametrize("condition", ["20 ms late", *THOROUGH])
def test_hover_under(target, as_predicted, condition):
    changes = CONDITIONS.get(condition) or pushed(target.airframe, **PUSHES[condition])
    assert as_predicted(thrown(1, angle_deg=45, name=condition, **changes)).hover_error_m < HOVER_M


@pytest.mark.thorough
def test_at_four_fifths_of_its_rate_it_still_hovers(as_predicted, figure):
    scenario = Scenario("four fifths of the rate", 6.0, values=(0.3, 0.0, 0.0), noise=1.0, rate_hz=80)
    flight = as_predicted(scenario)
    figure("hover_error_80_hz_m", flight.hover_error_m)
    assert flight.hover_error_m < HOVER_M


@pytest.mark.thorough
@pytest.mark.parametrize("batch", range(5))
def test_fifty_throws_are_caught(target, as_predicted, batch):
    for seed in range(10 * batch, 10 * batch + 10):
        target.restart()
        flight = as_predicted(thrown(100 + seed, duration_s=3.0))
        assert flight.error_m[-1] < HOVER_M, f"throw {100 + seed}"


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(thrown(2, duration_s=2.0), id="throw"),
        pytest.param(eight(5.5, 3.0), id="figure-eight", marks=pytest.mark.thorough),
    ],
)
def test_the_same_flight_on_the_host_build_is_identical_bit_for_bit(target, open_port, scenario):
    with open_port("host") as host:
        chip = Beside(Chip(target), Chip(host))
        assert not fly(scenario, chip).differs(chip.commands)


@pytest.mark.thorough
def test_a_long_flight_neither_drifts_nor_loses_a_frame(target, endurance_s, figure):
    scenario = Scenario("endurance", endurance_s, "figure_eight", (0, 0, 0, 0.5, 0.5, 7.0, 2.0), noise=1.0)
    flight = fly(scenario, Chip(target))
    second = scenario.rate_hz * 14  # two turns
    early, late = flight.error_m[second : 2 * second].mean(), flight.error_m[-second:].mean()
    assert late < 1.2 * early + MARGIN_M
    stats = target.stats()
    line = (stats.bad_crc, stats.bad_frame, stats.bad_version, stats.sequence_gaps, stats.overruns)
    control = (stats.guard_state, stats.guard_action, stats.stale, stats.deadline_misses)
    assert not any(line) and not any(control)
    assert stats.steps >= scenario.steps
    figure("endurance_s", endurance_s)
