"""Mirror images: the physics has them, so the policy has them, and keeping them costs training nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tinyfly import columns, trainer
from tinyfly.actor import Weights
from tinyfly.airframe import Airframe, names
from tinyfly.dynamics import Dynamics
from tinyfly.mirror import mirrors
from tinyfly.network import act
from tinyfly.optimizer import orthogonalise
from tinyfly.rollout import Rollout
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY
from tinyfly.symmetry import Symmetry
from tinyfly.task import make_task, with_recipe

CRAZYFLIE = Airframe.load("crazyflie")


def moved(airframe, shifts_m):
    """The airframe with its rotors shifted in x and y."""
    at = [
        (x + dx, y + dy, z) for (x, y, z), (dx, dy) in zip(airframe.rotor_position_m, shifts_m, strict=True)
    ]
    return replace(airframe, rotor_position_m=tuple(at))


def planes(airframe):
    return {(m.x, m.y) for m in mirrors(airframe.layout)}


@pytest.mark.parametrize("name", names())
def test_every_named_airframe_has_both_planes(name):
    assert planes(Airframe.load(name)) == {(-1, 1), (1, -1), (-1, -1)}


def test_front_arms_spread_wider_leave_left_and_right_alone_symmetric():
    front_wider = [(0, 0.01 * np.sign(y)) if x > 0 else (0, 0) for x, y, _ in CRAZYFLIE.rotor_position_m]
    assert planes(moved(CRAZYFLIE, front_wider)) == {(1, -1)}


def test_one_arm_longer_leaves_no_symmetry():
    assert planes(moved(CRAZYFLIE, [(0.01, 0), (0, 0), (0, 0), (0, 0)])) == set()


def mirrored(state, m):
    image = state.copy()
    image[POSITION] *= m.polar[:, None]
    image[VELOCITY] *= m.polar[:, None]
    image[ANGULAR_VELOCITY] *= m.axial[:, None]
    image[QUATERNION][1:] *= m.axial[:, None]
    image[ROTOR_SPEED] = state[ROTOR_SPEED][m.motors]
    return image


@pytest.mark.parametrize("name", ["crazyflie", "cf2x_L250", "cf21B_500"])
def test_a_mirrored_flight_is_the_mirror_image_of_the_flight(name):
    """In the truth, with drag and spinning propellers: what a symmetric policy relies on."""
    airframe, n, rng = Airframe.load(name), 8, np.random.default_rng(0)
    state = rng.standard_normal((17, n)) * 2
    state[QUATERNION] /= np.linalg.norm(state[QUATERNION], axis=0)
    state[ROTOR_SPEED] = rng.uniform(0.2, 1, (4, n))
    dynamics = Dynamics(airframe, n, 0.01, np.float64)
    for m in mirrors(airframe.layout):
        flight, image = state.copy(), mirrored(state, m)
        for _ in range(50):
            command = rng.uniform(0, 1, (4, n))
            dynamics.step(flight, command)
            dynamics.step(image, command[m.motors])
        np.testing.assert_allclose(image, mirrored(flight, m), atol=1e-9)


def mirrored_observation(contract, x, m):
    """An observation (inputs, n) as the contract orders it, seen in the mirror."""
    image = x.copy()
    for channel in contract.channels:
        rows = contract.slices()[channel.name]
        if channel.name == "action_history":
            past = x[rows].reshape(-1, 4, x.shape[1])
            image[rows] = past[:, m.motors].reshape(channel.size, -1)
        else:
            image[rows] = x[rows] * m.signs(channel)[:, None]
    return image


@pytest.mark.parametrize("task", ["paper", "crazyflie", "tracking"])
def test_a_trained_policy_answers_the_mirrored_observation_with_the_mirrored_action(task):
    task = with_recipe(make_task(task, CRAZYFLIE), updates=4, environments=16, horizon=(10, 20))
    weights, _ = trainer.optimise(task, 0)
    layers = columns.layers(task.contract, weights)
    x = np.random.default_rng(1).standard_normal((task.contract.size, 20)).astype(np.float32)
    action = act(layers, x)
    assert np.std(action, axis=0).min() > 1e-3  # the motors differ
    for m in mirrors(CRAZYFLIE.layout):
        image = act(layers, mirrored_observation(task.contract, x, m))
        np.testing.assert_allclose(image, action[m.motors], atol=1e-5)


def random_weights(task):
    """The task's symmetry, and weights without any."""
    actor, width = Rollout(task, 8, 10, np.random.default_rng(0)).actor, task.recipe.width
    shapes = (width, actor.history + actor.input.shape[1]), (width, width + 1), (4, width + 1)
    rng = np.random.default_rng(1)
    weights = Weights(*(rng.standard_normal(s).astype(np.float32) for s in shapes))
    return Symmetry(mirrors(CRAZYFLIE.layout), task.contract, width), weights


def test_a_projection_is_done_once_and_loses_what_is_not_symmetric():
    symmetry, w = random_weights(make_task("crazyflie", CRAZYFLIE))
    before = [x.copy() for x in w]
    symmetry.project(w)
    once = [x.copy() for x in w]
    symmetry.project(w)
    for first, second, free in zip(once, w, before, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-6)
        assert abs(np.vdot(free - first, first)) < 1e-3 * np.vdot(first, first)  # at right angles
        assert 0.15 < np.vdot(first, first) / np.vdot(free, free) < 0.35  # a quarter of the dimensions


def test_the_optimisers_step_keeps_the_symmetry():
    symmetry, w = random_weights(make_task("paper", CRAZYFLIE))
    symmetry.project(w)
    step = Weights(*(orthogonalise(x) for x in w))
    again = Weights(*(x.copy() for x in step))
    symmetry.project(again)
    for a, b in zip(step, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_widths_that_mirrors_cannot_divide_are_refused():
    with pytest.raises(ValueError, match="not a multiple of four"):
        trainer.optimise(with_recipe(make_task("paper", CRAZYFLIE), width=18, updates=1), 0)
