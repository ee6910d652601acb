"""Dynamics that others wrote, each behind the interface of ours: signs, frames, lag and mass agree."""

import numpy as np
import pytest

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.evaluate import fly_scenario
from tinyfly.plants import make_plant

# What the package of each plant is called; how closely half a second of gentle motion follows ours, in m, m/s
# and rad/s alike. MuJoCo has air where we have drag coefficients, and its thrust lags instead of the speed;
# crazyflow integrates by Euler.
FOREIGN = {
    "drone-models": ("drone_models", "cf21B_500", 3e-3),
    "mujoco": ("mujoco", "crazyflie", 3e-2),
    "crazyflow": ("crazyflow", "cf21B_500", 3e-2),
}


class Hovering:
    contract = paper_contract()

    def act(self, observation):
        return np.zeros((4, observation.shape[1]), np.float32)


def at_rest(airframe: Airframe, n: int) -> np.ndarray:
    state = np.zeros((17, n))
    state[3], state[13:] = 1, airframe.hover_fraction
    return state


def moved(plant: str, airframe: Airframe, steps: int = 50) -> np.ndarray:
    """Seven vehicles: one is left alone, each other has its own motor, push or twist, mass and motion."""
    state, command = at_rest(airframe, 7), np.full((4, 7), airframe.hover_fraction)
    command[[0, 1, 2, 3], [0, 1, 2, 3]] *= 1.004
    push = np.zeros((6, 7))
    push[:, 4] = [*(0.03 * airframe.weight_n * np.array([1, -2, 0.5])), 1e-7, -2e-7, 3e-7]
    state[7:10, 5] = 0.1, -0.2, 0.1
    state[10:13, 5] = 0.2, -0.3, 0.4
    mass = np.array([[1, 1, 1, 1, 1, 1.2, 1.0]])
    made = make_plant(plant, airframe, 7, 0.01)
    for _ in range(steps):
        made.step(state, command, push, mass)
    return state


@pytest.mark.parametrize("plant", FOREIGN)
def test_a_foreign_plant_moves_as_ours_does(plant):
    package, name, tolerance = FOREIGN[plant]
    pytest.importorskip(package)
    airframe = Airframe.load(name).varied(battery=0.9)
    ours, theirs = moved("rk4", airframe), moved(plant, airframe)
    change = np.abs(ours - moved("rk4", airframe, 0))
    assert (change[[1, 2, 7, 8, 9, 10, 11]].max(1) > 2 * tolerance).all()
    np.testing.assert_allclose(theirs, ours, atol=tolerance)


@pytest.mark.parametrize("plant", FOREIGN)
def test_rotors_lag_in_a_foreign_plant_as_they_do_in_ours(plant):
    package, name, _ = FOREIGN[plant]
    pytest.importorskip(package)
    airframe = Airframe.load(name)
    speeds = []
    for p in ("rk4", plant):
        state = at_rest(airframe, 1)
        make_plant(p, airframe, 1, 0.01).step(state, np.full((4, 1), 0.9))
        speeds.append(state[13, 0] - airframe.hover_fraction)
    assert 0 < speeds[1] < 0.9 - airframe.hover_fraction
    assert speeds[1] == pytest.approx(speeds[0], rel=0.3)  # speed or thrust, of one time constant or of two


@pytest.mark.parametrize("plant", ["drone-models", "crazyflow"])
def test_a_plant_of_known_vehicles_refuses_another(plant):
    pytest.importorskip(FOREIGN[plant][0])
    with pytest.raises(UserError, match="does not know the airframe crazyflie"):
        fly_scenario(Hovering(), Airframe.load("crazyflie"), "hover", episodes=5, plant=plant)


def test_one_lost_vehicle_does_not_stop_mujoco_s_world():
    pytest.importorskip("mujoco")
    airframe = Airframe.load("crazyflie")
    plant, state = make_plant("mujoco", airframe, 2, 0.01), at_rest(airframe, 2)
    state[0, 0] = np.nan
    for _ in range(10):
        plant.step(state, np.full((4, 2), airframe.hover_fraction))
    assert np.isnan(state[:, 0]).all()
    np.testing.assert_allclose(state[:3, 1], 0, atol=1e-6)
