"""The contract: one text, one hash, and nothing ambiguous gets in."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfly.contract import (
    CHANNELS,
    AngularAcceleration,
    Channel,
    Contract,
    Integral,
    SpecificForce,
    paper_contract,
)
from tinyfly.errors import UserError

FULL = Contract(
    channels=(
        Channel("action_history", 16),
        Channel("position_error", 3, limit=0.5),
        Channel("rotation", 9),
        Channel("velocity_error", 3, limit=2.0),
        Channel("angular_velocity", 3, scale=0.5),
        Channel("position_integral", 3),
        Channel("specific_force", 3),
        Channel("angular_acceleration", 3),
        Channel("reference_acceleration", 3, scale=0.1),
        Channel("acceleration_preview", 6, scale=0.1),
    ),
    history_length=4,
    integral=Integral(),
    specific_force=SpecificForce(),
    angular_acceleration=AngularAcceleration(),
    preview_s=(0.08, 0.16),
)


def test_a_contract_survives_its_own_text():
    assert Contract.from_json(FULL.to_json()) == FULL


@pytest.mark.parametrize("change", [{"rate_hz": 200.0}, {"hover_action": 0.3}, {"preview_s": (0.08, 0.2)}])
def test_any_change_changes_the_hash(change):
    assert dataclasses.replace(FULL, **change).hash() != FULL.hash()


def test_the_papers_contract_has_146_inputs():
    assert paper_contract().size == 146


def test_slices_cover_the_input_without_gap_or_overlap():
    covered = [i for s in FULL.slices().values() for i in range(s.start, s.stop)]
    assert covered == list(range(FULL.size))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channels": (*FULL.channels, Channel("rotation", 9))}, "twice"),
        ({"channels": (*FULL.channels, Channel("wind", 3))}, "wind"),
        ({"channels": (Channel("rotation", 9), Channel("action_history", 16))}, "first"),
        ({"channels": (Channel("action_history", 12),)}, "size 12"),
        ({"channels": (*FULL.channels[:2], Channel("rotation", 9, scale=float("nan")))}, "scale"),
        ({"channels": (*FULL.channels[:1], Channel("position_error", 3, limit=-1.0))}, "limit"),
        ({"integral": None}, "integral"),
        ({"specific_force": None}, "specific_force"),
        ({"specific_force": SpecificForce(time_constant_s=0.001)}, "time constant"),
        ({"specific_force": SpecificForce(trend_s=0.05)}, "trend"),
        ({"specific_force": SpecificForce(lead_s=-0.1)}, "lead"),
        ({"specific_force": SpecificForce(quiet_m_s2=-0.1)}, "quiet"),
        ({"specific_force": SpecificForce(limit_m_s2=float("nan"))}, "finite"),
        ({"angular_acceleration": None}, "angular_acceleration"),
        ({"angular_acceleration": AngularAcceleration(time_constant_s=0.0)}, "time constant"),
        ({"angular_acceleration": AngularAcceleration(limit_rad_s2=-1.0)}, "limit"),
        ({"angular_acceleration": AngularAcceleration(limit_rad_s2=float("inf"))}, "finite"),
        ({"rate_hz": 5.0}, "rates"),
        ({"hover_action": float("inf")}, "finite"),
        ({"hover_action": 1.0}, "hover_action 1 is not in -1..1"),
        ({"integral": Integral(gain_per_s=-1.0)}, "positive"),
        ({"integral": Integral(limit_m=-1.0)}, "positive"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused_by_name(change, says):
    with pytest.raises(UserError, match=says):
        dataclasses.replace(FULL, **change)


@given(st.text(max_size=200))
def test_foreign_text_gets_one_line_not_a_traceback(text):
    with pytest.raises(UserError) as e:
        Contract.from_json(text)
    assert "\n" not in str(e.value)


def test_every_channel_has_a_unit_and_a_meaning():
    assert all(unit and meaning for _, unit, meaning in CHANNELS.values())
