"""The app's two clocks: lock-step, where time is what the frames say, and the chip's own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from core import MS, App, moved, reason, state

from tinyfly_hil.protocol import ENUMS, encode

LINK, OWN = ENUMS["clock"]["link"], ENUMS["clock"]["own"]


def test_reordered_and_repeated_steps_change_nothing(app):
    now = app.take_off()
    good = app.step(now + 10 * MS)
    again = app.step(now + 10 * MS, state=moved(position=[1, 1, 1]), sequence=app.sequence)
    np.testing.assert_array_equal(again.motors, good.motors)
    assert reason(again) == "old_sequence"
    backwards = app.step(now - 10 * MS)  # a new number, but time must not run back
    assert reason(backwards) == "old_sequence"
    np.testing.assert_array_equal(backwards.motors, good.motors)
    tick = app.ask("tick", time_us=now - 10 * MS)
    assert reason(tick) == "old_sequence"


@pytest.mark.parametrize("name", ["step", "tick"])
def test_a_senders_clock_that_begins_anew_in_flight_ends_it_after_ten_frames(app, name):
    now = app.take_off()
    frames = [{"step": app.step, "tick": lambda t: app.ask("tick", time_us=t)}[name](k) for k in range(1, 14)]
    assert [(state(f), reason(f)) for f in frames[:9]] == [("flying", "old_sequence")] * 9
    assert (state(frames[9]), reason(frames[9]), frames[9].motors.any()) == (
        "failsafe",
        "old_sequence",
        False,
    )
    assert [(state(f), reason(f), f.time_us) for f in frames[10:]] == [
        ("failsafe", "link_lost", k) for k in (11, 12, 13)
    ]
    assert app.controller.reason == "link_lost" and now > 13


def test_stragglers_between_frames_in_time_do_not_end_a_flight(app):
    now = app.take_off()
    for k in range(1, 50):
        for _ in range(9):
            assert reason(app.step(now - k)) == "old_sequence"
        assert state(app.step(now + k * MS)) == "flying"


def test_a_repeated_answer_never_shows_motors_turning_after_a_stop(app):
    now = app.take_off()
    app.step(now + 10 * MS)
    last = app.sequence
    app.ask("stop")
    again = app.step(now + 10 * MS, sequence=last)
    assert not again.motors.any()
    assert state(again) == "stopped"


def test_a_state_with_the_same_time_stamp_is_no_new_state(app):
    now = app.take_off()
    for _ in range(20):
        answer = app.step(now, moved(position=[0.5, 0, 0]))
    assert answer.flags & 1 << ENUMS["flag"]["held"]
    answer = app.ask("tick", time_us=now + 100 * MS)
    assert (state(answer), reason(answer)) == ("degraded", "stale_state")


def test_lock_step_time_may_begin_anew_only_with_motors_off(app):
    now = app.take_off()
    app.ask("stop")
    assert not app.step(now + 10 * MS).motors.any()
    answer = app.step(5)
    assert (answer.time_us, reason(answer)) == (5, "stop_requested")
    assert reason(app.arm()) == "not_disarmed"
    app.ask("disarm")
    assert reason(app.arm()) == "link_not_settled"


def test_lock_step_flies_across_the_clocks_wrap(app):
    app.ask("set_clock", clock=LINK)
    app.setpoint()
    start = 2**32 - 800 * MS
    for k in range(53):
        app.step(start + k * 10 * MS)
    assert reason(app.arm()) == "none"
    for k in range(53, 150):
        answer = app.step(start + k * 10 * MS)
    assert state(answer) == "flying"


def listen(app, now, ms):
    """The motor frames that go out unasked while so many milliseconds pass: (when, body)."""
    told = []
    for at in range(now + MS, now + (ms + 1) * MS, MS):
        app.poll(at)
        told += [(at, f.body) for f in app.sent() if (f.name, f.sequence) == ("control", 0)]
    return told


def test_on_its_own_clock_a_lost_link_is_told_unasked_step_by_step(app):
    silent = fly_on_its_own_clock(app)
    before = app.ask("get_stats").overruns
    told = listen(app, silent, 600)
    changes = [told[0], *(b for a, b in pairwise(told) if state(a[1]) != state(b[1]))]
    assert [(at - silent, state(body), reason(body)) for at, body in changes] == [
        (12 * MS, "flying", "none"),  # until then the last answer stands
        (100 * MS, "degraded", "stale_state"),
        (500 * MS, "failsafe", "link_lost"),
    ]
    assert [at - silent for at, _ in told] == list(range(12 * MS, 501 * MS, 2 * MS))
    mean = np.array([body.motors.mean() for _, body in told])
    assert (np.diff(mean[45:-1]) < 0).all() and not told[-1][1].motors.any()
    assert app.ask("get_stats").overruns == before


@pytest.mark.parametrize("request_name", ["stop", "disarm"])
def test_on_its_own_clock_motors_turned_off_by_a_request_are_told_with_the_next_step(app, request_name):
    now = fly_on_its_own_clock(app)
    app.ask(request_name)
    told = listen(app, now, 20)
    assert [(at - now, state(body), body.motors.any()) for at, body in told] == [
        (2 * MS, {"stop": "stopped", "disarm": "disarmed"}[request_name], False)
    ]


def test_a_motor_frame_for_which_the_line_has_no_room_is_told_when_it_has(app, library):
    now = fly_on_its_own_clock(app)
    app.ask("stop")
    library.bridge_room(10)
    assert listen(app, now, 10) == []
    library.bridge_room(2**32 - 1)
    assert [state(body) for _, body in listen(app, now + 10 * MS, 10)] == ["stopped"]


def test_nothing_is_told_unasked_while_states_come_in_time_or_in_lock_step(app):
    now = fly_on_its_own_clock(app)
    assert len(listen(app, now, 10)) == 0
    app.ask("stop")
    app.ask("disarm")
    listen(app, now + 10 * MS, 10)
    assert len(listen(app, now + 20 * MS, 1000)) == 0
    app.take_off()
    app.sent()
    assert listen(app, now, 1000) == []


def test_on_its_own_clock_the_time_stamp_of_a_frozen_estimator_goes_stale(app):
    app.setpoint()
    for now in range(0, 530 * MS, 10 * MS):
        app.poll(now)
        app.step(now)
    app.arm()
    for now in range(530 * MS, 1230 * MS, 10 * MS):
        app.poll(now)
        answer = app.step(now)
    assert state(answer) == "flying"
    frozen = now
    for now in range(1230 * MS, 1350 * MS, 10 * MS):
        app.poll(now)
        app.sent()
        answer = app.step(frozen)
    assert state(answer) == "degraded"


def fly_on_its_own_clock(app):
    """Settled, armed and warm without one late step; the time."""
    app.setpoint()
    armed = False
    for now in range(0, 1201 * MS, MS):
        app.poll(now)
        if now % (10 * MS) == 0:
            app.step(now + 1)
        if now == 530 * MS:
            armed = reason(app.arm()) == "none"
    assert armed and app.controller.state == "flying"
    return now


@pytest.mark.parametrize(
    ("ahead_us", "believed"),
    [(10 * MS, True), (110 * MS, True), (110 * MS + 1, False), (1_000_000 * MS, False)],
)
def test_a_time_stamp_that_runs_away_from_the_chips_clock_is_no_new_state(app, ahead_us, believed):
    now = fly_on_its_own_clock(app)  # the last state came now, and says so but for a microsecond
    app.poll(now := now + 10 * MS)
    answer = app.step(now - 10 * MS + 1 + ahead_us)
    assert bool(answer.flags & 1 << ENUMS["flag"]["held"]) != believed
    if not believed:  # and it has spoilt nothing
        for _ in range(60):
            app.poll(now := now + 10 * MS)
            app.sent()
            assert state(app.step(now + 1)) == "flying"


def test_after_a_silence_a_time_stamp_may_be_ahead_by_as_much(app):
    now = fly_on_its_own_clock(app)
    app.poll(now := now + 90 * MS)
    app.sent()
    assert not app.step(now + 100 * MS + 1).flags & 1 << ENUMS["flag"]["held"]


def test_with_motors_off_a_sender_may_begin_anew_anywhere(app):
    now = 0
    for start in (0, 1_000_000 * MS, 5):
        for k in range(60):
            app.poll(now := now + 10 * MS)
            app.step(start + k * 10 * MS)
        assert app.ask("get_stats").stale == 0 and app.controller.has("settled")


def test_a_late_control_step_is_counted_on_its_own_clock_with_its_lateness(app):
    now = fly_on_its_own_clock(app)
    stats = app.ask("get_stats")
    assert (stats.late_steps, stats.late_us_max) == (0, 0)
    for gap_us, late_steps, late_us_max in [
        (2500, 0, 500),
        (3999, 0, 1999),
        (4000, 1, 2000),
        (2000, 1, 2000),
    ]:
        app.poll(now := now + 2 * MS)
        app.poll(now := now + gap_us)
        stats = app.ask("get_stats")
        assert (stats.late_steps, stats.late_us_max) == (late_steps, late_us_max)


def test_no_control_step_is_late_in_lock_step_or_with_motors_off(app):
    app.poll(50 * MS)
    now = app.take_off()
    app.step(now + 90 * MS)
    stats = app.ask("get_stats")
    assert (stats.late_steps, stats.late_us_max) == (0, 0)


def test_a_flood_of_questions_delays_no_control_step_and_no_cut_off(app, library):
    last = fly_on_its_own_clock(app)
    library.bridge_byte_takes(11)  # 921600 baud, a full output buffer
    flood = encode("get_stats", 1) * 100
    told = []
    for _ in range(20):
        library.bridge_receive(app.handle, flood, 1024)
        app.poll()
        told += [f.body for f in app.sent() if f.name == "control"]
    cut = next(body for body in told if state(body) == "failsafe")
    assert cut.time_us - last < 505 * MS
    library.bridge_byte_takes(0)
    assert app.ask("get_stats").late_us_max < 4 * MS


CONTROL_WIRE, IDENTITY_WIRE = (
    38,
    94,
)  # bytes on the wire, of a motor command and of the longest answer but one


def test_a_full_line_costs_questions_their_answers_and_the_flight_nothing(app, library):
    now = app.take_off()

    def told(name, **values):
        app.sequence += 1
        return [frame.name for frame in app.wire(encode(name, app.sequence, **values))]

    library.bridge_room(CONTROL_WIRE + IDENTITY_WIRE - 1)
    assert told("hello") == []  # its answer would leave no room for the next motor command
    for k in (1, 2, 3):
        assert told("tick", time_us=now + k * MS) == ["control"]
    assert told("tick", time_us=now + 4 * MS) == []
    assert told("stop") == [] and app.controller.state == "stopped"  # obeyed all the same
    library.bridge_room(2**32 - 1)
    assert app.ask("get_stats").overruns == 3


def test_a_frozen_state_does_not_settle(app):
    app.setpoint()
    for now in range(0, 700 * MS, 10 * MS):
        app.poll(now)
        answer = app.step(5)
    assert not answer.flags & 1 << ENUMS["flag"]["settled"]
    assert reason(app.arm()) == "stale_state"


def test_the_answer_to_a_stop_says_that_the_motors_are_off(app):
    turning = 1 << ENUMS["flag"]["motors_on"] | 1 << ENUMS["flag"]["warm"]
    now = app.take_off()
    assert app.step(now + 10 * MS).flags & turning == turning
    last = app.sequence
    assert not app.ask("stop").flags & turning
    assert not app.step(now + 10 * MS, sequence=last).flags & turning


def test_polling_with_nothing_to_do_says_so(library):
    app = App(library)
    assert not app.poll(1 * MS)
    assert app.poll(3 * MS)  # a control step is due on the chip's own clock
    assert not app.poll(3 * MS)
