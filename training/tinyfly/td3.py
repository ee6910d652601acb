"""The paper's own algorithm, in one file: asymmetric TD3 (Fujimoto et al., 2018) on one quadrotor.

*Learning to Fly in Seconds* (Eschmann, Albani, Loianno, arXiv 2311.13081): one environment, 300,000 steps of
0.01 s, off-policy. The actor sees noisy observations and 32 past actions; both critics see the truth,
disturbance and rotor speeds included. Its numbers are below. The cost's weights grow every 100,000 steps, and
because the replay buffer keeps what the reward is made of rather than the reward, the past is judged by
today's weights.

This shows that the reproduction is honest, and what the gradient through the simulator buys
(docs/training.md). It needs torch; nothing else in training does.
"""

from __future__ import annotations

import copy
import platform
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np

import tinyfly
from tinyfly.acceptance import Diverged, accept
from tinyfly.airframe import Airframe
from tinyfly.console import Report
from tinyfly.episodes import rotation_matrices
from tinyfly.errors import UserError
from tinyfly.network import Layer, act
from tinyfly.policy import Policy
from tinyfly.simulator import Reward, Simulator
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY
from tinyfly.task import paper

PRIVILEGED = 28  # position, rotation, velocity, angular velocity, force, torque, rotor speeds
STREAM = 0x7D3  # first word of its seeds, which neither evaluation nor `trainer` uses
TERMS = 4  # |p|^2, 1 - q_w^2, |v|^2, |a - a_hover|^2


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper's numbers, as its code has them."""

    airframe: str = "crazyflie"
    seed: int = 0
    steps: int = 300_000
    width: int = 64
    batch: int = 256
    discount: float = 0.99
    polyak: float = 0.005
    learning_rate: float = 1e-3
    critic_every: int = 10
    critic_from: int = 15_000
    actor_every: int = 20
    actor_from: int = 30_000
    exploration: float = 0.5  # standard deviation of the noise on actions
    target_noise: float = 0.2  # and on the target actor's, clipped
    target_noise_limit: float = 0.5
    curriculum_every: int = 100_000
    growth: tuple[float, float, float, float] = (1.2, 1.0, 1.4, 1.4)  # position, attitude, velocity, action


