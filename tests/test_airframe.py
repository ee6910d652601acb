"""Airframes read from TOML: what they promise, and what they refuse."""

import math
import tomllib
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from tinyfly.airframe import Airframe, names
from tinyfly.errors import UserError

PAPER = Airframe.load("crazyflie").to_dict()


def test_every_bundled_airframe_loads_flies_and_survives_a_round_trip():
    assert set(names()) >= {"crazyflie", "rltools_2025", "rltools_2026", "cf2x_L250", "cf21B_500"}
    for name in names():
        airframe = Airframe.load(name)
        airframe.require_flyable()
        assert airframe.name == name
        assert Airframe.from_dict(airframe.to_dict()) == airframe


@pytest.mark.parametrize("name", names())
def test_thrust_at_the_hover_fraction_carries_the_weight(name):
    airframe = Airframe.load(name)
    thrust = 4 * np.polynomial.Polynomial(airframe.thrust_n)(airframe.hover_fraction)
    assert thrust == pytest.approx(airframe.weight_n, rel=1e-12)


def test_the_papers_hover_speed_and_thrust_to_weight_are_the_published_ones():
    airframe = Airframe.load("crazyflie")
    rpm = airframe.hover_fraction * airframe.rotor_speed_max_rad_s * 60 / (2 * math.pi)
    assert rpm == pytest.approx(14476, abs=1)
    assert airframe.hover_action == pytest.approx(0.334, abs=1e-3)
    assert airframe.thrust_to_weight == pytest.approx(2.25, abs=0.01)


@pytest.mark.parametrize("name", ["cf2x_L250", "cf2x_P250", "cf2x_T350", "cf21B_500"])
def test_identified_crazyflies_are_the_packages_numbers_in_our_units(name):
    pytest.importorskip("drone_models")
    text = resources.files("drone_models").joinpath("data/params.toml").read_text()
    theirs, ours = tomllib.loads(text)[name], Airframe.load(name)
    rpm = ours.rotor_speed_max_rad_s * 60 / (2 * math.pi)
    powers = rpm ** np.arange(3)
    np.testing.assert_allclose(ours.thrust_n, theirs["rpm2thrust"] * powers, rtol=1e-12)
    np.testing.assert_allclose(ours.torque_nm, theirs["rpm2torque"] * powers, rtol=1e-12)
    np.testing.assert_allclose(
        [*ours.rotor_rise_per_s, *ours.rotor_fall_per_s], theirs["rotor_dyn_coef"] * powers[[0, 1, 0, 1]]
    )
    np.testing.assert_allclose(np.diag(ours.drag_n_s_m), -np.array(theirs["drag_matrix"]))
    np.testing.assert_allclose(np.diag(ours.inertia_kg_m2), theirs["J"])
    assert ours.mass_kg == theirs["mass"]
    assert sum(ours.thrust_n) == pytest.approx(theirs["thrust_max"], rel=1e-12)
    x, y, _ = np.transpose(ours.rotor_position_m)
    np.testing.assert_allclose([y, -x], np.array(theirs["mixing_matrix"])[:2] * theirs["L"])


def test_varied_scales_mass_alone_and_thrust_with_the_battery():
    airframe = Airframe.load("crazyflie")
    other = airframe.varied(mass_scale=1.3, battery=0.75)
    assert other.thrust_to_weight == pytest.approx(airframe.thrust_to_weight * 0.75 / 1.3)
    assert other.inertia_kg_m2 == airframe.inertia_kg_m2


def test_varied_moves_the_rotors_the_other_way_when_the_centre_of_mass_moves():
    airframe = Airframe.load("crazyflie")
    off = airframe.varied(centre_m=(0.002, -0.001))
    moved = np.subtract(off.rotor_position_m, airframe.rotor_position_m)
    np.testing.assert_allclose(moved, [(-0.002, 0.001, 0)] * 4, atol=1e-12)
    assert replace(off, rotor_position_m=airframe.rotor_position_m) == airframe


