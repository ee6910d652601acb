"""Set-points: what they demand at every moment, judged by formulas in float64 and by finite differences."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from core import MS, floats
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfly_hil.protocol import ENUMS, name_of
from tinyfly_hil.setpoint import path

LEADS = (0.08, 0.16)
FIGURE = [0.1, -0.2, 0.3, 1.0, 0.8, 5.5, 2.0]
WAYPOINTS = [1.0, 3, 1, 0, 0.5, 1, 1, 0.5, 0, 0, 0]
START = (0.2, -0.1, 0.4)


class Setpoint:
    """tf_setpoint_t"""

    def __init__(self, library):
        self.c = library
        self.buffer = ctypes.create_string_buffer(library.bridge_setpoint_size())
        library.tf_setpoint_init(self.buffer)

    def set(self, kind: str | int, values=(), flags: int = 0) -> str:
        number = ENUMS["setpoint"][kind] if isinstance(kind, str) else kind
        padded = floats([*values, *[0.0] * (18 - len(values))])
        return name_of("reason", self.c.tf_setpoint_set(self.buffer, number, flags, padded))

    def step(self, dt_us: int, position=START) -> np.ndarray:
        """Rows: position, velocity, acceleration, and the accelerations ahead."""
        reference = floats([np.nan] * (9 + 3 * len(LEADS)))
        self.c.tf_setpoint_step(self.buffer, ctypes.c_uint32(dt_us), floats(position), reference)
        return np.array(reference).reshape(-1, 3)

    def fly(self, dt_us: int, steps: int) -> np.ndarray:
        return np.array([self.step(dt_us) for _ in range(steps)])


@pytest.fixture
def setpoint(library):
    return Setpoint(library)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("figure_eight", FIGURE), ("figure_eight", [*FIGURE[:6], 0.0]), ("waypoints", WAYPOINTS), ("hover", []),
     ("position", [1, 2, 3]), ("waypoints", [0.16, 1, *START])],
)  # fmt: skip
@pytest.mark.parametrize("dt_us", [2000, 3333, 10_000])
def test_a_path_is_the_formula_and_its_previews_are_ahead_on_it(setpoint, kind, values, dt_us):
    assert setpoint.set(kind, values) == "none"
    steps = 12_000_000 // dt_us
    flown = setpoint.fly(dt_us, steps)
    truth = path(kind, values, np.array(START))
    t = np.arange(steps) * dt_us * 1e-6
    # At the end of a ramp or of a leg the acceleration jumps; there a rounded time may fall on either side.
    for row, (what, when) in enumerate([(0, 0), (1, 0), (2, 0), *((2, lead) for lead in LEADS)]):
        error = np.abs(flown[:, row] - truth.at(t + when)[what].T).max(1)
        assert np.sort(error)[: -4 if what == 2 else None].max() < 2e-4, (row, error.argmax())


@pytest.mark.parametrize(("kind", "values"), [("figure_eight", FIGURE), ("waypoints", WAYPOINTS)])
def test_velocity_and_acceleration_are_the_derivatives_of_what_lies_above_them(setpoint, kind, values):
    setpoint.set(kind, values)
    flown = setpoint.fly(10_000, 900).astype(float)
    for row in (0, 1):
        slope = (flown[2:, row] - flown[:-2, row]) / 0.02
        error = np.abs(slope - flown[1:-1, row + 1]).max(1)
        assert np.sort(error)[:-8].max() < 0.01


def test_a_figure_eight_begins_at_rest_in_its_centre(setpoint):
    setpoint.set("figure_eight", FIGURE)
    first = setpoint.step(0)
    np.testing.assert_allclose(first[0], FIGURE[:3], atol=1e-6)
    np.testing.assert_allclose(first[1], 0, atol=1e-6)


def test_a_figure_eight_is_the_same_after_an_hour(setpoint):
    setpoint.set("figure_eight", FIGURE)
    setpoint.fly(10_000, 300)
    a = setpoint.step(5_500_000 - 10_000)
    for _ in range(60):
        setpoint.step(11 * 5_500_000)
    np.testing.assert_array_equal(setpoint.step(5_500_000), a)


def test_waypoints_keep_to_their_speed_and_acceleration_and_hold_the_last(setpoint):
    setpoint.set("waypoints", WAYPOINTS)
    flown = setpoint.fly(2000, 6000)
    assert np.linalg.norm(flown[:, 1], axis=1).max() <= 1.0001
    assert np.linalg.norm(flown[:, 2], axis=1).max() <= 5.001
    np.testing.assert_array_equal(flown[-1, 0], [0, 0, 0])
    assert not flown[-1, 1:].any()
    passed = [np.linalg.norm(flown[:, 0] - p, axis=1).min() for p in np.reshape(WAYPOINTS[2:], (-1, 3))]
    assert max(passed) < 1e-3


def test_the_longest_leg_keeps_to_the_slowest_speed_too(setpoint):
    start, end = [-100] * 3, [95] * 3
    assert setpoint.set("waypoints", [0.16, 1, *end]) == "none"
    flown = np.array([setpoint.step(MS * 1000, start) for _ in range(4000)])
    assert np.linalg.norm(flown[:, 1], axis=1).max() <= 0.1601
    np.testing.assert_allclose(np.diff(flown[:, 0], axis=0), flown[1:, 1], atol=1e-3)
    np.testing.assert_array_equal(flown[-1, :2], [end, [0, 0, 0]])


def test_a_velocity_is_clipped_and_its_position_moves_on_a_leash(setpoint):
    setpoint.set("velocity", [5.0, -3.0, 0.1])
    first = setpoint.step(0)
    np.testing.assert_array_equal(first[1], np.float32([2.0, -2.0, 0.1]))
    np.testing.assert_array_equal(first[0], np.float32(START))
    second = setpoint.step(100 * MS)
    np.testing.assert_allclose(second[0] - START, [0.2, -0.2, 0.01], atol=1e-6)
    for _ in range(20):
        far = setpoint.step(100 * MS)
    np.testing.assert_allclose(far[0] - START, [0.5, -0.5, 0.21], atol=1e-5)


def test_a_renewed_velocity_goes_on_from_where_it_is(setpoint):
    setpoint.set("velocity", [1, 0, 0])
    setpoint.step(0)
    before = setpoint.step(100 * MS)
    setpoint.set("velocity", [0, 1, 0])
    after = setpoint.step(100 * MS)
    np.testing.assert_allclose(after[0] - before[0], [0, 0.1, 0], atol=1e-6)


def test_a_reference_is_passed_on_bit_for_bit(setpoint):
    values = np.random.default_rng(0).standard_normal(15).astype(np.float32)
    setpoint.set("reference", values)
    for _ in range(3):
        np.testing.assert_array_equal(setpoint.step(2000).ravel(), values)


BAD = [
    ("figure_eight", [0, 0, 0, 1, 1, 0.99, 2]), ("figure_eight", [0, 0, 0, 1, 1, 5.5, -0.1]),
    ("figure_eight", [0, 0, 0, 1, 1, 5.5, 1e-45]),
    ("figure_eight", [0, 0, 0, 1, 101, 5.5, 2]), ("figure_eight", [np.nan, 0, 0, 1, 1, 5.5, 2]),
    ("waypoints", [1, 0]), ("waypoints", [1, 5, *[0] * 15]), ("waypoints", [1, 1.5, 0, 0, 0]),
    ("waypoints", [0.159, 1, 0, 0, 0]), ("waypoints", [1, np.nan, 0, 0, 0]), ("position", [0, 0, 100.1]),
    ("velocity", [np.inf, 0, 0]), ("reference", [0] * 14 + [np.nan]), (6, []), (255, []),
    ("position", [0, -95.1, 0]), ("reference", [0, 0, 95.1, *[0] * 12]),
    ("waypoints", [1, 2, 0, 0, 0, 0, 96, 0]),
    ("figure_eight", [94.5, 0, 0, 1, 1, 5.5, 2]), ("figure_eight", [-94.5, 0, 0, -1, 1, 5.5, 2]),
    ("figure_eight", [0, 94.5, 0, 1, 1.1, 5.5, 2]), ("figure_eight", [0, 0, -95.1, 1, 1, 5.5, 2]),
    ("figure_eight", [0, 94.5, 0, 1, -1.1, 5.5, 2]), ("figure_eight", [0, 0, 0, 1, 1, 5.5, -2]),
]  # fmt: skip
AT_THE_END = [
    ("position", [95, -95, 95]), ("reference", [95, 0, 0, *[0] * 12]), ("waypoints", [1, 1, -95, 0, 0]),
    ("figure_eight", [94, -94.5, 95, -1, 1, 5.5, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), AT_THE_END)
def test_a_place_may_be_asked_for_up_to_95_m(setpoint, kind, values):
    assert setpoint.set(kind, values) == "none"


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_velocity_ends_where_the_box_does_and_leads_back_from_there(setpoint, axis, sign):
    out, place = np.zeros(3), np.zeros(3)
    out[axis], place[axis] = 2 * sign, 94.8 * sign
    setpoint.set("velocity", out)
    setpoint.step(0, place)
    for _ in range(30):
        held = setpoint.step(10 * MS, place)
    np.testing.assert_allclose(held[:2, axis], [95 * sign, 0], atol=0.021)
    beyond = 99 * np.sign(out)  # blown out by the wind, say: not yanked back, nor led on
    for _ in range(30):
        held = setpoint.step(10 * MS, beyond)
    assert held[1, axis] == 0 and 94.9 < abs(held[0, axis]) <= 99
    setpoint.set("velocity", -out)
    assert setpoint.step(10 * MS, beyond)[1, axis] == -2 * sign


@pytest.mark.parametrize(("kind", "values"), BAD)
def test_a_bad_setpoint_is_refused_and_the_old_one_stays(setpoint, kind, values):
    setpoint.set("position", [1, 2, 3])
    assert setpoint.set(kind, values) == "bad_setpoint"
    np.testing.assert_array_equal(setpoint.step(2000)[0], [1, 2, 3])


def test_unknown_flags_are_refused(setpoint):
    assert [setpoint.set("hover", flags=f) for f in (0, 1, 2, 128)] == ["none", "none", *["bad_setpoint"] * 2]


number = st.floats(-101, 101, width=32) | st.integers(0, 2**32 - 1).map(
    lambda b: float(np.uint32(b).view("f4"))
)


@given(
    st.integers(0, 6),
    st.lists(number, min_size=18, max_size=18),
    st.lists(st.integers(0, 2**32 - 1), max_size=8),
)
@settings(max_examples=300)
def test_whatever_is_accepted_gives_finite_bounded_references(library, kind, values, steps):
    setpoint = Setpoint(library)
    if setpoint.set(kind, values) != "none":
        return
    for dt_us in steps:
        reference = setpoint.step(dt_us)
        assert np.isfinite(reference).all()
        assert np.abs(reference[0]).max() <= 95.3


def test_sine_and_cosine_keep_to_their_stated_error(library):
    turns = np.concatenate([np.linspace(-3, 3, 200_001), np.random.default_rng(0).uniform(-1e4, 1e4, 10_000)])
    turns = turns.astype(np.float32)
    s, c = np.empty_like(turns), np.empty_like(turns)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (turns, s, c)]
    library.bridge_sin_cos(pointers[0], turns.size, pointers[1], pointers[2])
    angle = 2 * np.pi * turns.astype(float)
    assert np.abs(s - np.sin(angle)).max() < 2e-7
    assert np.abs(c - np.cos(angle)).max() < 2e-7


@given(st.floats(0, 2.0**100, width=32))
def test_square_root_keeps_to_its_stated_error(library, x):
    library.tf_sqrt.argtypes = [ctypes.c_float]
    root = library.tf_sqrt(x)
    if x >= np.finfo(np.float32).tiny:
        assert abs(root - np.sqrt(x)) <= 2e-7 * np.sqrt(x)
