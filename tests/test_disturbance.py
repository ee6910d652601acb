"""Wind, noise, latency and start states: sizes, correlations, and that they do not depend on the pilot."""

import numpy as np
import pytest

from tinyfly.airframe import Airframe
from tinyfly.disturbance import Latency, Noise, NoiseBank, Push, Sensor, Wind
from tinyfly.errors import UserError
from tinyfly.start import Start, random_angles
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, VELOCITY

PAPER = Airframe.load("crazyflie")


def rng():
    return np.random.default_rng(0)


def test_the_papers_wind_is_a_twentieth_of_the_weight_and_constant():
    push = Push(Wind(), PAPER, 20000, 0.01, rng())
    before = push.now.copy()
    push.advance()
    np.testing.assert_array_equal(push.now, before)
    np.testing.assert_allclose(before[:3].std(1), PAPER.weight_n / 20, rtol=0.03)
    np.testing.assert_allclose(before[3:].std(1), PAPER.weight_n / 10000, rtol=0.03)


def test_gusts_keep_their_size_and_forget_within_their_correlation_time():
    push = Push(Wind(force=0, torque_m=0, gust=0.1, gust_s=0.5), PAPER, 20000, 0.01, rng())
    first = push.now[0].copy()
    for _ in range(50):
        push.advance()
    assert push.now[0].std() == pytest.approx(0.1 * PAPER.weight_n, rel=0.03)
    assert np.corrcoef(first, push.now[0])[0, 1] == pytest.approx(np.exp(-1), abs=0.03)


@pytest.mark.parametrize("sensor", [Sensor, NoiseBank])
def test_noise_has_the_deviations_asked_for(sensor):
    state = Start().draw(rng(), 20000)
    error = sensor(Noise(), 20000, rng()).sense(state) - state[:13]
    for rows, size in ((POSITION, 1e-3), (QUATERNION, 5e-4), (VELOCITY, 2e-3), (ANGULAR_VELOCITY, 2e-3)):
        np.testing.assert_allclose(error[rows].std(1), size, rtol=0.05)
        np.testing.assert_allclose(error[rows].mean(1), 0, atol=size / 20)


def test_a_bias_stays_for_the_episode_and_noise_does_not():
    sensor = Sensor(Noise(rate_bias_rad_s=0.1), 1000, rng())
    state = Start().draw(rng(), 1000)
    a, b = (sensor.sense(state).copy() - state[:13] for _ in range(2))
    assert np.corrcoef(a[10], b[10])[0, 1] > 0.99
    assert abs(np.corrcoef(a[0], b[0])[0, 1]) < 0.1


@pytest.mark.parametrize("steps", [0.0, 0.4, 1.0, 2.25])
def test_latency_of_whole_and_broken_steps_delays_a_ramp_by_just_that(steps):
    """A ramp's mean over a step lags the undelayed one by exactly the delay."""
    latency = Latency(steps, 3)
    out = [latency.delay(np.full((4, 3), k, np.float32)).copy() for k in range(10)]
    for k in range(4, 10):
        np.testing.assert_allclose(out[k], k - steps, rtol=1e-6)


def test_latency_can_differ_between_vehicles():
    delays = np.array([0.0, 0.5, 1.7])
    latency = Latency(delays, 3)
    out = [latency.delay(np.full((4, 3), k, np.float32)).copy() for k in range(10)]
    np.testing.assert_allclose(out[9][0], 9 - delays, rtol=1e-6)


@pytest.mark.parametrize("steps", [-1.0, np.nan, np.array([1.0, -0.5, 0.0])])
def test_a_latency_that_is_none_is_refused(steps):
    with pytest.raises(UserError, match="expected 0 or more"):
        Latency(steps, 3)


def test_start_states_fill_their_ranges():
    state = Start().draw(rng(), 20000)
    level = (state[POSITION] == 0).all(0)
    assert level.mean() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(np.abs(state[POSITION]).max(1), 0.2, rtol=0.01)
    np.testing.assert_allclose(np.abs(state[VELOCITY]).max(1), 1, rtol=0.01)
    np.testing.assert_allclose(np.linalg.norm(state[QUATERNION], axis=0), 1, rtol=1e-6)
    tilt = 2 * np.arccos(np.clip(np.abs(state[3]), 0, 1))
    assert np.rad2deg(tilt.max()) == pytest.approx(90, abs=0.5)


def test_unlimited_angles_are_those_of_uniform_rotations():
    """Compared with normalised Gaussian quaternions, which are uniform."""
    q = rng().standard_normal((4, 40000))
    uniform = 2 * np.arccos(np.abs(q[0]) / np.linalg.norm(q, axis=0))
    ours = random_angles(np.random.default_rng(1), np.pi, 40000)
    shares = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.quantile(ours, shares), np.quantile(uniform, shares), atol=0.02)
