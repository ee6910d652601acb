"""The simulator as Gymnasium environments: `QuadrotorVectorEnv` for many vehicles, `QuadrotorEnv` for one.

Installed with the extra ``gym``; importing this module registers ``tinyfly/Quadrotor-v0``.
Observations are the contract's inputs (see `contract`), actions four rotor commands in [-1, 1], rewards the
paper's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as e:  # the module is of no use without it
    raise ImportError("tinyfly.gym needs Gymnasium: pip install -e '.[gym]'") from e

from tinyfly.airframe import Airframe
from tinyfly.errors import UserError
from tinyfly.simulator import Simulator

Info = dict[str, Any]


def _spaces(simulator: Simulator) -> tuple[spaces.Box, spaces.Box]:
    most = np.finfo(np.float32).max  # nothing bounds an angular velocity
    observation = spaces.Box(-most, most, (simulator.contract.size,), np.float32)
    return observation, spaces.Box(-1.0, 1.0, (4,), np.float32)


class QuadrotorVectorEnv(VectorEnv):
    """``num_envs`` quadrotors stepped at once; keyword settings are `Simulator`'s.

    Autoreset, ``next_step``: the step that ends an episode returns its last observation; the one after it
    ignores that vehicle's action, starts a new episode and returns its first observation, with reward 0.
    ``same_step``: the step that ends an episode returns the first observation of the next; the last one is
    ``info["final_obs"]``, where ``info["_final_obs"]`` is true.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 64,
        airframe: str | Airframe = "crazyflie",
        autoreset: str = "next_step",
        **settings: Any,
    ) -> None:
        mode = {"next_step": AutoresetMode.NEXT_STEP, "same_step": AutoresetMode.SAME_STEP}[autoreset]
        self.metadata = {**self.metadata, "autoreset_mode": mode}
        self._same_step = mode == AutoresetMode.SAME_STEP
        self._airframe = airframe if isinstance(airframe, Airframe) else Airframe.load(airframe)
        self._settings = settings
        self.num_envs, self.render_mode = num_envs, None
        self._simulator = self._make(None)
        self.single_observation_space, self.single_action_space = _spaces(self._simulator)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = np.zeros(num_envs, bool)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Start all episodes anew -> observations (num_envs, inputs), info; a seed restarts randomness."""
        super().reset(seed=seed)
        if seed is not None:
            self._simulator = self._make(seed)
        else:
            self._simulator.reset()
        self._ended[:] = False
        return self._observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Actions (num_envs, 4) -> observations, rewards, terminated, truncated, info."""
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_space.shape:
            raise UserError(f"actions of shape {actions.shape}: expected {self.action_space.shape}")
        clipped = np.clip(actions.T, -1, 1)
        reward, terminated, truncated = self._simulator.step(np.ascontiguousarray(clipped))
        if self._same_step:
            return self._restarted(reward.astype(np.float64), terminated.copy(), truncated.copy())
        self._simulator.reset(self._ended)
        going = ~self._ended
        terminated, truncated = terminated & going, truncated & going
        self._ended = terminated | truncated
        return self._observe(), np.where(going, reward, 0).astype(np.float64), terminated, truncated, {}

    def _restarted(
        self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """What a step returns when episodes restart in it."""
        ended, info = terminated | truncated, {}
        if ended.any():
            # Looked at twice at one moment: the observer's clock stands, so its history and integral do too.
            info = {"final_obs": self._observe(), "_final_obs": ended}
            self._simulator.reset(ended)
        return self._observe(), reward, terminated, truncated, info

    def _make(self, seed: int | None) -> Simulator:
        return Simulator(self._airframe, self.num_envs, np.random.default_rng(seed), **self._settings)

    def _observe(self) -> np.ndarray:
        return self._simulator.observe().T.copy()


class QuadrotorEnv(gymnasium.Env):
    """One quadrotor; keyword settings are `Simulator`'s, and ``autoreset``.

    ``same_step`` hands the last observation of an episode over in ``info["final_obs"]``.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, airframe: str | Airframe = "crazyflie", **settings: Any) -> None:
        self._all = QuadrotorVectorEnv(1, airframe, **settings)
        self.observation_space, self.action_space = (
            self._all.single_observation_space,
            self._all.single_action_space,
        )

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Start an episode -> observation (inputs,), info."""
        super().reset(seed=seed)
        return self._all.reset(seed=seed)[0][0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Action (4,) -> observation, reward, terminated, truncated, info."""
        observation, reward, terminated, truncated, info = self._all.step(np.asarray(action)[None])
        info = {"final_obs": info["final_obs"][0]} if "final_obs" in info else {}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info


gymnasium.register(
    "tinyfly/Quadrotor-v0",
    entry_point="tinyfly.gym:QuadrotorEnv",
    vector_entry_point="tinyfly.gym:QuadrotorVectorEnv",
)
