"""The supervisor's table, enumerated: every state, every event, every set of conditions."""

from __future__ import annotations

import ctypes
import itertools

import pytest
from core import EVENTS, FIRST_CONDITION, STATES, SupervisorData

from tinyfly_hil.protocol import ENUMS, name_of

TURNING = {"armed", "flying", "degraded"}
UNTESTED = {"boot", "self_test", "refused"}
CONDITIONS = EVENTS[FIRST_CONDITION:]
FAULTS = CONDITIONS[:-1]
AFTER_TEST = {
    "test_passed": ("disarmed", "none"),
    "test_weights": ("refused", "policy_crc"),
    "test_contract": ("refused", "contract_mismatch"),
    "test_golden": ("refused", "golden_mismatch"),
}
LOST = {
    "state_refused": "guard_refused",
    "state_lost": "link_lost",
    "setpoint_lost": "stale_setpoint",
}
DEGRADES = {
    "state_stale": "stale_state",
    "state_non_finite": "non_finite_state",
    "state_implausible": "implausible_state",
    "action_non_finite": "non_finite_action",
}


def rule(state: str, was: str, event: str) -> tuple[str, str, str]:
    """The rules: the next state, its reason, and the refusal; ``was`` is the state's reason so far."""
    stay = (state, was, "none")
    if event == "stop":  # motors are off already in the states before a passed self-test, which stay shut
        return stay if state in UNTESTED | {"stopped"} else ("stopped", "stop_requested", "none")
    if event in ("disarm", "arm", "arm_stale", "arm_unsettled"):
        if state in ("boot", "self_test"):
            return state, was, "self_test_pending"
        if state == "refused":
            return state, was, was
    if event == "disarm":
        return stay if state == "disarmed" else ("disarmed", "none", "none")
    if event == "test_begins":
        if state == "self_test":
            return state, was, "self_test_pending"
        allowed = state in ("boot", "refused", "disarmed")
        return ("self_test", "self_test_pending", "none") if allowed else (state, was, "not_disarmed")
    if event in AFTER_TEST:
        return (*AFTER_TEST[event], "none") if state == "self_test" else stay
    if event.startswith("arm"):
        if state not in ("disarmed", "degraded"):
            return state, was, "not_disarmed"
        if event == "arm":
            return "armed" if state == "disarmed" else "flying", "none", "none"
        return state, was, "stale_state" if event == "arm_stale" else "link_not_settled"
    return (*condition(state, was, event), "none")


def condition(state: str, was: str, event: str) -> tuple[str, str]:
    if event == "ready":
        return ("flying", "none") if state == "armed" else (state, was)
    if event == "descent_over":
        return ("failsafe", event) if state == "degraded" else (state, was)
    if event in LOST:
        on_the_ground = event == "setpoint_lost" and state == "armed"
        return ("failsafe", LOST[event]) if state in TURNING and not on_the_ground else (state, was)
    if event == "setpoint_stale":
        return ("degraded", "stale_setpoint") if state == "flying" else (state, was)
    if state == "armed":
        return "failsafe", DEGRADES[event]
    return ("degraded", DEGRADES[event]) if state == "flying" else (state, was)


def at(state: str, reason: str = "bad_request") -> SupervisorData:
    """A supervisor put into a state, with a reason that no row gives."""
    return SupervisorData(ENUMS["state"][state], ENUMS["reason"][reason], 123)


def names(s: SupervisorData) -> tuple[str, str]:
    return name_of("state", s.state), name_of("reason", s.reason)


def handle(library: ctypes.CDLL, s: SupervisorData, event: str) -> str:
    return name_of("reason", library.tf_supervisor_handle(ctypes.byref(s), EVENTS.index(event)))


@pytest.mark.parametrize("event", EVENTS)
def test_every_cell_of_the_table_follows_the_rules(library, event):
    for state in STATES:
        s = at(state)
        refusal = handle(library, s, event)
        assert (*names(s), refusal) == rule(state, "bad_request", event), state
        assert s.time_us == (123 if names(s)[1] == "bad_request" else 0)


def test_every_set_of_conditions_takes_the_gravest_that_moves(library):
    for state, chosen in itertools.product(STATES, range(1 << len(CONDITIONS))):
        s = at(state)
        library.tf_supervisor_step(ctypes.byref(s), 1, ctypes.c_uint32(chosen << FIRST_CONDITION))
        holding = [e for i, e in enumerate(CONDITIONS) if chosen >> i & 1]
        moves = (condition(state, "bad_request", e) for e in holding)
        expected = next((m for m in moves if m[1] != "bad_request"), (state, "bad_request"))
        assert names(s) == expected, (state, holding)


def reachable(library: ctypes.CDLL, without: set[str]) -> set[str]:
    """States that any sequence of events leads to from boot."""
    found, edge = {"boot"}, ["boot"]
    while edge:
        here = edge.pop()
        for event in set(EVENTS) - without:
            s = at(here)
            handle(library, s, event)
            if (there := names(s)[0]) not in found:
                found.add(there)
                edge.append(there)
    return found


def test_every_state_can_be_reached(library):
    assert reachable(library, set()) == set(STATES)


@pytest.mark.parametrize("missing", ["test_begins", "test_passed", "arm"])
def test_no_path_to_turning_motors_without(library, missing):
    assert not reachable(library, {missing}) & TURNING


@pytest.mark.parametrize("state", STATES)
def test_stop_ends_with_motors_off_from_every_state_at_once(library, state):
    s = at(state)
    handle(library, s, "stop")
    assert names(s)[0] not in TURNING
    assert library.tf_supervisor_output(ctypes.byref(s)) == 0


def test_motors_turn_only_in_three_states(library):
    outputs = {state: library.tf_supervisor_output(ctypes.byref(at(state))) for state in STATES}
    assert {state for state, output in outputs.items() if output} == TURNING


def test_no_fault_ever_leads_to_more_freedom(library):
    order = ["flying", "degraded", "failsafe"]
    for state, event in itertools.product(order, FAULTS):
        s = at(state)
        handle(library, s, event)
        assert order.index(names(s)[0]) >= order.index(state)


def test_time_in_a_state_is_counted_and_never_wraps(library):
    s = at("flying")
    library.tf_supervisor_step(ctypes.byref(s), ctypes.c_uint32(2**32 - 1), 0)
    assert s.time_us == 2**32 - 1
