"""Dynamics that others wrote, each behind the interface of ours: signs, frames, lag and mass agree."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tinyfly import plants
from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.evaluate import fly_scenario
from tinyfly.plants import make_plant
from tinyfly.plants.l2f import parameters, reduced

# What the package of each plant is called; how closely half a second of gentle motion follows ours, in m, m/s
# and rad/s alike. MuJoCo has air where we have drag coefficients, and its thrust lags instead of the speed;
# crazyflow integrates by Euler.
FOREIGN = {
    "drone-models": ("drone_models", "cf21B_500", 3e-3),
    "mujoco": ("mujoco", "crazyflie", 3e-2),
    "crazyflow": ("crazyflow", "cf21B_500", 3e-2),
    "l2f": ("l2f", "crazyflie", 1e-4),
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


def test_what_a_plant_s_packages_print_is_not_on_stdout(monkeypatch, capsys):
    """There `tinyfly evaluate --json` has its object."""

    class Chatty:
        def __init__(self, *_):
            print("made")

    def imported(name):
        print("imported", name)
        return SimpleNamespace(MuJoCo=Chatty)

    monkeypatch.setattr(plants, "import_module", imported)
    make_plant("mujoco", Airframe.load("crazyflie"), 1, 0.01)
    assert capsys.readouterr() == ("", "imported tinyfly.plants.mujoco\nmade\n")


def test_crazyflow_leaves_nothing_in_the_current_folder(monkeypatch, tmp_path):
    pytest.importorskip("crazyflow")
    monkeypatch.chdir(tmp_path)
    make_plant("crazyflow", Airframe.load("cf21B_500"), 1, 0.01)
    assert list(tmp_path.iterdir()) == []


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


def flown(
    plant: str, airframe: Airframe, state: np.ndarray, command: float, push=None, mass=None
) -> np.ndarray:
    """A second of flight from ``state``."""
    state = state.copy()
    made = make_plant(plant, airframe, state.shape[1], 0.01)
    for _ in range(100):
        made.step(state, np.full((4, state.shape[1]), command), push, mass)
    return state


@pytest.mark.parametrize("name", ["crazyflie", "cf2x_L250", "rltools_2026"])
def test_a_fall_a_disturbed_hover_and_a_spin_are_in_l2f_what_they_are_in_ours(name):
    """But for the terms that l2f has not the two models are one, both RK4 at 100 Hz: only float32 parts them.

    In l2f four thrusts of 0.07 N balance to 6e-5 rad/s of angular velocity in a second, hence the tolerance.
    """
    pytest.importorskip("l2f")
    airframe, rng = Airframe.load(name), np.random.default_rng(0)
    falling, spinning, u = at_rest(airframe, 3), at_rest(airframe, 3), airframe.hover_fraction
    falling[13:] = 0
    spinning[10:13] = rng.normal(0, 5, (3, 3))
    push = rng.normal(0, 1, (6, 3)) * ([[0.02]] * 3 + [[1e-6]] * 3)
    mass = np.array([[0.7, 1.0, 1.3]])
    for case in ((falling, 0.0), (at_rest(airframe, 3), u, push, mass), (spinning, u)):
        theirs, ours = flown("l2f", airframe, *case), flown("rk4", reduced(airframe), *case)
        assert np.abs(ours - case[0]).max() > 1
        np.testing.assert_allclose(theirs, ours, atol=3e-4)


def test_l2f_s_model_has_all_of_the_paper_s_airframe():
    paper = Airframe.load("crazyflie")
    for key, value in paper.to_dict().items():
        if key != "name":
            np.testing.assert_allclose(getattr(reduced(paper), key), value, rtol=1e-12)


def test_a_push_that_changes_is_felt_in_l2f_at_once_and_no_longer():
    pytest.importorskip("l2f")
    airframe = Airframe.load("crazyflie")
    state, plant = at_rest(airframe, 1).astype(np.float32), make_plant("l2f", airframe, 1, 0.01)
    push, hover = np.zeros((6, 1)), np.full((4, 1), airframe.hover_fraction, np.float32)
    for force, speed in ((0.027, 0.01), (-0.027, 0.0), (0.0, 0.0)):
        push[0] = force
        plant.step(state, hover, push)
        assert state[7, 0] == pytest.approx(speed, abs=1e-6)


def wrench(given: dict, u: np.ndarray) -> np.ndarray:
    """Force and torque of four rotors in the body's frame, by l2f's formula."""
    c0, c1, c2 = np.array(given["rotor_thrust_coefficients"]).T
    size = (c0 + c1 * u + c2 * u * u)[:, None]
    thrust = size * given["rotor_thrust_directions"]
    reaction = size * np.array(given["rotor_torque_constants"])[:, None] * given["rotor_torque_directions"]
    return np.hstack([thrust, np.cross(given["rotor_positions"], thrust) + reaction]).sum(0)


@pytest.mark.parametrize("name", ["crazyflie", "cf2x_L250", "rltools_2026"])
@pytest.mark.parametrize("rotor", range(4))
def test_each_rotor_turns_l2f_s_body_as_it_turns_ours(name, rotor):
    airframe, u = Airframe.load(name), np.zeros(4)
    given, rest = parameters(reduced(airframe), np.zeros(6)), u.copy()
    u[rotor] = hover = airframe.hover_fraction
    thrust, reaction = (c[1] * hover + c[2] * hover**2 for c in (airframe.thrust_n, airframe.torque_nm))
    x, y, _ = airframe.rotor_position_m[rotor]
    ours = [0, 0, thrust, y * thrust, -x * thrust, airframe.rotor_torque_sign[rotor] * reaction]
    np.testing.assert_allclose(wrench(given, u) - wrench(given, rest), ours, atol=1e-12)


@pytest.mark.parametrize("name", ["crazyflie", "cf2x_L250", "rltools_2026"])
def test_l2f_s_parameters_carry_a_push_and_a_load(name):
    airframe, u = reduced(Airframe.load(name)), np.array([0.3, 0.5, 0.8, 0.9])
    push = np.array([0.01, -0.02, 0.03, 2e-6, -3e-6, 1e-6])
    given = parameters(airframe, push, mass_scale=1.3)
    added = wrench(given, u) - wrench(parameters(airframe, np.zeros(6)), u)
    np.testing.assert_allclose(added, [0, 0, 0, *push[3:]], atol=1e-12)
    force = given["mass"] * np.array(given["gravity"]) + [0, 0, 1.3 * airframe.weight_n]
    np.testing.assert_allclose(force, push[:3], atol=1e-12)


def test_without_l2f_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "l2f", None)
    with pytest.raises(UserError, match=r"^plant l2f is not installed: pip install -e '\.\[l2f\]'"):
        fly_scenario(Hovering(), Airframe.load("crazyflie"), "hover", episodes=5, plant="l2f")
