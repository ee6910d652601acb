"""Stable-Baselines3's PPO on `tinyfly.gym.QuadrotorVectorEnv`: an example, and its learning curve.

    pip install -e '.[sb3]'
    python benchmarks/sb3_ppo.py [--steps 2000000] [--tensorboard DIR]

Prints the learning curve: wall time, environment steps, mean length of an episode (500 is all of it).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from tinyfly.gym import QuadrotorVectorEnv


class SB3VecEnv(VecEnv):
    """The vector environment as Stable-Baselines3 wants it: an ended episode restarts in the same step."""

    def __init__(self, num_envs: int = 64, **settings: Any) -> None:
        self.env = QuadrotorVectorEnv(num_envs, autoreset="same_step", **settings)
        super().__init__(num_envs, self.env.single_observation_space, self.env.single_action_space)
        self._return, self._length = np.zeros(num_envs), np.zeros(num_envs, int)
        self.render_mode = None

    def reset(self) -> np.ndarray:
        self._return[:], self._length[:] = 0, 0
        return self.env.reset()[0]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        self._return += reward
        self._length += 1
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "episode": {"r": self._return[i], "l": int(self._length[i]), "t": 0.0},
            }
        self._return[done], self._length[done] = 0, 0
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("all vehicles share one simulator: give settings to the constructor")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("all vehicles share one simulator")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))


class Curve(BaseCallback):
    """Keeps and prints (wall time s, steps, mean episode length, mean return) now and then."""

    def __init__(self, every: int, show: bool = True) -> None:
        super().__init__()
        self.rows: list[tuple[float, int, float, float]] = []
        self._every, self._show, self._start = every, show, time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        ended = list(self.model.ep_info_buffer or [])
        if not ended or (self.rows and self.num_timesteps - self.rows[-1][1] < self._every):
            return
        length, total = (float(np.mean([e[key] for e in ended])) for key in ("l", "r"))
        self.rows.append((time.perf_counter() - self._start, self.num_timesteps, length, total))
        if self._show:
            print(
                "{:7.1f} s {:10,d} steps  episode {:5.0f} steps, return {:7.1f}".format(*self.rows[-1]),
                flush=True,
            )


def learn(steps: int, seed: int = 0, tensorboard: str | None = None, show: bool = True) -> tuple[PPO, Curve]:
    """Train PPO on the paper's task, each vehicle's hover from its thrown start."""
    curve = Curve(max(1, steps // 20), show)
    model = PPO(
        "MlpPolicy",
        SB3VecEnv(64),
        n_steps=128,
        batch_size=2048,
        n_epochs=5,
        gamma=0.98,
        learning_rate=1e-3,
        policy_kwargs={"net_arch": [64, 64], "log_std_init": -1.5},
        seed=seed,
        tensorboard_log=tensorboard,
        device="cpu",
    )
    return model.learn(steps, callback=curve), curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tensorboard", help="folder for TensorBoard's events")
    arguments = parser.parse_args()
    learn(arguments.steps, arguments.seed, arguments.tensorboard)


if __name__ == "__main__":
    main()
