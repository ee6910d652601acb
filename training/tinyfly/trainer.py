"""The training loop: fly a window, walk it back, fit the critic, turn the weights."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass

import numpy as np

import tinyfly
from tinyfly.acceptance import Diverged, accept
from tinyfly.airframe import Airframe
from tinyfly.columns import bias_column, input_scale, layers
from tinyfly.console import Report
from tinyfly.critic import CostateCritic
from tinyfly.errors import UserError
from tinyfly.optimizer import Muon
from tinyfly.physics import POSITION
from tinyfly.policy import Policy
from tinyfly.population import Ranges
from tinyfly.rollout import Rollout
from tinyfly.task import Recipe, Task, make_task
from tinyfly.weights import Weights, initial_weights

LESSONS = 576  # at most about so many states at a time teach the critic
LEARN_EVERY = 2  # updates: one of so many teaches it
RAMP = 0.2  # share of the updates over which the critic's word comes to count
WARM_UP = 3  # updates
GRADIENT_LIMIT = 1.0  # norm


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chooses; kept in the policy file."""

    task: str = "crazyflie"
    airframe: str = "crazyflie"
    seed: int = 0
    budget_s: float | None = None


def train(settings: Settings, progress: Report | None = None) -> Policy:
    """Train a policy; raises UserError when the task cannot be trained.

    A run that diverges or fails its acceptance flight is said to ``progress``'s owner by a UserError only
    after a second seed failed as well.
    """
    airframe = Airframe.load(settings.airframe)
    airframe.require_flyable()
    task = make_task(settings.task, airframe, settings.budget_s)
    reasons: list[str] = []
    for attempt in range(2):
        seed = settings.seed if attempt == 0 else settings.seed + 1_000_003
        try:
            weights, env_steps = optimise(task, seed, progress)
            provenance = asdict(settings) | {
                "used_seed": seed,
                "env_steps": env_steps,
                "retried": reasons,
                "recipe": asdict(task.recipe),
                "versions": {
                    "tinyfly": tinyfly.__version__,
                    "numpy": np.__version__,
                    "python": platform.python_version(),
                },
            }
            policy = Policy.create(
                task.contract, layers(task.contract, weights), airframe.to_dict(), provenance
            )
            accept(policy, airframe, task, seed)
        except Diverged as e:
            reasons.append(f"seed {seed}: {e}")
            continue
        return policy
    hint = (
        ": the airframe may ask too much of a family's policy, try --task tracking"
        if isinstance(task.population, Ranges)
        else ""
    )
    raise UserError("training failed twice, nothing was saved (" + "; ".join(reasons) + ")" + hint)


def optimise(task: Task, seed: int, progress: Report | None = None) -> tuple[Weights, int]:
    """Run a task's recipe; the weights and the number of environment steps. Raises Diverged."""
    r = task.recipe
    streams = np.random.SeedSequence(seed).spawn(3)
    rng = [np.random.default_rng(s) for s in streams]
    rollout = Rollout(task, r.environments, max(r.horizon), rng[0])
    symmetry = rollout.symmetry
    # The mean of independent draws is smaller than each by the root of their number.
    size = r.initial_size * math.sqrt(symmetry.order)
    scale, hover = input_scale(task.contract), task.contract.hover_action
    whole = initial_weights(rng[1], symmetry.history, scale, r.width, hover, size)
    whole.first[:, bias_column(task.contract)] = 0  # no bias at first
    weights = symmetry.modes(whole)
    optimizer = Muon(weights, symmetry.inputs(scale), r.momentum, r.decay)
    critic = CostateCritic(rollout, rng[2], r.critic_features) if r.critic else None
    mean, averaged = [np.zeros_like(w) for w in weights], 0
    env_steps = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for update in range(r.updates):
            steps = horizon(r, update, rollout.actor.past.stride)
            if update:
                rollout.advance(r.reset)
            rollout.forward(weights, steps)
            env_steps += steps * r.environments
            if rollout.drop_diverged(steps) > r.environments // 2 and update > r.updates // 2:
                raise Diverged(f"most environments were lost at update {update + 1} of {r.updates}")
            if critic:
                ramp = min(1.0, update / (r.updates * RAMP)) / (r.environments * steps)
                taught = lessons(steps, r.environments)
                costates = None
                if update % LEARN_EVERY == 0:
                    costates = np.empty((len(taught), *rollout.adjoint.all.shape), np.float32)
                beyond = critic.predict(steps) * np.float32(ramp)
                gradient = rollout.reverse(steps, beyond, costates, taught.step)
                if costates is not None:
                    critic.fit(
                        np.concatenate([critic.features(t) for t in taught], 2),
                        np.concatenate(list(costates), 1) * np.float32(r.environments * steps),
                    )
            else:
                gradient = rollout.reverse(steps)
            norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradient))
            if not math.isfinite(norm):
                raise Diverged(f"the gradient is not finite at update {update + 1} of {r.updates}")
            if norm > GRADIENT_LIMIT:
                for g in gradient:
                    g *= GRADIENT_LIMIT / norm
            optimizer.step(weights, gradient, learning_rate(r, update))
            if update >= r.updates * (1 - r.average):
                averaged += 1
                for m, w in zip(mean, weights, strict=True):
                    m += w
            if progress:
                error = np.sqrt(np.square(rollout.physics.state[steps, POSITION]).sum(0))
                metrics = {"loss": rollout.loss(steps), "error_m": float(error.mean())}
                progress((update + 1) / r.updates, metrics)
    if averaged:
        for m, w in zip(mean, weights, strict=True):
            np.divide(m, averaged, out=w)
    if not all(np.isfinite(w).all() for w in weights):
        raise Diverged("the weights are not finite")
    return symmetry.whole(weights), env_steps


def horizon(r: Recipe, update: int, stride: int) -> int:
    """Steps of this update's window: grows, since long windows of a bad policy teach little."""
    first, last = r.horizon
    steps = int(first + (last - first) * min(1.0, update / (r.updates * r.grow)))
    return steps - steps % stride


def lessons(steps: int, environments: int) -> range:
    """Steps of a window that teach the critic; later ones say too little about the time beyond."""
    early = steps - steps // 4
    return range(0, early, -(-early * environments // LESSONS))


def learning_rate(r: Recipe, update: int) -> float:
    """Linear warm-up, cosine decay."""
    decay = 0.5 * (1 + math.cos(math.pi * update / r.updates))
    return min(1.0, (update + 1) / WARM_UP) * (r.rate_end + (r.rate - r.rate_end) * decay)
