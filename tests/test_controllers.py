"""The classical controllers hold the airframes that they were made for."""

from dataclasses import replace

import numpy as np
import pytest

from tinyfly.airframe import Airframe
from tinyfly.controllers import Geometric
from tinyfly.disturbance import NO_NOISE, STILL
from tinyfly.flight import Conditions, fly
from tinyfly.lqr import LinearQuadratic, _discrete, _lqr
from tinyfly.stock import CascadedPid, Mellinger
from tinyfly.trajectory import Hover, sample

CALM = Conditions(wind=STILL, noise=NO_NOISE)


def gently_off(airframe, n=5):
    rng = np.random.default_rng(0)
    state = np.zeros((17, n), np.float32)
    state[3], state[13:] = 1, airframe.hover_fraction
    state[:3] = rng.uniform(-0.2, 0.2, (3, n))
    state[7:10] = rng.uniform(-0.3, 0.3, (3, n))
    return state


@pytest.mark.parametrize("pilot", [Geometric, LinearQuadratic])
@pytest.mark.parametrize("name", ["crazyflie", "cf21B_500"])
def test_they_bring_a_vehicle_back_and_hold_it_in_still_air(pilot, name):
    airframe = Airframe.load(name)
    reference = sample(Hover(), np.arange(601) * 0.01)
    flight = fly(pilot(airframe), airframe, gently_off(airframe), reference, np.random.default_rng(1), CALM)
    assert flight.error_m[-50:].max() < 0.02
    assert flight.upright.min() > 0.5


@pytest.mark.parametrize("pilot", [Geometric, LinearQuadratic, CascadedPid])
def test_they_fly_on_rotors_whose_thrust_is_linear_in_the_speed(pilot):
    crazyflie = Airframe.load("crazyflie")
    linear = replace(
        crazyflie,
        thrust_n=(0.0, sum(crazyflie.thrust_n), 0.0),
        torque_nm=(0.0, sum(crazyflie.torque_nm), 0.0),
    )
    controller = pilot(linear)
    times = np.arange(round(3 * controller.contract.rate_hz) + 1) / controller.contract.rate_hz
    start = gently_off(linear)
    flight = fly(controller, linear, start, sample(Hover(), times), np.random.default_rng(1), CALM)
    assert flight.error_m[-50:].max() < 0.2


def test_their_mixer_gives_the_thrust_and_torque_asked_for():
    """Where no rotor saturates, the airframe's own polynomials and geometry give the wrench back."""
    airframe = Airframe.load("cf2x_T350")
    pilot = Geometric(airframe, lag_s=1e9)  # no lead: the action is the wanted speed itself
    view = pilot.view(np.zeros((pilot.contract.size, 1), np.float32))
    wrench = np.array([airframe.weight_n, 2e-4, -1e-4, 5e-5])
    action = pilot.mix(view, wrench[:1], wrench[1:, None])
    u = (action[:, 0] + 1) / 2
    thrust = np.polyval(airframe.thrust_n[::-1], u)
    x, y, _ = np.transpose(airframe.rotor_position_m)
    np.testing.assert_allclose([thrust.sum(), y @ thrust, -x @ thrust], wrench[:3], rtol=1e-4)
    reaction = airframe.rotor_torque_sign @ np.polyval(airframe.torque_nm[::-1], u)
    assert reaction == pytest.approx(wrench[3], rel=0.2)  # thrust over torque is not the same at every speed


def test_the_lqr_gain_solves_the_scalar_riccati_equation():
    """x' = x + u, unit costs: p = 1 + p - p^2 / (1 + p), so p is the golden ratio and k = p / (1 + p)."""
    p = (1 + 5**0.5) / 2
    one = np.eye(1)
    np.testing.assert_allclose(_lqr(one, one, one, one), p / (1 + p), rtol=1e-9)


def test_discretisation_of_a_double_integrator_is_the_textbooks():
    a, b = _discrete(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]]), 0.1)
    np.testing.assert_allclose(a, [[1, 0.1], [0, 1]])
    np.testing.assert_allclose(b, [[0.005], [0.1]])


@pytest.mark.parametrize("kind", [CascadedPid, Mellinger])
def test_those_of_others_hold_a_vehicle_in_still_air_and_begin_every_flight_afresh(kind):
    if kind is Mellinger:
        pytest.importorskip("drone_controllers")
    airframe = Airframe.load("crazyflie")
    pilot = kind(airframe)
    reference = sample(Hover(), np.arange(2001) / 500)
    errors = [
        fly(pilot, airframe, gently_off(airframe), reference, np.random.default_rng(1), CALM).error_m
        for _ in range(2)
    ]
    assert errors[0][-200:].max() < 0.06  # the package's integral takes its time
    np.testing.assert_array_equal(*errors)


@pytest.mark.parametrize("kind", [CascadedPid, Mellinger])
def test_a_factor_is_of_each_vehicle_where_it_has_columns(kind):
    """One gain set per vehicle in one flight, as the tuning flies them, is the same as one flight each."""
    if kind is Mellinger:
        pytest.importorskip("drone_controllers")
    airframe = Airframe.load("crazyflie")
    pair = np.stack([np.full(len(kind.FACTORS), 0.5), np.full(len(kind.FACTORS), 0.8)], axis=1)
    together = kind(airframe, pair)
    observation = np.zeros((together.contract.size, 2), np.float32)
    slices = together.contract.slices()
    observation[slices["rotation"]] = np.eye(3).reshape(9, 1)
    observation[slices["position_error"]] = [[0.05], [-0.02], [0.01]]
    observation[slices["angular_velocity"]] = [[0.1], [-0.2], [0.05]]
    together.reset(2)
    action = together.act(observation)
    for i in range(2):
        alone = kind(airframe, pair[:, i])
        alone.reset(1)
        np.testing.assert_allclose(action[:, [i]], alone.act(observation[:, [i]]), atol=1e-5)
    assert not np.allclose(action[:, 0], action[:, 1], atol=1e-3)
