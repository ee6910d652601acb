"""The truth against closed forms, in float64; frames and signs as in docs/conventions.md."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from tinyfly.airframe import Airframe, names
from tinyfly.dynamics import Dynamics
from tinyfly.program import chunks
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, ROWS, VELOCITY

PAPER = Airframe.load("crazyflie")
G = 9.81


def at_rest(n=1, rotor_speed=0.0, dtype=np.float64):
    state = np.zeros((ROWS, n), dtype)
    state[3] = 1
    state[ROTOR_SPEED] = rotor_speed
    return state


def run(airframe, state, command, seconds, dt=0.01, **others):
    """Fly on with a command held; command (4,) or a scalar."""
    dynamics = Dynamics(airframe, state.shape[1], dt, np.float64)
    command = np.broadcast_to(np.reshape(command, (-1, 1)), (4, state.shape[1])).astype(float)
    for _ in range(round(seconds / dt)):
        dynamics.step(state, command, **others)
    return state


def random_states(n, seed=0):
    rng = np.random.default_rng(seed)
    state = rng.standard_normal((ROWS, n))
    state[QUATERNION] /= np.linalg.norm(state[QUATERNION], axis=0)
    state[ANGULAR_VELOCITY] *= 5
    state[ROTOR_SPEED] = rng.random((4, n))
    return state, rng


def rotate(q, v):
    """Body to world, by the textbook formula v + 2 q_v x (q_v x v + w v)."""
    w, r = q[0], q[1:4]
    return v + 2 * np.cross(r, np.cross(r, v, axis=0) + w * v, axis=0)


def test_free_fall_is_a_parabola_whatever_the_attitude():
    state, _ = random_states(20)
    state[ROTOR_SPEED] = 0
    begin = state.copy()
    run(PAPER, state, 0.0, 1.0)
    fall = np.array([[0], [0], [-G / 2]])
    np.testing.assert_allclose(state[POSITION], begin[POSITION] + begin[VELOCITY] + fall, atol=1e-9)


@pytest.mark.parametrize("name", names())
def test_hover_thrust_equals_weight(name):
    airframe = Airframe.load(name)
    state = run(airframe, at_rest(rotor_speed=airframe.hover_fraction), airframe.hover_fraction, 2.0)
    np.testing.assert_allclose(state[POSITION], 0, atol=1e-9)
    np.testing.assert_allclose(state[ANGULAR_VELOCITY], 0, atol=1e-9)


@pytest.mark.parametrize("motor", range(4))
def test_each_motor_turns_the_body_the_way_of_the_conventions(motor):
    """More thrust at (x, y) rolls by y f, pitches by -x f, and yaws by its sign."""
    x, y = [(1, -1), (-1, -1), (-1, 1), (1, 1)][motor]
    sign = (-1, 1, -1, 1)[motor]
    command = np.full(4, 0.6)
    command[motor] = 0.7
    rate = run(PAPER, at_rest(rotor_speed=0.6), command, 0.02)[ANGULAR_VELOCITY, 0]
    np.testing.assert_array_equal(np.sign(rate), [y, -x, sign])


def test_pitching_forward_accelerates_forward_and_rolling_right_side_down_accelerates_right():
    """Positive pitch (about y, left) tips the nose down, positive roll (about x) the right side."""
    for axis, direction in ((2, np.array([1, 0])), (1, np.array([0, -1]))):
        state = at_rest(rotor_speed=PAPER.hover_fraction)
        state[3], state[3 + axis] = np.cos(0.1), np.sin(0.1)
        run(PAPER, state, PAPER.hover_fraction, 0.1)
        np.testing.assert_allclose(state[VELOCITY][:2, 0] @ direction, G * np.sin(0.2) * 0.1, rtol=1e-6)


def test_energy_and_angular_momentum_are_conserved_without_rotors_and_drag():
    state, _ = random_states(20)
    state[ROTOR_SPEED] = 0
    j = np.array(PAPER.inertia_kg_m2)[:, None]

    def energy(s):
        w, v = s[ANGULAR_VELOCITY], s[VELOCITY]
        return PAPER.mass_kg * ((v * v).sum(0) / 2 + G * s[2]) + (j * w * w).sum(0) / 2

    def momentum(s):
        return rotate(s[QUATERNION], j * s[ANGULAR_VELOCITY])

    before = energy(state), momentum(state)
    run(PAPER, state, 0.0, 2.0, dt=0.002)
    np.testing.assert_allclose(energy(state), before[0], rtol=1e-7)
    np.testing.assert_allclose(momentum(state), before[1], rtol=1e-7, atol=1e-12)


def test_angular_momentum_of_body_and_propellers_together_is_conserved():
    """Propellers spin up inside the body: without thrust, their momentum comes out of the body's."""
    airframe = replace(
        PAPER, thrust_n=(0, 0, 1e-12), torque_nm=(0, 0, 1e-15), rotor_inertia_kg_m2=3e-8, drag_n_s_m=(0, 0, 0)
    )
    state, rng = random_states(10)
    j = np.array(airframe.inertia_kg_m2)[:, None]
    sign = np.array(airframe.rotor_torque_sign)[:, None]

    def momentum(s):
        body = j * s[ANGULAR_VELOCITY]
        spin = airframe.rotor_inertia_kg_m2 * airframe.rotor_speed_max_rad_s
        body[2] -= spin * (sign * s[ROTOR_SPEED]).sum(0)
        return rotate(s[QUATERNION], body)

    before = momentum(state)
    dynamics, command = Dynamics(airframe, 10, 0.001, np.float64), rng.random((4, 10))
    for _ in range(500):
        dynamics.step(state, command)
    np.testing.assert_allclose(momentum(state), before, rtol=1e-5, atol=1e-11)


