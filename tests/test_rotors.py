"""The rotors' stages: RK4's own closed form where the lag is linear, against the stages taken one by one."""

from dataclasses import replace

import numpy as np
import pytest

from tinyfly.airframe import Airframe, names
from tinyfly.rotors import LinearRotors, StagedRotors, linear_lag, make_rotors

PAPER = Airframe.load("crazyflie")
HALF_S, UNIT_RAD_S = 0.005, -400.0


def test_the_share_at_the_end_of_a_step_is_the_exponentials_series_up_to_the_fourth_power():
    for x in (0.0, 0.02, 0.25):
        shares, end = linear_lag(x)
        y = 2 * x
        assert 1 - end == pytest.approx(1 - y + y**2 / 2 - y**3 / 6 + y**4 / 24, abs=1e-15)
        np.testing.assert_allclose(shares[:2], [0, x])


@pytest.mark.parametrize(
    "airframe",
    [
        PAPER,
        Airframe.load("rltools_2025"),
        replace(PAPER, thrust_n=(0.01, 0.05, 0.1), torque_nm=(1e-5, -1e-6, 2e-4)),
    ],
    ids=["u^2 alone", "full polynomials", "of thrust and torque apart"],
)
@pytest.mark.parametrize("torque", [False, True])
def test_a_linear_lags_closed_form_is_its_stages_one_by_one(airframe, torque):
    rng = np.random.default_rng(0)
    speed, command = rng.random((2, 4, 30))
    added = rng.standard_normal((3, 30)) if torque else None
    closed, staged = (c(airframe, 30, HALF_S, UNIT_RAD_S, np.float64) for c in (LinearRotors, StagedRotors))
    after = speed.copy()
    for _ in range(3):
        closed.advance(speed, command, added)
        staged.advance(after, command, added)
        np.testing.assert_allclose(speed, after, rtol=1e-14)
        np.testing.assert_allclose(closed.wrench, staged.wrench, rtol=1e-12, atol=1e-14)


def test_in_single_precision_the_closed_form_is_as_near_the_truth_as_the_stages():
    rng = np.random.default_rng(0)
    begin, command = rng.random((2, 4, 500))
    kinds = (LinearRotors, np.float32), (StagedRotors, np.float32), (StagedRotors, np.float64)
    speeds = []
    for kind, dtype in kinds:
        rotors, speed = kind(PAPER, 500, HALF_S, UNIT_RAD_S, dtype), begin.astype(dtype)
        for _ in range(200):
            rotors.advance(speed, command.astype(dtype))
        speeds.append(speed)
    closed, staged, truth = speeds
    assert np.abs(closed - truth).max() <= 2 * np.abs(staged - truth).max() < 1e-5


@pytest.mark.parametrize("name", names())
def test_the_closed_form_is_taken_only_by_whom_it_describes(name):
    airframe = Airframe.load(name)
    linear = airframe.rotor_rise_per_s == airframe.rotor_fall_per_s and airframe.rotor_rise_per_s[1] == 0
    kind = LinearRotors if linear else StagedRotors
    assert type(make_rotors(airframe, 2, HALF_S, UNIT_RAD_S, np.float32)) is kind
    spinning = replace(airframe, rotor_inertia_kg_m2=3e-8)
    assert type(make_rotors(spinning, 2, HALF_S, UNIT_RAD_S, np.float32)) is StagedRotors


@pytest.mark.parametrize("name", names())
def test_rotors_at_their_command_stay_there(name):
    rotors = make_rotors(Airframe.load(name), 5, HALF_S, UNIT_RAD_S, np.float64)
    command = np.linspace(0, 1, 20).reshape(4, 5)
    speed = command.copy()
    rotors.advance(speed, command)
    np.testing.assert_allclose(speed, command, rtol=1e-14)