def test_an_airframe_too_heavy_to_fly_is_refused_with_its_thrust_to_weight():
    with pytest.raises(UserError, match=r"thrust/weight is 1\.12"):
        Airframe.load("crazyflie").varied(mass_scale=2.0).require_flyable()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mass": 0.027}, "'mass' is unknown"),
        ({"mass_kg": 27.0}, "mass_kg holds 27.0"),
        ({"mass_kg": math.nan}, "mass_kg holds nan"),
        ({"mass_kg": "27 g"}, "mass_kg holds '27 g'"),
        ({"inertia_kg_m2": [1e-6, 1e-6]}, "inertia_kg_m2 must be 3 numbers"),
        ({"inertia_kg_m2": [1e-6, 1e-6, 3e-6]}, "no body has"),
        ({"rotor_torque_sign": [1, 1, 1, -1]}, "two \\+1 and two -1"),
        ({"thrust_n": [0.1, -0.2, 0.0]}, "thrust_n"),
        ({"thrust_n": [0.0, -0.29, 0.4388]}, "thrust_n .* is negative at u = 0.33"),
        ({"rotor_fall_per_s": [0.0, 0.0]}, "rotor_fall_per_s"),
        ({"drag_n_s_m": [-0.01, 0.0, 0.0]}, "drag_n_s_m holds -0.01"),
    ],
)
def test_bad_numbers_are_refused_by_name(change, complaint):
    with pytest.raises(UserError, match=complaint):
        Airframe.from_dict(PAPER | change)


def test_a_missing_key_is_named():
    with pytest.raises(UserError, match="'mass_kg' is missing"):
        Airframe.from_dict({k: v for k, v in PAPER.items() if k != "mass_kg"})


def test_a_users_own_file_is_loaded_by_path_and_named_after_it(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(f"{k} = {_toml(v)}" for k, v in PAPER.items() if k != "name"))
    assert Airframe.load(path) == Airframe.from_dict(PAPER | {"name": "mine"})


def test_an_unknown_name_lists_the_known_ones_and_a_broken_file_says_so(tmp_path):
    with pytest.raises(UserError, match="expected one of cf21B_500"):
        Airframe.load("crazyfly")
    broken = tmp_path / "broken.toml"
    broken.write_text("mass_kg = ")
    with pytest.raises(UserError, match="does not read as an airframe"):
        Airframe.load(broken)


@pytest.mark.parametrize(
    "content",
    [
        b"mass_kg = " + b"1" * 5000,
        b"mass_kg = 0x" + b"f" * 5000,
        b"a = " + b"[" * 5000,
        b"\xff\xfe",
        b"# " + b"x" * 70000,
    ],
)
def test_a_file_that_python_itself_chokes_on_gets_one_line(tmp_path, content):
    path = tmp_path / "odd.toml"
    lines = (f"{k} = {_toml(v)}" for k, v in PAPER.items() if k not in ("name", "mass_kg"))
    path.write_bytes("\n".join(lines).encode() + b"\n" + content)
    with pytest.raises(UserError, match="does not read as an airframe"):
        Airframe.load(path)


@pytest.mark.parametrize("path", ["/dev/zero", "x" * 5000])
def test_what_is_no_file_is_not_read(path):
    with pytest.raises(UserError, match="does not read as an airframe"):
        Airframe.load(path)


def test_a_file_from_windows_may_begin_with_its_mark(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(f"{k} = {_toml(v)}" for k, v in PAPER.items()), encoding="utf-8-sig")
    assert Airframe.load(path) == Airframe.load("crazyflie")


def test_rotors_that_carry_the_aircraft_at_rest_are_refused():
    light = replace(Airframe.load("crazyflie"), thrust_n=(0.08, 0.0, 0.1))
    with pytest.raises(UserError, match=r"cannot come down: .* check the first number of thrust_n"):
        light.require_flyable()


def _toml(value):
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple) else repr(value)


def test_a_centre_of_mass_outside_the_rotors_cannot_hover_level():
    behind = tuple((x - 0.03, y, z) for x, y, z in Airframe.load("crazyflie").rotor_position_m)
    with pytest.raises(UserError, match="cannot hover level: M2 would have to push"):
        replace(Airframe.load("crazyflie"), rotor_position_m=behind).require_flyable()


@pytest.mark.parametrize(
    "rotors",
    [
        {"rotor_torque_sign": (-1, -1, 1, 1)},  # yaw comes with roll
        {"rotor_position_m": ((0.03, 0, 0), (0.02, 0, 0), (-0.03, 0, 0), (-0.02, 0, 0))},  # in a row
    ],
)
def test_rotors_that_cannot_turn_the_body_about_every_axis_are_refused(rotors):
    with pytest.raises(UserError, match="all three axes"):
        replace(Airframe.load("crazyflie"), **rotors)
