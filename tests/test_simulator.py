"""The reinforcement-learning step against the paper's task, written out plainly."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.disturbance import NO_NOISE, STILL, Noise, Wind
from tinyfly.dynamics import Dynamics
from tinyfly.errors import UserError
from tinyfly.program import CHUNK
from tinyfly.simulator import Reward, Simulator, fleet
from tinyfly.start import Start
from tinyfly.task import make_task

PAPER = Airframe.load("crazyflie")
F = np.float32


def simulator(n=200, seed=0, **settings):
    return Simulator(PAPER, n, np.random.default_rng(seed), **settings)


def actions(n, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (4, n)).astype(F)


def test_a_step_is_the_truths_step_with_the_command_of_the_action():
    s = simulator()
    state, a = s.state.copy(), actions(200)
    s.observe()
    s.step(a)
    Dynamics(PAPER, 200, 0.01).step(state, (a + 1) / 2, s.push)
    np.testing.assert_allclose(s.state, state, rtol=1e-6, atol=1e-6)


def test_the_reward_is_the_papers():
    s, a = simulator(), actions(200)
    s.observe()
    reward, terminated, _ = s.step(a)
    p, q, v = s.state[:3], s.state[3:7], s.state[7:10]
    cost = 5 * (p**2).sum(0) + 5 * (1 - q[0] ** 2) + 0.01 * (v**2).sum(0)
    cost += 0.01 * ((a - PAPER.hover_action) ** 2).sum(0)
    np.testing.assert_allclose(reward, np.where(terminated, 0, 2 - 0.5 * cost), atol=1e-5)


def test_leaving_the_box_or_turning_into_nan_terminates_and_pays_nothing():
    s = simulator(n=4, wind=STILL)
    s.observe()
    s.state[:3] = 0
    s.state[7:10] = 0
    s.state[1, 1], s.state[0, 2], s.state[2, 3] = 0.61, np.nan, -0.59
    reward, terminated, _ = s.step(np.full((4, 4), PAPER.hover_action, F))
    np.testing.assert_array_equal(terminated, [False, True, True, False])
    np.testing.assert_array_equal(reward == 0, [False, True, True, False])


def test_episodes_are_truncated_after_their_length_and_reset_alone():
    s = simulator(n=3, episode_steps=5, start=Start(position_m=0, angle_deg=0, velocity_m_s=0, rate_rad_s=0))
    hover = np.full((4, 3), PAPER.hover_action, F)
    for k in range(5):
        s.observe()
        _, terminated, truncated = s.step(hover)
        assert truncated.all() == (k == 4)
        if k == 2:
            s.reset(np.array([False, True, False]))
            s.age[1] = k + 1
    assert not terminated.any()
    s.reset(truncated)
    assert (s.age == 0).all()


def test_a_masked_reset_draws_fresh_starts_and_touches_no_one_else():
    s = simulator(n=50)
    before, pushes = s.state.copy(), s.push.copy()
    mask = np.arange(50) % 3 == 0
    s.reset(mask)
    np.testing.assert_array_equal(s.state[:, ~mask], before[:, ~mask])
    assert (s.state[7, mask] != before[7, mask]).all()
    assert (s.push[0, mask] != pushes[0, mask]).all()
    assert (s.observe()[:128, mask] == 0).all()


def test_starts_never_repeat_however_often_the_bank_runs_out():
    s = simulator(n=1000)
    seen = set()
    for _ in range(12):
        s.reset()
        seen |= set(s.state[7].tolist())
    assert len(seen) > 0.99 * 12 * 1000  # float32 in [-1, 1] collides a little


def test_the_papers_contract_has_the_airframes_hover_and_thrust_curve():
    airframe = Airframe.load("cf21B_500")
    contract = Simulator(airframe, 1, np.random.default_rng(0)).contract
    assert contract == paper_contract(hover_action=airframe.hover_action, thrust_curve=airframe.thrust_curve)


def test_noise_free_observations_hold_the_state_and_the_last_action():
    s, a = simulator(n=7, noise=NO_NOISE, contract=paper_contract()), actions(7)
    s.observe()
    s.step(a)
    x = s.observe()
    np.testing.assert_array_equal(x[124:128], a)
    np.testing.assert_array_equal(x[128:131], np.clip(s.state[:3], F(-0.6), F(0.6)))
    np.testing.assert_array_equal(x[143:146], s.state[10:13])


def test_the_same_seed_gives_the_same_flight_and_another_seed_another():
    def fly(seed):
        s = simulator(n=20, seed=seed, latency_steps=(0.0, 2.0))
        for k in range(30):
            s.observe()
            _, terminated, truncated = s.step(actions(20, seed=k))
            s.reset(terminated | truncated)
        return s.state.copy()

    np.testing.assert_array_equal(fly(3), fly(3))
    assert (fly(3) != fly(4)).any()


def test_a_fleet_covers_all_vehicles_in_ships_of_a_chunk_and_the_rest():
    ships = fleet(PAPER, 2 * CHUNK + 5, np.random.default_rng(0), reward=Reward(constant=1.0))
    assert [s.n for s in ships] == [CHUNK, CHUNK, 5]
    assert len({s.state[7, 0] for s in ships}) == len(ships)


def test_simulators_that_share_their_dynamics_fly_as_with_their_own():
    one, other = simulator(n=20, seed=1), simulator(n=20, seed=2)
    shared = Dynamics(PAPER, 20, 0.01)
    guests = [simulator(n=20, seed=seed, dynamics=shared) for seed in (1, 2)]
    for k in range(5):
        for s in (one, other, *guests):
            s.observe()
            s.step(actions(20, seed=k))
    np.testing.assert_array_equal(guests[0].state, one.state)
    np.testing.assert_array_equal(guests[1].state, other.state)


def test_a_step_allocates_no_row():
    s, a = simulator(n=CHUNK), actions(CHUNK)
    few = np.arange(CHUNK) % 1000 == 0
    for k in range(80):
        if k == 40:  # by now calls are written down, the history has been moved back, starts are drawn
            tracemalloc.start()
        s.observe()
        s.step(a)
        s.reset(few)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < CHUNK * 4


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"wind": Wind(gust=0.1)}, "steady"),
        ({"wind": Wind(force=np.full(3, 0.1))}, "of one size for all"),
        ({"noise": Noise(velocity_bias_m_s=0.1)}, "no biases"),
        ({"latency_steps": (-2.0, -1.0)}, "expected 0 or more"),
    ],
)
def test_what_a_simulator_has_not_is_refused_in_one_line(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        simulator(n=3, **settings)


@pytest.mark.parametrize("steps", [1.0, 1.5])
def test_latency_holds_back_the_first_commands(steps):
    s = simulator(n=2, latency_steps=(steps, steps), wind=STILL, start=Start(level=1.0, velocity_m_s=0))
    s.observe()
    s.step(np.ones((4, 2), F))
    np.testing.assert_allclose(s.state[13:], 0.5, atol=1e-6)  # commanded to half speed until then
    s.observe()
    s.step(np.ones((4, 2), F))
    assert (s.state[13:] > 0.5).all()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_flies_on_as_the_original_does(copied):
    """With all that an observer remembers, through resets; and neither moves the other."""
    contract = make_task("crazyflie", PAPER).contract
    original = simulator(n=6, contract=contract, latency_steps=(0.0, 2.0))

    def fly(s, steps):
        for k in range(steps):
            s.observe()
            s.step(actions(6, seed=k))
            s.reset(np.arange(6) == k % 8)
        return s.observe().copy()

    fly(original, 5)
    twin = copied(original)
    seen = fly(original, 40)
    np.testing.assert_array_equal(fly(twin, 40), seen)
    np.testing.assert_array_equal(twin.state, original.state)
