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
from quality import LOST, machine, median, paper_row, print_header, print_row, train_timed

from tinyfly import critic, trainer
from tinyfly.airframe import Airframe
from tinyfly.disturbance import Wind
from tinyfly.physics import POSITION, RATE, ROTATION, ROWS, VELOCITY
from tinyfly.task import Task, paper, with_history, with_recipe

CRAZYFLIE = Airframe.load("crazyflie")
INPUT_SCALE = trainer.input_scale


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
        "critic: scalar value": task,  # see ValueCritic
        "no mirrors": with_recipe(task, mirrors=False),
        "inputs not scaled": task,  # see `unscaled`
        "no history": with_history(task, 0),
        "no horizon curriculum": with_recipe(task, horizon=(horizon, horizon)),
        "no carry-over": with_recipe(task, reset=1.0),
        "no carry-over, no critic": with_recipe(task, reset=1.0, critic=False),
        "no adjoint limit": with_recipe(task, adjoint_limit=1e9),
        "no latency": replace(task, latency_s=0.0),
        "no disturbance": replace(task, wind=Wind(force=0.0, torque_m=0.0)),
        "no rotor lag": instant_rotors(task),
    }


def unscaled(*args):
    return np.ones_like(INPUT_SCALE(*args))


class SymmetricCritic(critic.CostateCritic):
    """Sees only what the actor sees: the noisy state and the action history."""

    def _values(self, t: int):
        r = self.rollout
        x = r.actor.input[min(t, r.steps - 1)]  # the last state has not been observed yet
        past, window = r.actor.past, r.actor.past.window(t)
        past = window.reshape(past.modes, past.length, past.each, r.n).swapaxes(1, 2).reshape(4, -1, r.n)
        past = np.tensordot(r.symmetry.fold_motors.reshape(4, 4).T, past, 1).swapaxes(0, 1)
        return [
            ("axial", 0.3 * x[RATE]),
            ("polar", 5 * x[POSITION]),
            ("polar", 2 * x[VELOCITY]),
            ("rotation", 1.5 * x[ROTATION]),
            ("scalar", x[ROWS:]),
            ("motors", past.reshape(-1, r.n).astype(np.float32)),
        ]


class ValueCritic(critic.CostateCritic):
    """A value in place of its gradient: the same solve, onto returns (a window's costs, then its own guess).

    A value is the same in every mirror, so its features are: what the first mode hears, squares of the body's
    state, sums of sisters. Their derivative by the state is the costate.
    """

    STATE = np.r_[0:22]  # of `_plain`: position, velocity, rate, rotation, rotors
    SQUARED = np.r_[0:18]  # of these the squares too; those of rotors change places in a mirror
    SCALE = np.repeat([5.0, 2.0, 0.3, 1.5, 2.0], [3, 3, 3, 9, 4]).astype(np.float32)[:, None]
    DISCOUNT = 0.97  # a step; without it the guesses feed on themselves and every run diverges
    ROWS = np.r_[POSITION, VELOCITY, RATE, ROTATION, 18:22]  # of the adjoint, in that order

    def __init__(self, rollout, rng, random) -> None:
        super().__init__(rollout, rng, random)
        n = self.features(0).shape[1]
        self.costate_basis = np.ones((1, 1, 1), np.float32)  # what is fitted is one number
        self.gram, self.moment = np.eye(n)[None] * 0.01, np.zeros((1, 1, n))
        self.matrix = np.zeros((1, 1, n), np.float32)

    def _plain(self, t: int):
        products = slice(32, 38)  # of two states: one derivative less to write
        plain = super()._plain(t)
        plain[products] = 0
        return plain

    def features(self, t: int):
        plain = self._plain(t)
        mode = super().features(t)[:1]
        return np.concatenate([mode, np.square(plain[None, self.SQUARED])], 1)

    def predict(self, t: int):
        plain, w = self._plain(t), self.matrix[0, 0]
        heard = self.basis.shape[1]
        linear, random, square = np.split(w, [heard, len(w) - len(self.SQUARED)])
        sisters = self._fold(self.random @ (self.basis @ plain))
        slope = (1 - np.square(np.tanh(sisters))) * (random * self.fold[0, 0])[:, None]
        gradient = self.basis[0].T @ linear[:, None]
        gradient = gradient + np.einsum(
            "jpv,jrp,jrn->vn", self.basis, self.random, self._fold(slope), optimize=True
        )
        gradient = gradient[self.STATE]
        gradient[self.SQUARED] += 2 * square[:, None] * plain[self.SQUARED]
        costate = np.zeros((len(self.rollout.adjoint.all), plain.shape[1]), np.float32)
        costate[self.ROWS] = gradient * self.SCALE
        return costate

    def fit(self, features, costates) -> None:
        r = self.rollout
        to_go = r.costs(r.steps)
        value = (self.matrix @ self.features(r.steps))[0, 0]
        for cost in to_go[::-1]:
            cost += self.DISCOUNT * value
            value = cost
        super().fit(features, to_go[trainer.lessons(r.steps, r.n)].reshape(1, -1))


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
        trainer.CostateCritic = CRITICS.get(name, privileged)
        trainer.input_scale = unscaled if name == "inputs not scaled" else INPUT_SCALE
        row = judge(task, a.seeds, a.episodes)
        if i == 0 or a.only:
            print_header("variant, median of seeds", row)
        print_row(name, row)


CRITICS = {"critic: symmetric": SymmetricCritic, "critic: scalar value": ValueCritic}


def judge(task: Task, seeds: int, episodes: int) -> dict[str, float]:
    rows = []
    for seed in range(seeds):
        try:
            policy, seconds = train_timed(task, seed)
        except trainer.Diverged:
            continue
        row = paper_row(policy, episodes, periods_s=(5.5,))
        late = paper_row(policy, episodes, 20, ())
        name = "with latency: hover mm"
        late = {name: late["hover mm"], name + LOST: 1 - late["survival"]}
        rows.append(row | late | {"train s": seconds})
    out = median(rows) if rows else {}
    return out | {
        "worst survival": min((r["survival"] for r in rows), default=0.0),
        "diverged": seeds - len(rows),
    }


if __name__ == "__main__":
    main()
