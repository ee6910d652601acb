"""The family of airframes that is trained for, and the references it follows."""

from dataclasses import replace

import numpy as np
import pytest
from rollouts import CRAZYFLIE, rollout_of

from tinyfly import task as tasks
from tinyfly.airframe import GRAVITY_M_S2, Airframe, names
from tinyfly.episodes import DT
from tinyfly.population import Fixed, Ranges


def test_references_move_as_their_derivatives_say():
    rollout, _ = rollout_of(tasks.crazyflie(CRAZYFLIE))
    velocity, acceleration = rollout.episodes.references(200)
    slope = (velocity[2:] - velocity[:-2]) / (2 * DT)
    assert np.abs(slope - acceleration[1:-1]).max() < 0.01 * np.abs(acceleration).max()
    rollout.episodes.advance_references(50 * DT)
    np.testing.assert_allclose(rollout.episodes.references(100)[0], velocity[50:150], atol=1e-3)


def test_hover_action_of_a_population_carries_the_weight():
    p = Ranges(CRAZYFLIE.layout).sample(np.random.default_rng(0), 500)
    u, (c0, c1, c2) = (p.hover_action + 1) / 2, p.curve
    thrust = 4 * p.thrust * (c0 + c1 * u + c2 * u * u)
    able = p.thrust * 4 > GRAVITY_M_S2
    np.testing.assert_allclose(thrust[able], GRAVITY_M_S2, rtol=1e-9)
    assert Fixed(CRAZYFLIE).sample(np.random.default_rng(0), 1).hover_action[0] == pytest.approx(
        CRAZYFLIE.hover_action, abs=1e-12
    )


def test_a_heavier_sister_is_slowed_less_by_the_same_air():
    airframe = Airframe.load("cf21B_500")
    p = Fixed(airframe, mass=(0.75, 1.25)).sample(np.random.default_rng(0), 50)
    mass_kg = sum(airframe.thrust_n) / p.thrust
    np.testing.assert_allclose(p.drag * mass_kg, np.mean(airframe.drag_n_s_m))


def test_more_environments_than_are_drawn_at_once_start_and_restart_together():
    rollout, _ = rollout_of(tasks.paper(CRAZYFLIE), n=1100, steps=2)
    rollout.restart(np.arange(1100))
    assert (rollout.episodes.scale > 0).all()


@pytest.mark.parametrize("name", names())
def test_the_training_ranges_hold_every_named_airframe(name):
    p, r = Fixed(Airframe.load(name)).sample(np.random.default_rng(0), 1), Ranges(CRAZYFLIE.layout)

    def inside(value, bounds):
        return bounds[0] <= value <= bounds[1]

    thrust_to_weight = 4 * p.thrust[0] / GRAVITY_M_S2
    assert inside(thrust_to_weight, r.thrust_to_weight)
    assert inside(p.torque[0, 0] / thrust_to_weight, r.roll) and inside(
        p.torque[2, 0] / p.torque[0, 0], r.yaw
    )
    assert inside(
        p.torque[1, 0] / p.torque[0, 0], (r.asymmetry[0] / r.asymmetry[1], r.asymmetry[1] / r.asymmetry[0])
    )
    assert inside(p.rise_s[0], r.rise_s) and inside(p.fall_s[0], r.fall_s) and inside(p.drag[0], r.drag)
    assert inside(p.spin_s[0], r.spin_s)


@pytest.mark.parametrize("name", names())
def test_a_crazyflie_leaves_the_family_as_it_is(name):
    airframe = Airframe.load(name)
    assert Ranges.around(airframe) == Ranges(airframe.layout)


def test_another_airframe_is_taken_into_the_family():
    racer = replace(
        CRAZYFLIE,
        mass_kg=0.65,
        inertia_kg_m2=(1.6e-3, 2.9e-3, 4.2e-3),
        rotor_position_m=tuple((3 * x, 3 * y, 0.0) for x, y, _ in CRAZYFLIE.rotor_position_m),
        thrust_n=(0.2, 0.5, 7.0),
        torque_nm=(0.0, 0.0, 0.1),
        rotor_rise_per_s=(40.0, 0.0),
        rotor_inertia_kg_m2=2e-5,
        drag_n_s_m=(0.5, 0.5, 0.5),
    )
    own, family = Fixed(racer).sample(np.random.default_rng(0), 1), Ranges.around(racer)
    drawn = family.sample(np.random.default_rng(0), 4000)
    for get in (
        lambda p: p.thrust,
        lambda p: p.torque[0],
        lambda p: p.torque[1] / p.torque[0],
        lambda p: p.torque[2] / p.torque[0],
        lambda p: p.rise_s,
        lambda p: p.fall_s,
        lambda p: p.drag,
        lambda p: p.spin_s,
        lambda p: p.curve[1],
    ):
        assert get(drawn).min() <= get(own)[0] <= get(drawn).max()


def test_half_of_the_family_is_off_its_centre_and_nobody_who_lacks_the_thrust():
    family = Ranges(CRAZYFLIE.layout)
    p = family.sample(np.random.default_rng(0), 4000)
    off, thrust_to_weight = np.abs(p.strength - 1).max(0), 4 * p.thrust / GRAVITY_M_S2
    np.testing.assert_allclose(p.strength.mean(0), 1, atol=1e-12)
    strong = thrust_to_weight > 2.2
    assert (off[strong] == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (off[thrust_to_weight < 1.4] == 0).all()
    # towards a corner, both levers count
    assert 0.9 * family.centre[1] < off[strong].max() / np.sqrt(2) <= family.centre[1]
