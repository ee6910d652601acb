"""The serial app: every request, and what it makes of duplicates, replays and strangers."""

from __future__ import annotations

import numpy as np
import pytest
from core import LEVEL, MS, App, moved, reason, state
from hypothesis import given, settings
from hypothesis import strategies as st
from test_firmware_link import frame

from tinyfly_hil.protocol import ENUMS, TABLE, encode

LINK, OWN = ENUMS["clock"]["link"], ENUMS["clock"]["own"]


def test_boot_says_hello_once_with_its_nonce(app):
    assert [(f.name, f.sequence, f.body.boot_nonce, f.body.cause) for f in app.boot] == [
        ("boot", 0, 0x1234, 0)
    ]


def test_identity_tells_who_is_here(app, full_policy):
    who = app.ask("hello")
    assert (who.policy_crc, who.contract_hash) == (full_policy.crc32(), full_policy.contract.hash())
    assert (who.inputs, who.rate_hz, state(who), reason(who)) == (
        full_policy.contract.size,
        100,
        "disarmed",
        "none",
    )
    assert (who.target, who.firmware, who.policy) == ("bridge, cut to ", "tinyfly 0.1.0", "crazyflie")
    assert (who.boot_nonce, who.cost_hz) == (0x1234, 168_000_000)


@pytest.mark.parametrize(
    ("field", "expected"),
    [("boot_nonce", "bad_nonce"), ("policy_crc", "policy_crc"), ("contract_hash", "contract_mismatch")],
)
def test_an_arm_meant_for_another_does_nothing(app, field, expected):
    app.ask("set_clock", clock=LINK)
    for now in range(0, 520 * MS, 10 * MS):
        app.step(now)
    who = app.ask("hello")
    for bit in range(0, 32, 5):
        answer = app.arm(**{field: getattr(who, field) ^ 1 << bit})
        assert (state(answer), reason(answer)) == ("disarmed", expected)
    assert reason(app.arm()) == "none"


def test_a_flight_from_boot_to_stop(app):
    now = app.take_off()
    flying = app.step(now + 10 * MS)
    assert (state(flying), reason(flying), flying.time_us, flying.cost) == (
        "flying",
        "none",
        now + 10 * MS,
        7,
    )
    assert (flying.motors > 0).any()
    stopped = app.ask("stop")
    assert (state(stopped), reason(stopped)) == ("stopped", "none")
    off = app.step(now + 20 * MS)
    assert (state(off), reason(off)) == ("stopped", "stop_requested")
    assert not off.motors.any()
    assert state(app.ask("disarm")) == "disarmed"


def test_stop_is_obeyed_whatever_its_number_and_body(app):
    for sequence, body in [(0, b""), (5, b"whatever"), (40_000, b"")]:
        now = app.take_off()
        (answer,) = app.wire(frame(TABLE.messages["stop"].type, sequence, body))
        assert (state(answer.body), reason(answer.body)) == ("stopped", "none")
        assert not app.step(now + 10 * MS, sequence=40_001).motors.any()
        app.start()
        app.sequence = 0


def test_a_replayed_arm_does_not_restart_stopped_motors(app):
    app.take_off()
    who = app.ask("hello")
    arm = {name: getattr(who, name) for name in ("boot_nonce", "policy_crc", "contract_hash")}
    last = app.sequence
    app.ask("stop")
    app.ask("disarm")
    for sequence in (last, last - 20, app.sequence):
        answer = app.ask("arm", sequence=sequence, **arm)
        assert (state(answer), reason(answer)) == ("disarmed", "old_sequence")
    assert app.ask("get_stats").duplicates == 3


def test_a_host_that_starts_again_may_number_from_one_while_motors_are_off(app):
    app.sequence = 500
    app.setpoint()
    app.sequence = 0
    assert reason(app.setpoint()) == "old_sequence"
    app.ask("hello", sequence=0)
    assert reason(app.setpoint()) == "none"


