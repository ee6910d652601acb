"""The world around the chip."""

from dataclasses import replace

import pytest
from policies import random_policy

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.state import ROTOR_SPEED, VELOCITY
from tinyfly_hil.flight import Twin, fly
from tinyfly_hil.world import Scenario, World, pushed

MINE = replace(Airframe.load("cf2x_L250"), name="mine", mass_kg=0.04)  # no name that tinyfly knows


@pytest.mark.parametrize(("named", "flown"), [("", MINE), ("cf21B_500", Airframe.load("cf21B_500"))])
def test_a_policy_is_flown_on_the_airframe_it_was_trained_for_unless_another_is_named(named, flown):
    policy = replace(random_policy(paper_contract()), airframe=MINE.to_dict())
    flight = fly(Scenario("one step", 0.01, airframe=named), Twin(policy))
    assert flight.truth[0][ROTOR_SPEED] == pytest.approx([flown.hover_fraction] * 4)


WIND = {"force_n": (0.015, -0.01, 0.0), "torque_nm": (2e-5, -2e-5, 1e-5)}


@pytest.mark.parametrize("mass_kg", [0.012, 6.0])
def test_a_push_on_another_airframe_is_the_same_share_of_its_weight(mass_kg):
    other = replace(MINE, mass_kg=mass_kg, thrust_n=(0.0, 0.0, mass_kg * 5))
    crazyflie = Airframe.load("crazyflie")
    for name, on_crazyflie in WIND.items():
        share = [x / other.weight_n for x in pushed(other, **WIND)[name]]
        assert share == pytest.approx([x / crazyflie.weight_n for x in on_crazyflie])


def test_a_push_on_the_default_airframe_is_what_it_says_to_the_bit():
    assert pushed(Airframe.load("crazyflie"), **WIND) == WIND


def test_a_pushed_vehicle_is_blown_away_as_fast_whatever_it_weighs():
    light = replace(MINE, mass_kg=0.004, thrust_n=(0.0, 0.0, 0.02), drag_n_s_m=(0.0, 0.0, 0.0))
    heavy = replace(light, mass_kg=4.0, thrust_n=(0.0, 0.0, 20.0))
    found = []
    for airframe in (light, heavy):
        world = World(Scenario("wind", 0.01, **pushed(airframe, force_n=WIND["force_n"])), airframe)
        world.advance(world.state[ROTOR_SPEED, 0])
        found.append(world.state[VELOCITY, 0][:2])
    assert found[0] == pytest.approx(found[1]) and found[0].any()
