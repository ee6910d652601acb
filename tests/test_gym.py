"""Gymnasium's own checkers, and the contract of its vector environments."""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from gymnasium.utils.env_checker import check_env  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402
from gymnasium.wrappers.vector import RecordEpisodeStatistics  # noqa: E402

from tinyfly.errors import UserError  # noqa: E402
from tinyfly.gym import QuadrotorEnv, QuadrotorVectorEnv  # noqa: E402

ROOT = Path(__file__).parent.parent


def test_gymnasiums_checker_is_content():
    check_env(gymnasium.make("tinyfly/Quadrotor-v0").unwrapped, skip_render_check=True)


def test_made_by_name_vectors_are_batches_of_the_single_environment():
    envs = gymnasium.make_vec("tinyfly/Quadrotor-v0", num_envs=3)
    observation, _ = envs.reset(seed=0)
    assert observation.shape == (3, 146)
    assert observation in envs.observation_space
    assert envs.single_observation_space == QuadrotorEnv().observation_space
    observation, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert observation in envs.observation_space
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert terminated.dtype == truncated.dtype == bool


def test_the_same_seed_gives_the_same_episode():
    def fly(seed):
        envs = QuadrotorVectorEnv(4)
        seen = [envs.reset(seed=seed)[0]]
        for k in range(20):
            seen.append(envs.step(np.full((4, 4), k / 20, np.float32))[0])
        return np.stack(seen)

    np.testing.assert_array_equal(fly(1), fly(1))
    assert (fly(1) != fly(2)).any()


def test_the_step_after_the_last_starts_anew_and_pays_nothing():
    envs = QuadrotorVectorEnv(5, episode_steps=3)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.reset(seed=0)
    for k in range(8):
        observation, reward, terminated, truncated, _ = envs.step(np.zeros((5, 4)))
        if k in (2, 6):
            assert truncated.all()
            assert (observation[:, 120:128] == 0).all()  # the actions flown: half speed
        if k in (3, 7):
            assert not (terminated | truncated).any()
            assert (reward == 0).all()
            assert (np.abs(observation[:, 128:131]) <= 0.21).all()  # within the start's box
    first = QuadrotorVectorEnv(1, episode_steps=1)
    first.reset(seed=3)
    last, *_ = first.step(np.ones((1, 4)))
    assert (last[0, 124:128] == 1).all()  # the final observation still shows its own action
    fresh, *_ = first.step(np.ones((1, 4)))
    assert (fresh[0, :128] == 0).all()  # and the new episode's shows none


def test_gymnasiums_episode_statistics_count_whole_episodes():
    envs = RecordEpisodeStatistics(QuadrotorVectorEnv(2, episode_steps=4))
    envs.reset(seed=0)
    lengths = []
    for _ in range(15):
        *_, info = envs.step(np.full((2, 4), 0.334, np.float32))
        if "episode" in info:
            lengths += list(info["episode"]["l"][info["_episode"]])
    assert lengths
    assert set(lengths) == {4}


def test_same_step_autoreset_hands_over_the_last_observation():
    envs = QuadrotorVectorEnv(2, autoreset="same_step", episode_steps=3)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    for k in range(7):
        observation, reward, _, truncated, info = envs.step(np.ones((2, 4)))
        assert (reward != 0).any()
        if k in (2, 5):
            assert truncated.all() and info["_final_obs"].all()
            assert (info["final_obs"][:, 124:128] == 1).all()  # it still shows its own action
            assert (observation[:, :128] == 0).all()  # the new episode's shows none
        else:
            assert not truncated.any() and not info


def test_the_single_environment_hands_the_last_observation_over_as_well():
    env = QuadrotorEnv(autoreset="same_step", episode_steps=2)
    env.reset(seed=0)
    assert env.step(np.ones(4))[4] == {}
    first, _, _, truncated, info = env.step(np.ones(4))
    assert truncated
    assert (info["final_obs"][124:128] == 1).all() and info["final_obs"] in env.observation_space
    assert (first[:128] == 0).all()


@pytest.mark.parametrize("shape", [(1, 4), (4, 3), (4,), (3, 4, 1)])
def test_actions_of_another_shape_are_refused(shape):
    envs = QuadrotorVectorEnv(3)
    envs.reset(seed=0)
    with pytest.raises(UserError, match=r"expected \(3, 4\)"):
        envs.step(np.zeros(shape))


def test_a_copied_environment_goes_on_as_the_original_does():
    env = QuadrotorEnv(episode_steps=20)
    env.reset(seed=0)
    env.step(np.zeros(4))
    twin = copy.deepcopy(env)
    for _ in range(50):
        ours, theirs = (e.step(np.full(4, 0.5)) for e in (env, twin))
        np.testing.assert_array_equal(theirs[0], ours[0])
        assert theirs[1:] == ours[1:]
        if ours[2] or ours[3]:
            env.reset()
            twin.reset()


def test_stable_baselines_ppo_trains_on_it():
    """Two updates, to see that it runs; that it learns is measured in docs/evaluation.md."""
    pytest.importorskip("stable_baselines3")
    spec = importlib.util.spec_from_file_location("sb3_ppo", ROOT / "benchmarks/sb3_ppo.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    model, curve = example.learn(2 * 64 * 128, show=False)
    assert model.num_timesteps == 2 * 64 * 128
    assert curve.rows and all(np.isfinite(row).all() for row in curve.rows)
