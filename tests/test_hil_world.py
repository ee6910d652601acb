"""The world around the chip."""

from dataclasses import replace

import pytest
from policies import random_policy

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.state import ROTOR_SPEED
from tinyfly_hil.flight import Twin, fly
from tinyfly_hil.world import Scenario

MINE = replace(Airframe.load("cf2x_L250"), name="mine", mass_kg=0.04)  # no name that tinyfly knows


@pytest.mark.parametrize(("named", "flown"), [("", MINE), ("cf21B_500", Airframe.load("cf21B_500"))])
def test_a_policy_is_flown_on_the_airframe_it_was_trained_for_unless_another_is_named(named, flown):
    policy = replace(random_policy(paper_contract()), airframe=MINE.to_dict())
    flight = fly(Scenario("one step", 0.01, airframe=named), Twin(policy))
    assert flight.truth[0][ROTOR_SPEED] == pytest.approx([flown.hover_fraction] * 4)
