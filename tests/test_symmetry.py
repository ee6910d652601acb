"""Mirror images: the physics has them, so the policy has them, and keeping them costs training nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tinyfly import columns, trainer
from tinyfly.airframe import Airframe, names
from tinyfly.dynamics import Dynamics
from tinyfly.mirror import mirrors
from tinyfly.network import act
from tinyfly.optimizer import Muon
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY
from tinyfly.symmetry import Symmetry
from tinyfly.task import make_task, with_recipe
from tinyfly.weights import Weights

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


PLUS = replace(
    CRAZYFLIE, rotor_position_m=((0.03, 0, 0), (0, -0.03, 0), (-0.03, 0, 0), (0, 0.03, 0))
)  # only half a turn maps it onto itself


CONTRACT = make_task("crazyflie", CRAZYFLIE).contract
COLUMNS = len(columns.input_scale(CONTRACT))


@pytest.fixture(params=["both planes", "half a turn", "none"])
def drawn(request):
    """A symmetry, and whole weights without any."""
    airframe = PLUS if request.param == "half a turn" else CRAZYFLIE
    width = 16
    found = mirrors(airframe.layout) if request.param != "none" else []
    rng, shapes = np.random.default_rng(1), ((width, COLUMNS), (width, width + 1), (4, width + 1))
    return Symmetry(found, CONTRACT, width), Weights(*(rng.standard_normal(s) for s in shapes))


def size(w):
    return sum(np.vdot(x, x) for x in w)


def test_modes_are_the_symmetric_part_of_a_network_and_make_it_again(drawn):
    symmetry, free = drawn
    modes = symmetry.modes(free)
    whole = symmetry.whole(modes)
    assert size(modes) == pytest.approx(size(whole))  # coordinates that keep lengths
    rest = sum(np.vdot(a - b, b) for a, b in zip(free, whole, strict=True))
    assert abs(rest) < 1e-9 * size(whole)  # what is lost is at right angles to what is kept
    share = 1 / symmetry.order
    assert 0.7 * share < size(whole) / size(free) < 1.3 * share
    for a, b in zip(symmetry.modes(whole), modes, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_step_in_modes_is_the_step_of_the_whole_network(drawn):
    """Muon's: the polar factor, whose singular values are one, of the whole is that of its modes."""
    symmetry, free = drawn
    modes = symmetry.modes(free)

    def polar(x):
        u, _, v = np.linalg.svd(x, full_matrices=False)
        return u @ v

    ours = symmetry.whole(Weights(*(polar(x) for x in modes)))
    for a, b in zip(ours, symmetry.whole(modes), strict=True):
        np.testing.assert_allclose(a, polar(b), atol=1e-9)


def test_muons_step_is_as_large_in_modes_as_of_the_whole(drawn):
    symmetry, free = drawn
    modes, sizes = symmetry.modes(free), []
    for gradient in (modes, symmetry.whole(modes)):
        w = Weights(*(np.zeros_like(x) for x in gradient))
        Muon(w, np.ones(w.first.shape[-1])).step(w, gradient, 1.0)
        sizes.append([np.linalg.norm(x) for x in w])
    np.testing.assert_allclose(*sizes, rtol=0.45)  # Newton-Schulz leaves singular values of .7 to 1.2


def test_what_mirrors_make_alike_is_so_to_the_last_bit(drawn):
    symmetry, free = drawn
    whole = symmetry.whole(Weights(*(x.astype(np.float32) for x in symmetry.modes(free))))
    for k, m in enumerate(symmetry.found, 1):
        units = np.arange(symmetry.width) ^ k
        biased = np.append(units, symmetry.width)
        past = (np.arange(128).reshape(-1, 4)[:, m.motors]).ravel()
        seen, signs = np.append(past, np.arange(128, COLUMNS)), columns.mirror_signs(CONTRACT, m)
        assert (whole.first == whole.first[units][:, seen] * signs).all()
        assert (whole.second == whole.second[units][:, biased]).all()
        assert (whole.last == whole.last[m.motors][:, biased]).all()


def test_a_number_for_each_column_is_found_in_modes_where_its_column_is(drawn):
    symmetry, free = drawn
    scale = np.append(np.full(128, 0.5), np.random.default_rng(2).uniform(1, 9, COLUMNS - 128))
    scaled = symmetry.modes(replace(free, first=free.first * scale))
    np.testing.assert_allclose(symmetry.modes(free).first * symmetry.inputs(scale), scaled.first)


def test_widths_that_mirrors_cannot_divide_are_refused():
    with pytest.raises(ValueError, match="not a multiple of four"):
        trainer.optimise(with_recipe(make_task("paper", CRAZYFLIE), width=18, updates=1), 0)