@pytest.mark.parametrize(("numbers", "gaps"), [([65_535, 1], 0), ([65_534, 2], 2), ([65_535, 0, 1], 0)])
def test_the_numbering_goes_on_after_65535_with_1(app, numbers, gaps):
    app.ask("hello", sequence=numbers[0])
    for number in numbers[1:]:
        assert reason(app.setpoint(sequence=number)) == "none"
    stats = app.ask("get_stats", sequence=numbers[-1] + 1)
    assert (stats.sequence_gaps, stats.duplicates) == (gaps, 0)


def test_a_hello_in_flight_does_not_reopen_old_numbers(app):
    app.take_off()
    old = app.sequence - 10
    app.ask("hello", sequence=old)
    assert reason(app.setpoint(sequence=old + 1)) == "old_sequence"


@pytest.mark.parametrize("ahead", [1, 2, 1000, 0x7FFF, 0x8000, 0xFFFF])
@pytest.mark.parametrize("name", ["hello", "get_stats"])
def test_anothers_question_in_flight_makes_no_frame_of_ours_old(app, name, ahead):
    now = app.take_off()
    number = (app.sequence + ahead) % 2**16
    before = app.ask("get_stats")
    for _ in range(3):
        app.ask(name, sequence=number)
    assert reason(app.step(now + 10 * MS)) == "none"
    after = app.ask("get_stats")
    assert (after.sequence_gaps, after.duplicates) == (before.sequence_gaps, before.duplicates)


def test_a_message_that_nobody_knows_makes_no_frame_of_ours_old(app):
    now = app.take_off()
    (answer,) = app.wire(frame(0x7E, app.sequence + 30_000, b""))
    assert reason(answer.body) == "bad_request"
    assert reason(app.step(now + 10 * MS)) == "none"


def test_our_own_questions_are_no_gaps_and_a_lost_command_among_them_is_one(app):
    now = app.take_off()
    before = app.ask("get_stats").sequence_gaps
    for k in (1, 2, 3):
        app.ask("hello")
        app.ask("get_stats")
        app.step(now + k * 10 * MS)
    assert app.ask("get_stats").sequence_gaps == before
    app.sequence += 1
    app.step(now + 40 * MS)
    assert app.ask("get_stats").sequence_gaps == before + 1


def armed_again(app, now):
    """The state, half a second of good states, an arm and a second of steps later."""
    steps = range(now + 10 * MS, now + 1600 * MS, 10 * MS)
    for time_us in steps[:55]:
        app.step(time_us)
    assert reason(app.arm()) == "none"
    return [state(app.step(time_us)) for time_us in steps[55:]][-1]


@pytest.mark.parametrize("how", [["disarm"], ["stop", "disarm"]])
def test_a_landed_vehicle_that_is_armed_again_does_not_fly_to_its_old_setpoint(app, how):
    now = app.take_off()
    for request in how:
        last = app.ask(request)
        assert not last.flags & 1 << ENUMS["flag"]["fresh_setpoint"]
    assert armed_again(app, now) == "armed"  # as after a boot: it idles until it is told where to be
    app.setpoint()
    assert state(app.step(now + 1600 * MS)) == "flying"


def test_a_clock_chosen_anew_forgets_the_setpoint_of_before(app):
    app.setpoint()
    app.ask("set_clock", clock=LINK)
    assert armed_again(app, 0) == "armed"


def test_a_setpoint_of_before_the_arm_counts(app):
    now = app.take_off()
    app.ask("disarm")
    app.setpoint()
    assert armed_again(app, now) == "flying"


@pytest.mark.parametrize("name", ["set_clock", "infer", "reset", "run_self_test"])
def test_what_is_not_for_flight_is_refused_in_flight(app, name, full_policy):
    app.take_off()
    values = {"set_clock": {"clock": OWN}, "infer": {"observation": np.zeros(full_policy.contract.size)}}
    assert reason(app.ask(name, **values.get(name, {}))) == "not_disarmed"
    assert app.controller.state == "flying"


