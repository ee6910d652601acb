"""Is a set-point flown as it is meant? A failure here: the set-point's decoding, its clock, the paths."""

import numpy as np
import pytest

from tinyfly_hil.flight import lift
from tinyfly_hil.protocol import name_of
from tinyfly_hil.target import Refused
from tinyfly_hil.world import LEVEL, Scenario, World


def answers(target, kind, values, steps=30, start_us=0):
    """(steps, 4) what a chip at rest in the origin is told to do about a set-point."""
    control = lift(target, Scenario(kind, 1.0, kind, values), LEVEL, start_us)
    motors = [control.motors]
    for k in range(1, steps):
        target.setpoint(kind, values)
        motors.append(target.step(control.time_us + 10_000 * k, LEVEL).motors)
    target.stop()
    target.disarm()
    return np.array(motors)


def test_a_velocity_is_clipped_to_2_m_s_an_axis(target):
    fast = answers(target, "velocity", (7.0, -3.0, 2.5))
    clipped = answers(target, "velocity", (2.0, -2.0, 2.0), start_us=5_000_000)
    slower = answers(target, "velocity", (1.9, -2.0, 2.0), start_us=10_000_000)
    assert (fast == clipped).all() and not (fast == slower).all()


def test_hover_is_the_position_where_the_flight_begins(target):
    assert (answers(target, "hover", ()) == answers(target, "position", (0, 0, 0), start_us=5_000_000)).all()


def test_a_reference_is_taken_whole_previews_too(target, policy):
    still = answers(target, "reference", (0,) * 9)
    assert (still == answers(target, "position", (0, 0, 0), start_us=5_000_000)).all()
    seen = {c.name for c in policy.contract.channels}
    used = [0, 3, 6] if "reference_acceleration" in seen else [0, 3]
    used += (
        [9 + 3 * k for k in range(len(policy.contract.preview_s))] if "acceleration_preview" in seen else []
    )
    for row in used:
        values = [0.0] * 18
        values[row] = 1.0
        moved = answers(target, "reference", values, 2, start_us=5_000_000 * (2 + row))
        assert (moved != still[:2]).any(), f"value {row} plays no part"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("position", (95.1, 0, 0)),
        ("reference", (0, 0, -95.1, *[0] * 6)),
        ("waypoints", (1, 1, 0, 95.1, 0)),
        ("figure_eight", (94.5, 0, 0, 1, 1, 5.5, 2)),
    ],
)
def test_no_place_is_taken_from_which_a_flight_would_leave_what_the_guard_believes(target, kind, values):
    with pytest.raises(Refused) as refusal:
        target.setpoint(kind, values)
    assert refusal.value.reason == "bad_setpoint"


@pytest.mark.parametrize("kind", ["velocity", "position"])
def test_a_flight_towards_the_end_of_the_box_ends_within_it(target, kind):
    values = {"velocity": (2.0, 0.0, 0.0), "position": (95.0, 0.0, 0.0)}[kind]
    start = (93.0, 0, 0, *LEVEL[3:])
    scenario = Scenario("to the end", 5.0, kind, values, start=tuple(map(float, start)))
    world = World(scenario, target.airframe)
    control = lift(target, scenario, world.sense())
    for _ in range(scenario.steps):
        world.advance(control.motors)
        if kind == "velocity":
            target.setpoint(kind, values)
        control = target.step(control.time_us + scenario.period_us, world.sense())
    assert name_of("state", control.state) == "flying"
    assert 94.5 < world.position[0] < 96


@pytest.mark.parametrize("said", [None, "before the disarm", "after it"])
def test_armed_again_it_flies_to_what_it_is_told_since_the_disarm_and_idles_without(target, said):
    now = lift(target, Scenario("away", 1.0, "position", (1.0, 0.0, 0.0)), LEVEL).time_us
    target.stop()
    if said == "before the disarm":
        target.setpoint("hover")
    target.disarm()
    if said == "after it":
        target.setpoint("hover")
    for k in range(1, 60):
        target.step(now + 10_000 * k, LEVEL)
    target.arm()
    for k in range(60, 120):
        control = target.step(now + 10_000 * k, LEVEL)
    assert name_of("state", control.state) == ("flying" if said == "after it" else "armed")


@pytest.mark.parametrize("kind", ["velocity", "reference"])
def test_what_has_to_be_renewed_and_is_not_degrades_at_100_ms_and_ends_at_500_ms(target, kind):
    # It counts from its sending, before the warm-up: so it is renewed once in the air.
    now = lift(target, Scenario("hover", 1.0), LEVEL).time_us
    target.setpoint(kind, (0,) * 18)
    seen = {}
    for late_us in (90_000, 99_999, 100_000, 180_000, 260_000, 340_000, 420_000, 499_999, 500_000):
        control = target.step(now + late_us, LEVEL)
        seen[late_us] = name_of("state", control.state), name_of("reason", control.reason)
    assert seen[99_999] == ("flying", "none")
    assert seen[100_000] == seen[499_999] == ("degraded", "stale_setpoint")
    assert seen[500_000] == ("failsafe", "stale_setpoint")
