"""In its modes a symmetric policy is the same policy, with a quarter of the work, and the same bits in C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import Native
from policies import mirrored_inputs, random_policy, symmetric_policy

from tinyfly import columns, trainer
from tinyfly.airframe import Airframe
from tinyfly.contract import AngularAcceleration, Channel, Contract, Integral, SpecificForce, paper_contract
from tinyfly.mirror import mirrors
from tinyfly.modal import MIRRORS, MOTORS, fold, modal
from tinyfly.network import Layer, act_exact
from tinyfly.observation import Observer
from tinyfly.task import make_task, with_recipe

CRAZYFLIE = Airframe.load("crazyflie")


@pytest.fixture(scope="module")
def native() -> Native:
    return Native.build()


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Any channels, in any order, with any history."""
    slots, previews = draw(st.sampled_from([0, 1, 5, 32])), draw(st.integers(0, 3))
    sizes = {"position_error": 3, "rotation": 9, "velocity_error": 3, "angular_velocity": 3}
    sizes |= {"position_integral": 3, "specific_force": 3, "angular_acceleration": 3}
    sizes |= {"reference_acceleration": 3}
    sizes |= {"acceleration_preview": 3 * previews} if previews else {}
    names = draw(st.lists(st.sampled_from(sorted(sizes)), unique=True, min_size=0 if slots else 1))
    past = [Channel("action_history", 4 * slots)] if slots else []
    return Contract(
        channels=(*past, *(Channel(name, sizes[name]) for name in names)),
        history_length=slots,
        integral=Integral() if "position_integral" in names else None,
        specific_force=SpecificForce() if "specific_force" in names else None,
        angular_acceleration=AngularAcceleration() if "angular_acceleration" in names else None,
        preview_s=tuple(0.1 * (1 + i) for i in range(previews if "acceleration_preview" in names else 0)),
    )


WIDTHS = st.lists(st.integers(1, 20).map(lambda groups: 4 * groups), min_size=1, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(contract=contracts(), widths=WIDTHS, seed=st.integers(0, 1000))
def test_the_modes_are_the_whole_network(contract, widths, seed):
    policy = symmetric_policy(contract, tuple(widths), seed)
    x = np.random.default_rng(seed).standard_normal((contract.size, 20)).astype(np.float32)
    assert policy.modal is not None
    np.testing.assert_allclose(policy.act_exact(x), act_exact(policy.layers, x), atol=2e-5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(contract=contracts(), widths=WIDTHS, seed=st.integers(0, 1000), split=st.floats(0, 1))
def test_c_has_the_bits_of_the_definition_whole_or_split(native, contract, widths, seed, split):
    policy = symmetric_policy(contract, tuple(widths), seed)
    x = np.random.default_rng(seed).standard_normal((contract.size, 9)).astype(np.float32)
    x[:, 4] *= np.float32(1e20)
    x[:, 5], x[:, 6], x[0, 7], x[-1, 8] = np.float32(1e-40), np.float32(3e38), np.nan, -np.inf
    expected = policy.act_exact(x).view(np.uint32)
    n_old = 4 * int(split * contract.history_length)
    for found in (native.act_modal(policy.modal, x), native.act_modal(policy.modal, x, n_old)):
        assert np.array_equal(np.ascontiguousarray(found).view(np.uint32), expected)


def test_one_column_has_the_bits_of_many():
    policy = symmetric_policy(paper_contract())
    x = policy.golden_observation
    single = np.concatenate([policy.act_exact(x[:, i : i + 1]) for i in range(x.shape[1])], axis=1)
    assert np.array_equal(single.view(np.uint32), policy.golden_action.view(np.uint32))


@pytest.mark.parametrize("task", ["paper", "crazyflie", "tracking"])
def test_a_trained_policy_runs_in_modes_with_a_quarter_of_the_multiply_adds(task):
    task = with_recipe(make_task(task, CRAZYFLIE), updates=2, environments=8, horizon=(4, 8))
    layers = columns.layers(task.contract, trainer.optimise(task, 0)[0])
    found = modal(task.contract, layers)
    assert found is not None
    assert found.multiply_adds < 0.3 * sum(layer.weight.size for layer in layers)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_weight_that_is_one_last_bit_off_has_no_modes(layer, part):
    layers = list(symmetric_policy(paper_contract()).layers)
    array = getattr(layers[layer], part).copy()
    array.flat[-1] = np.nextafter(array.flat[-1], np.float32(9))
    layers[layer] = replace(layers[layer], **{part: array})
    assert modal(paper_contract(), tuple(layers)) is None


def test_neither_have_a_network_without_mirrors_or_hidden_layers_nor_widths_not_of_four():
    for widths in ((16, 16), (), (18,)):
        assert random_policy(paper_contract(), widths).modal is None
    assert symmetric_policy(paper_contract(), ()).modal is None


def test_the_last_layer_need_not_be_symmetric():
    layers = symmetric_policy(paper_contract()).layers
    last = Layer(layers[-1].weight * np.float32(1.5), np.arange(4, dtype=np.float32))
    changed = (
        *layers[:-1],
        replace(last, weight=last.weight + np.float32(0.1) * np.eye(4, 16, dtype=np.float32)),
    )
    x = np.random.default_rng(0).standard_normal((146, 8)).astype(np.float32)
    np.testing.assert_allclose(
        modal(paper_contract(), changed).act_exact(x), act_exact(changed, x), atol=1e-5
    )


def test_folding_twice_gives_four_times_the_same_and_the_modes_are_thrust_pitch_roll_yaw():
    np.testing.assert_array_equal(fold(fold(np.arange(4.0))), 4 * np.arange(4.0))
    x, y = np.array(CRAZYFLIE.rotor_position_m)[MOTORS, :2].T
    levers = [np.ones(4), x, y, np.array(CRAZYFLIE.layout[2])[MOTORS]]
    for k, lever in enumerate(levers):
        found = fold(lever)
        assert np.flatnonzero(np.abs(found) > 1e-6).tolist() == [k]


def test_the_mirrors_are_those_of_a_crazyflie():
    for ours, found in zip(MIRRORS, mirrors(CRAZYFLIE.layout), strict=True):
        assert (ours.x, ours.y, *ours.motors) == (found.x, found.y, *found.motors)


def test_what_is_observed_of_a_mirrored_flight_is_the_mirror_image_of_what_is_observed():
    """The signs of every channel, from the observer itself."""
    contract = replace(make_task("crazyflie", CRAZYFLIE).contract)
    rng = np.random.default_rng(0)
    for m in MIRRORS:
        observers = Observer(contract, 1), Observer(contract, 1)
        index, signs = mirrored_inputs(contract, m)
        for k in range(8):
            sensed = rng.standard_normal((13, 1)).astype(np.float32)
            reference = rng.standard_normal((9 + 3 * len(contract.preview_s), 1)).astype(np.float32)
            action = rng.uniform(-1, 1, (4, 1)).astype(np.float32)
            image = sensed * np.concatenate([m.polar, [1], m.axial, m.polar, m.axial])[:, None].astype(
                np.float32
            )
            mirrored = reference * np.resize(m.polar, len(reference))[:, None].astype(np.float32)
            seen = observers[0].observe(10_000 * k, sensed, reference)
            found = observers[1].observe(10_000 * k, image, mirrored)
            np.testing.assert_allclose(found, seen[index] * signs[:, None], atol=1e-5)
            observers[0].record(action)
            observers[1].record(action[m.motors])