class Replay:
    """What happened, in order: the next observation is the next entry's, so each is kept once."""

    def __init__(self, capacity: int, observation: int) -> None:
        self.observation = np.empty((capacity, observation), np.float32)
        self.truth = np.empty((capacity, PRIVILEGED), np.float32)
        self.action = np.empty((capacity, 4), np.float32)
        self.terms = np.empty((capacity, TERMS), np.float32)
        self.terminated = np.zeros(capacity, np.float32)
        self.last = np.zeros(capacity, bool)  # an episode's final observation, after which nothing follows
        self.size = 0

    def add(self, observation: np.ndarray, truth: np.ndarray) -> None:
        """The observation of a new step (or of an episode's end); the rest is filled in once it is known."""
        self.observation[self.size], self.truth[self.size] = observation, truth
        self.size += 1

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Indices of n steps whose successor is known."""
        index = rng.integers(0, self.size - 1, n)
        while (bad := self.last[index]).any():
            index[bad] = rng.integers(0, self.size - 1, int(bad.sum()))
        return index


def train(settings: Settings, progress: Report | None = None) -> Policy:
    """Train for ``settings.steps`` steps; raises UserError when torch is missing or the policy not accepted.

    Its acceptance flights are those of `trainer.train`, on time alone: it is not trained for any latency.
    """
    try:
        import torch
    except ImportError:
        raise UserError("--algorithm td3 needs torch: pip install -e '.[torch]'") from None
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    s, rng = settings, np.random.default_rng([STREAM, settings.seed])
    airframe = Airframe.load(s.airframe)
    airframe.require_flyable()
    world = Simulator(airframe, 1, rng)
    hover, inputs = world.contract.hover_action, world.contract.size

    def network(sizes: tuple[int, ...], output: type[torch.nn.Module]) -> torch.nn.Sequential:
        parts: list[torch.nn.Module] = []
        for a, b in pairwise(sizes):
            parts += [torch.nn.Linear(a, b), torch.nn.Tanh()]
        return torch.nn.Sequential(*parts[:-1], output())

    w = s.width
    actor = network((inputs, w, w, 4), torch.nn.Tanh)
    critics = [network((PRIVILEGED + 4, w, w, 1), torch.nn.Identity) for _ in range(2)]
    target_actor, target_critics = copy.deepcopy(actor), copy.deepcopy(critics)
    parameters = [p for c in critics for p in c.parameters()]
    critic_optimizer = torch.optim.Adam(parameters, lr=s.learning_rate)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=s.learning_rate)
    layers = policy_layers(actor)  # NumPy views of the actor's memory: always its present weights
    replay = Replay(s.steps + s.steps // 10 + 1000, inputs)
    reward, weights = Reward(), np.ones(TERMS)

    def tensors(index: np.ndarray, *arrays: np.ndarray) -> list[torch.Tensor]:
        return [torch.from_numpy(a[index]) for a in arrays]

    def update_critics() -> None:
        i = replay.sample(rng, s.batch)
        truth, action = tensors(i, replay.truth, replay.action)
        next_observation, next_truth = tensors(i + 1, replay.observation, replay.truth)
        ended = torch.from_numpy(replay.terminated[i])
        r = torch.from_numpy(_rewards(replay.terms[i], replay.terminated[i], reward, weights))
        with torch.no_grad():
            noise = (torch.randn(s.batch, 4) * s.target_noise).clamp(
                -s.target_noise_limit, s.target_noise_limit
            )
            next_action = (target_actor(next_observation) + noise).clamp(-1, 1)
            ahead = torch.cat([next_truth, next_action], 1)
            value = torch.minimum(target_critics[0](ahead), target_critics[1](ahead))[:, 0]
            wanted = r + s.discount * (1 - ended) * value
        now = torch.cat([truth, action], 1)
        loss = torch.stack([torch.square(c(now)[:, 0] - wanted).mean() for c in critics]).sum()
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()
        for t, c in zip(target_critics, critics, strict=True):
            _follow(t, c, s.polyak)

    def update_actor() -> None:
        observation, truth = tensors(replay.sample(rng, s.batch), replay.observation, replay.truth)
        loss = -critics[0](torch.cat([truth, actor(observation)], 1)).mean()
        actor_optimizer.zero_grad()
        loss.backward()
        actor_optimizer.step()
        _follow(target_actor, actor, s.polyak)

    replay.add(world.observe()[:, 0], _truth(world))
    lengths = [0]
    for step in range(s.steps):
        at = replay.size - 1
        action = act(layers, replay.observation[at][:, None])
        action = np.clip(action + s.exploration * rng.standard_normal((4, 1)), -1, 1).astype(np.float32)
        _, terminated, truncated = world.step(action)
        replay.action[at], replay.terminated[at] = action[:, 0], terminated[0]
        replay.terms[at] = _terms(world.state[:, 0], action[:, 0] - np.float32(hover))
        replay.add(world.observe()[:, 0], _truth(world))
        lengths[-1] += 1
        if terminated[0] or truncated[0]:
            replay.last[replay.size - 1] = True
            world.reset()
            replay.add(world.observe()[:, 0], _truth(world))
            lengths.append(0)
        if step >= s.critic_from and step % s.critic_every == 0:
            update_critics()
        if step >= s.actor_from and step % s.actor_every == 0:
            update_actor()
        if (step + 1) % s.curriculum_every == 0:
            weights *= s.growth
        if progress and step % 1000 == 0:
            progress(step / s.steps, {"episode_steps": float(np.mean(lengths[-20:]))})
    provenance = {
        "algorithm": "td3",
        "task": "paper",
        "settings": asdict(s),
        "seed": s.seed,
        "env_steps": s.steps,
        "versions": {
            "tinyfly": tinyfly.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    policy = Policy.create(world.contract, policy_layers(actor), airframe.to_dict(), provenance)
    try:
        accept(policy, airframe, replace(paper(airframe), latency_s=0.0), s.seed)
    except Diverged as e:
        raise UserError(f"training failed, nothing was saved: {e}") from None
    return policy


def policy_layers(actor) -> tuple[Layer, ...]:
    """A torch network of linear and tanh as the policy file's layers, sharing its memory."""
    linear = [m for m in actor if hasattr(m, "weight")]
    return tuple(Layer(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear)


def _truth(world: Simulator) -> np.ndarray:
    """(28,) what the critics see. Forces in weights / 20 and weights / 10000 m: of order 1."""
    x, weight = world.state[:, 0], world.airframe.weight_n
    rotation = rotation_matrices(x[QUATERNION, None])[:, :, 0].ravel()
    disturbance = world.push[:, 0] / (weight * np.array([1 / 20] * 3 + [1e-4] * 3))
    return np.concatenate(
        [x[POSITION], rotation, x[VELOCITY], x[ANGULAR_VELOCITY], disturbance, 2 * x[ROTOR_SPEED] - 1]
    )


def _terms(x: np.ndarray, action_error: np.ndarray) -> np.ndarray:
    """What the reward weighs."""
    p, v = x[POSITION], x[VELOCITY]
    return np.array([p @ p, 1 - x[QUATERNION][0] ** 2, v @ v, action_error @ action_error])


def _rewards(terms: np.ndarray, terminated: np.ndarray, r: Reward, growth: np.ndarray) -> np.ndarray:
    """(n,) rewards by today's weights; 0 on a terminating step."""
    weights = np.array([r.position, r.attitude, r.velocity, r.action]) * growth
    return ((r.constant - r.scale * (terms @ weights)) * (1 - terminated)).astype(np.float32)


def _follow(target, source, share: float) -> None:
    for t, p in zip(target.parameters(), source.parameters(), strict=True):
        t.data.lerp_(p.data, share)
