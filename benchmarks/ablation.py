"""What each part of the trainer is worth: the paper's ablation study, redone with this trainer.

    python benchmarks/ablation.py [--seeds 5] [--episodes 300] [--only NAME ...]

Every variant of the `paper` task is trained with the same updates and seeds and flown on the same held-out
episodes; "with latency" are flights at 20 ms. Times are processor seconds of training, median over the seeds.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from quality import machine, median, paper_row, print_header, print_row, train_timed

from tinyfly import critic, trainer
from tinyfly.airframe import Airframe
from tinyfly.disturbance import Wind
from tinyfly.task import Task, paper, with_recipe

CRAZYFLIE = Airframe.load("crazyflie")


def without_history(task: Task) -> Task:
    c = task.contract
    channels = tuple(x for x in c.channels if x.name != "action_history")
    return replace(task, contract=replace(c, channels=channels, history_length=0))


def instant_rotors(task: Task) -> Task:
    """Trained with rotors that follow at once, flown with the real ones."""
    fast = replace(CRAZYFLIE, rotor_rise_per_s=(500.0, 0.0), rotor_fall_per_s=(500.0, 0.0))
    return replace(task, population=replace(task.population, airframe=fast))


def variants() -> dict[str, Task]:
    task = paper(CRAZYFLIE)
    horizon = max(task.recipe.horizon)
    return {
        "as it is": task,
        "critic: none": with_recipe(task, critic=False),
        "critic: symmetric": task,  # see SymmetricCritic
        "no history": without_history(task),
        "no horizon curriculum": with_recipe(task, horizon=(horizon, horizon)),
        "no carry-over": with_recipe(task, reset=1.0),
        "no carry-over, no critic": with_recipe(task, reset=1.0, critic=False),
        "no adjoint limit": with_recipe(task, adjoint_limit=1e9),
        "no latency": replace(task, latency_s=0.0),
        "no disturbance": replace(task, wind=Wind(force=0.0, torque_m=0.0)),
        "no rotor lag": instant_rotors(task),
    }


class SymmetricCritic(critic.CostateCritic):
    """Sees only what the actor sees: the noisy state and the action history."""

    def _plain(self, t: int):
        r, slots = self.rollout, self.rollout.actor.slots
        x = r.actor.input[min(t, r.steps - 1)]  # the last state has not been observed yet
        past = r.actor.actions[t : t + slots].reshape(4 * slots, r.n)
        scale = np.repeat([0.3, 5.0, 2.0, 1.5], [3, 3, 3, len(x) - 9])[:, None]
        return np.concatenate([x * scale, past]).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--only", nargs="*", choices=list(variants()), help="some variants")
    a = parser.parse_args()
    print(machine())
    privileged = trainer.CostateCritic
    for i, (name, task) in enumerate(variants().items()):
        if a.only and name not in a.only:
            continue
        trainer.CostateCritic = SymmetricCritic if "symmetric" in name else privileged
        row = judge(task, a.seeds, a.episodes)
        if i == 0 or a.only:
            print_header("variant, median of seeds", row)
        print_row(name, row)


def judge(task: Task, seeds: int, episodes: int) -> dict[str, float]:
    rows = []
    for seed in range(seeds):
        try:
            policy, seconds = train_timed(task, seed)
        except trainer.Diverged:
            continue
        row = paper_row(policy, episodes, periods_s=(5.5,))
        late = paper_row(policy, episodes, 20, ())
        chosen = {k: row[k] for k in ("survival", "hover mm", "eight 5.5 s mm")}
        rows.append(chosen | {"with latency: hover mm": late["hover mm"], "train s": seconds})
    out = median(rows) if rows else {}
    return out | {
        "worst survival": min((r["survival"] for r in rows), default=0.0),
        "diverged": seeds - len(rows),
    }


if __name__ == "__main__":
    main()