def test_a_symmetric_top_precesses_at_the_textbook_rate():
    """With Jx = Jy the angular velocity's x, y part turns at (Jz - Jx) / Jx * w_z (Euler)."""
    state = at_rest()
    state[ANGULAR_VELOCITY, 0] = [2, 0, 5]
    run(PAPER, state, 0.0, 0.5)
    jx, _, jz = PAPER.inertia_kg_m2
    angle = (jz - jx) / jx * 5 * 0.5
    exact = [2 * np.cos(angle), 2 * np.sin(angle), 5]
    np.testing.assert_allclose(state[ANGULAR_VELOCITY, 0], exact, rtol=1e-6)


@pytest.mark.parametrize("name", ["crazyflie", "rltools_2025", "rltools_2026"])
def test_rotors_follow_with_their_own_rise_and_fall_time(name):
    airframe = Airframe.load(name)
    for start, command, tau in ((0.2, 0.9, airframe.rotor_rise_s), (0.9, 0.2, airframe.rotor_fall_s)):
        state = run(airframe, at_rest(rotor_speed=start), command, 0.1)
        exact = command + (start - command) * np.exp(-0.1 / tau)
        np.testing.assert_allclose(state[ROTOR_SPEED], exact, rtol=1e-5)


def test_identified_rotors_fall_by_their_quadratic_law():
    """u' = -k u^2 from u0 to a command of 0 is u0 / (1 + k u0 t)."""
    airframe = Airframe.load("cf2x_L250")
    k1, k2 = airframe.rotor_fall_per_s
    assert k1 == 0
    state = run(airframe, at_rest(rotor_speed=0.8), 0.0, 0.2)
    np.testing.assert_allclose(state[ROTOR_SPEED], 0.8 / (1 + k2 * 0.8 * 0.2), rtol=1e-6)


def test_drag_brings_a_falling_body_to_its_terminal_velocity():
    airframe = replace(PAPER, drag_n_s_m=(0.02, 0.02, 0.05))
    state = run(airframe, at_rest(), 0.0, 10.0)
    np.testing.assert_allclose(state[VELOCITY, 0], [0, 0, -PAPER.weight_n / 0.05], rtol=1e-6)


def test_drag_acts_along_the_bodys_axes():
    drag = np.array([0.01, 0.03, 0.02])
    airframe = replace(PAPER, drag_n_s_m=tuple(drag))
    state, _ = random_states(20)
    state[ROTOR_SPEED], state[ANGULAR_VELOCITY] = 0, 0
    q, v, dt = state[QUATERNION].copy(), state[VELOCITY].copy(), 1e-6
    run(airframe, state, 0.0, dt, dt=dt)
    body = rotate(q * np.array([[1], [-1], [-1], [-1]]), v)
    force = rotate(q, -drag[:, None] * body)
    acceleration = (state[VELOCITY] - v) / dt + np.array([[0], [0], [G]])
    np.testing.assert_allclose(acceleration, force / airframe.mass_kg, rtol=1e-4, atol=1e-4)


def test_a_push_is_newtons_in_the_world_and_newton_metres_in_the_body():
    state = at_rest(n=1)
    push = np.array([[0.01, -0.02, 0.03, 1e-6, 2e-6, -3e-6]]).T
    run(PAPER, state, 0.0, 0.01, push=push)
    gained = push[:3, 0] / PAPER.mass_kg * 0.01 - [0, 0, G * 0.01]
    np.testing.assert_allclose(state[VELOCITY, 0], gained, rtol=1e-9)
    np.testing.assert_allclose(
        state[ANGULAR_VELOCITY, 0], push[3:, 0] / PAPER.inertia_kg_m2 * 0.01, rtol=1e-4
    )