def test_the_battery_is_compensated_over_the_link(app):
    now = app.take_off()
    plain = app.step(now + 10 * MS).motors
    assert reason(app.ask("compensate", factor=1.1)) == "none"
    stronger = app.ask("tick", time_us=now + 10 * MS + 1).motors
    np.testing.assert_array_equal(stronger, np.minimum(plain * np.float32(1.1), np.float32(1)))


def test_reset_with_motors_off_reboots(app, library):
    assert app.wire(encode("reset", 1)) == []
    assert library.bridge_resets() == 1


def test_inference_is_the_networks_bit_for_bit_even_on_any_bits(app, full_policy):
    rng = np.random.default_rng(1)
    for scale in (1, 100):
        observation = (scale * rng.standard_normal(full_policy.contract.size)).astype(np.float32)
        answer = app.ask("infer", observation=observation)
        np.testing.assert_array_equal(answer.action, full_policy.act_exact(observation[:, None])[:, 0])
    app.ask("infer", observation=np.full(full_policy.contract.size, np.nan))
    app.take_off()  # the NaNs stay behind
    assert app.controller.state == "flying"


def test_a_request_of_the_wrong_size_or_kind_is_refused_by_name(app):
    odd = [
        (0x03, b"short"),
        (0x06, b""),
        (0x07, b"\x09"),
        (0x0A, b"12345678"),
        (0x0A, b"123"),
        (0x0D, b""),
        (0x7F, b""),
    ]
    for n, (kind, body) in enumerate(odd):
        (answer,) = app.wire(frame(kind, n + 1, body))
        assert (answer.name, reason(answer.body)) == ("status", "bad_request")
    for n, kind in enumerate((0x05, 0x08)):
        (answer,) = app.wire(frame(kind, 50 + n, b"123"))
        assert (answer.name, reason(answer.body)) == ("control", "bad_request")
    stats = app.ask("get_stats")
    assert stats.refusals == len(odd) + 2
    assert stats.bad_frame == 1


def test_counters_count(app):
    app.ask("hello", sequence=10)
    app.setpoint(sequence=15)
    app.setpoint(sequence=15)
    damaged = bytearray(encode("stop", 16))
    damaged[2] ^= 1
    app.wire(bytes(damaged) + b"\x03ab\0")
    app.step(0, sequence=17)
    app.step(1, moved(position=[np.nan]), sequence=18)
    stats = app.ask("get_stats", sequence=19)
    assert (stats.sequence_gaps, stats.duplicates, stats.bad_crc, stats.bad_frame) == (5, 1, 1, 1)
    assert (stats.guard_state, stats.steps, stats.stack_bytes, stats.frames) == (1, 2, 1234, 6)


def test_bytes_beyond_the_ring_are_counted_and_lost_not_mixed_up(app, library):
    flood = encode("hello", 1) * 300
    library.bridge_receive(app.handle, flood, len(flood))
    app.poll()
    assert len(app.sent()) == 2048 // len(encode("hello", 1))
    app.wire(b"\0")
    assert app.ask("get_stats").overruns == len(flood) - 2048


messages = st.sampled_from(["hello", "stop", "disarm", "get_stats", "run_self_test", "reset"])


@given(st.lists(st.binary(max_size=30) | messages.map(lambda name: encode(name, 1)), max_size=30))
@settings(max_examples=100)
def test_no_bytes_without_an_arm_ever_turn_a_motor(library, pieces):
    app = App(library)
    for piece in pieces:
        for answer in app.wire(piece):
            assert answer.name != "control" or not answer.body.motors.any()
    app.wire(b"\0")  # ends whatever the pieces left open
    assert not app.step(10**9 + 1, LEVEL, sequence=30_000).motors.any()