def test_a_mass_scale_flies_as_the_airframe_with_that_mass():
    airframe = Airframe.load("cf2x_T350")
    state, rng = random_states(5)
    push = rng.standard_normal((6, 5)) * 1e-3
    heavy = state.copy()
    run(airframe, state, 0.6, 0.1, push=push, mass_scale=np.full((1, 5), 1.3))
    run(airframe.varied(mass_scale=1.3), heavy, 0.6, 0.1, push=push)
    np.testing.assert_allclose(state, heavy, rtol=1e-12, atol=1e-12)


def test_halving_the_step_divides_the_error_by_sixteen():
    """The scheme is of fourth order."""
    airframe = Airframe.load("cf21B_500")
    state, rng = random_states(50)
    command = state[ROTOR_SPEED] + 0.2 * rng.random(
        (4, 50)
    )  # rising throughout: the right-hand side is smooth

    def fly(dt):
        s, dynamics = state.copy(), Dynamics(airframe, 50, dt, np.float64)
        for _ in range(round(0.08 / dt)):
            dynamics.step(s, command)
        return s

    exact = fly(0.08 / 256)
    coarse, fine = (np.abs(fly(dt) - exact).max() for dt in (0.01, 0.005))
    assert np.log2(coarse / fine) == pytest.approx(4, abs=0.4)


def test_fast_rotors_get_shorter_steps_instead_of_an_unstable_integrator():
    airframe = replace(PAPER, rotor_rise_per_s=(600.0, 0.0), rotor_fall_per_s=(600.0, 0.0))
    state = run(airframe, at_rest(rotor_speed=0.0), 0.7, 0.1)
    np.testing.assert_allclose(state[ROTOR_SPEED], 0.7, rtol=1e-6)


def test_a_vehicle_flies_the_same_alone_and_in_a_crowd():
    airframe = Airframe.load("rltools_2026")
    state, rng = random_states(33)
    crowd, command = state.astype(np.float32), rng.random((4, 33)).astype(np.float32)
    alone = crowd[:, 17:18].copy()
    Dynamics(airframe, 33, 0.01).step(crowd, command)
    Dynamics(airframe, 1, 0.01).step(alone, command[:, 17:18].copy())
    np.testing.assert_allclose(crowd[:, 17:18], alone, rtol=2e-6, atol=2e-6)


def test_single_precision_stays_near_double():
    state, rng = random_states(50)
    command = rng.random((4, 50))
    single = state.astype(np.float32)
    double_dynamics, single_dynamics = Dynamics(PAPER, 50, 0.01, np.float64), Dynamics(PAPER, 50, 0.01)
    for _ in range(20):
        double_dynamics.step(state, command)
        single_dynamics.step(single, command.astype(np.float32))
    assert np.abs(single - state).max() < 2e-4


def test_the_quaternion_stays_of_unit_length():
    state, _ = random_states(20)
    run(PAPER, state, 0.5, 3.0)
    np.testing.assert_allclose(np.linalg.norm(state[QUATERNION], axis=0), 1, rtol=1e-12)


def test_chunks_cover_every_column_once():
    covered = np.concatenate([np.arange(c.start, c.stop) for c in chunks(10, 4)])
    np.testing.assert_array_equal(covered, np.arange(10))


@pytest.mark.parametrize("name", ["cf2x_L250", "cf2x_P250", "cf2x_T350", "cf21B_500"])
def test_identified_crazyflies_accelerate_as_the_package_that_identified_them_says(name):
    """All but the roll row of its gyroscopic torque, whose sign contradicts w x h (theirs has -w_x twice)."""
    core = pytest.importorskip("drone_models.core")
    from drone_models.first_principles import dynamics

    airframe = Airframe.load(name)
    state, rng = random_states(40)
    command, dt = rng.random((4, 40)), 1e-6
    force = rng.standard_normal((3, 40)) * 0.01
    after = state.copy()
    Dynamics(airframe, 40, dt, np.float64).step(after, command, np.concatenate([force, 0 * force]))
    rpm = airframe.rotor_speed_max_rad_s * 60 / (2 * np.pi)
    theirs = core.parametrize(dynamics, name)
    s, q = state.T, state[QUATERNION].T
    rotors = command.T * rpm, s[:, 13:] * rpm
    _, _, acceleration, spin, rotor = theirs(
        s[:, :3], q[:, [1, 2, 3, 0]], s[:, 7:10], s[:, 10:13], *rotors, force.T
    )
    change = (after - state) / dt
    np.testing.assert_allclose(change[VELOCITY], acceleration.T, rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(change[ROTOR_SPEED], rotor.T / rpm, rtol=1e-3, atol=1e-4)
    sign = np.array(airframe.rotor_torque_sign)[:, None]
    spinning = (
        airframe.rotor_inertia_kg_m2 * airframe.rotor_speed_max_rad_s * (sign * state[ROTOR_SPEED]).sum(0)
    )
    corrected = spin.T.copy()
    corrected[0] += 2 * state[11] * spinning / airframe.inertia_kg_m2[0]
    np.testing.assert_allclose(change[ANGULAR_VELOCITY], corrected, rtol=2e-3, atol=5e-3)


@pytest.mark.parametrize("name", ["crazyflie", "cf21B_500"])
def test_a_width_with_spare_columns_flies_each_vehicle_as_a_width_without(name):
    airframe, rng = Airframe.load(name), np.random.default_rng(0)
    state = np.zeros((17, 2048), np.float32)
    state[3], state[7:13] = 1, rng.standard_normal((6, 2048))
    command = rng.uniform(0, 1, (4, 2048)).astype(np.float32)
    few = state[:, 24:].copy()
    Dynamics(airframe, 2048, 0.01).step(state, command)
    Dynamics(airframe, 2024, 0.01).step(few, command[:, 24:])
    np.testing.assert_allclose(state[:, 24:], few, rtol=1e-5, atol=1e-6)


def test_vehicles_in_a_window_of_a_wider_array_fly_as_in_one_of_their_own():
    state, rng = random_states(30)
    push, command = rng.standard_normal((6, 30)) * 1e-3, rng.random((4, 30))
    own, columns = np.ascontiguousarray(state[:, 5:25]), slice(5, 25)
    before = state.copy()
    dynamics = Dynamics(PAPER, 20, 0.01, np.float64)
    dynamics.step(state[:, columns], command[:, columns], push[:, columns])
    dynamics.step(own, np.ascontiguousarray(command[:, columns]), np.ascontiguousarray(push[:, columns]))
    np.testing.assert_array_equal(state[:, columns], own)
    np.testing.assert_array_equal(state[:, :5], before[:, :5])
    np.testing.assert_array_equal(state[:, 25:], before[:, 25:])


def test_one_set_of_scratch_serves_pushed_and_free_vehicles_of_any_mass_in_turn():
    """Nothing of a step is left for the next."""
    airframe = Airframe.load("cf21B_500")
    (state, rng), dynamics = random_states(6), Dynamics(airframe, 6, 0.01, np.float64)
    command, push, heavy = rng.random((4, 6)), rng.standard_normal((6, 6)) * 1e-3, np.full((1, 6), 1.3)
    for others in ({}, {"push": push}, {"push": push, "mass_scale": heavy}, {"mass_scale": heavy}, {}):
        fresh, used = state.copy(), state.copy()
        Dynamics(airframe, 6, 0.01, np.float64).step(fresh, command, **others)
        dynamics.step(used, command, **others)
        np.testing.assert_array_equal(used, fresh)


@pytest.mark.parametrize("name", ["crazyflie", "cf21B_500"])
def test_a_vehicle_that_is_lost_harms_no_other(name):
    state, rng = random_states(9)
    state[ANGULAR_VELOCITY, 4], state[VELOCITY, 5] = np.nan, np.inf
    command, alone = rng.random((4, 9)), np.ascontiguousarray(state[:, [3]])
    with np.errstate(invalid="ignore", over="ignore"):
        Dynamics(Airframe.load(name), 9, 0.01, np.float64).step(state, command)
    Dynamics(Airframe.load(name), 1, 0.01, np.float64).step(alone, command[:, [3]])
    np.testing.assert_allclose(state[:, [3]], alone, rtol=1e-12, atol=1e-12)
    assert np.isfinite(np.delete(state, [4, 5], 1)).all()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["crazyflie", "cf21B_500"])
def test_a_copy_flies_as_the_original_does(name, copied):
    dynamics = Dynamics(Airframe.load(name), 3, 0.01, np.float64)
    command = np.full((4, 3), 0.8)
    state, _ = random_states(3)
    dynamics.step(state, command)
    other, twin = copied(dynamics), state.copy()
    for _ in range(20):
        dynamics.step(state, command)
        other.step(twin, command)
    np.testing.assert_array_equal(twin, state)
