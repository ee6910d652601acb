"""Training: reliable, repeatable, and saving only what flies."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from rollouts import CRAZYFLIE, rollout_of

from tinyfly import columns, trainer
from tinyfly import task as tasks
from tinyfly.errors import UserError
from tinyfly.evaluate import fly_scenario
from tinyfly.network import act
from tinyfly.observation import Observer
from tinyfly.optimizer import Muon, orthogonalise
from tinyfly.physics import POSITION, RATE
from tinyfly.policy import Policy
from tinyfly.weights import Weights


def short(task, **changes):
    """The task with a recipe of a few hundredths of a second."""
    return tasks.with_recipe(task, **{"updates": 4, "environments": 16, "horizon": (10, 20)} | changes)


def test_half_a_second_of_training_flies():
    policy = trainer.train(trainer.Settings(task="paper", budget_s=0.5, seed=3))
    row = fly_scenario(policy, CRAZYFLIE, "hover", episodes=200).row()
    assert row["survival"] >= 0.99
    assert row["hover_error_m"] <= 0.06


@pytest.mark.parametrize("name", tasks.TASKS)
def test_same_seed_gives_the_same_file(name, tmp_path, monkeypatch):
    make = tasks.make_task
    monkeypatch.setattr(trainer, "make_task", lambda *a: short(make(*a)))
    monkeypatch.setattr(trainer, "accept", lambda *a: None)
    files = [
        trainer.train(trainer.Settings(task=name, seed=seed)).save(tmp_path / f"{i}.policy").read_bytes()
        for i, seed in enumerate((1, 1, 2))
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("name", tasks.TASKS)
def test_the_policy_computes_what_the_actor_computed(name):
    """Columns permuted into the contract's order, biases split off, scales accounted for."""
    task = tasks.make_task(name, CRAZYFLIE)
    rollout, weights = rollout_of(task)
    weights.last[..., :-1] *= 20
    rollout.forward(weights, 20)
    t, n, x = 15, rollout.n, rollout.actor.input[15]
    past = rollout.actor.actions[: rollout.actor.slots + t]  # before it all were nought
    values = {
        "action_history": np.pad(past, ((32 - len(past), 0), (0, 0), (0, 0))).reshape(128, n),
        "position_error": x[3:6] - rollout.integrated[15],
        "rotation": x[9:18].reshape(3, 3, n).transpose(1, 0, 2).reshape(9, n),
        "velocity_error": x[6:9],
        "angular_velocity": x[0:3],
        "position_integral": rollout.integrated[15],
        "specific_force": x[18:21],
        "angular_acceleration": x[21:24],
        "reference_acceleration": x[25:28],
        "acceleration_preview": x[28:34],
    }
    units = {c.name: np.float32(c.scale / columns.UNITS.get(c.name, 1)) for c in task.contract.channels}
    observation = np.concatenate([values[c.name] * units[c.name] for c in task.contract.channels])
    actions = act(columns.layers(task.contract, rollout.symmetry.whole(weights)), observation)
    np.testing.assert_allclose(actions, rollout.actor.actions[rollout.actor.slots + t], atol=2e-6)


def test_a_failing_run_is_retried_once_then_refused_with_both_reasons(monkeypatch):
    make, seeds, optimise = tasks.make_task, [], trainer.optimise
    monkeypatch.setattr(trainer, "make_task", lambda *a: short(make(*a)))

    def counted(task, seed, progress=None):
        seeds.append(seed)
        return optimise(task, seed, progress)

    monkeypatch.setattr(trainer, "optimise", counted)
    with pytest.raises(UserError, match=r"failed twice, nothing was saved \(seed 7: .*; seed 1000010: "):
        trainer.train(trainer.Settings(task="paper", seed=7))
    assert seeds == [7, 1_000_010]


def test_a_retry_that_succeeds_is_recorded(monkeypatch):
    make, calls = tasks.make_task, []
    monkeypatch.setattr(trainer, "make_task", lambda *a: short(make(*a)))

    def accept(policy, airframe, task, seed):
        calls.append(seed)
        if len(calls) == 1:
            raise trainer.Diverged("made to fail")

    monkeypatch.setattr(trainer, "accept", accept)
    policy = trainer.train(trainer.Settings(task="paper", seed=7))
    assert policy.provenance["retried"] == ["seed 7: made to fail"]
    assert policy.provenance["used_seed"] == 1_000_010


def test_weights_that_are_not_finite_are_a_failed_run(monkeypatch):
    monkeypatch.setattr(trainer.Muon, "step", lambda self, weights, *rest: weights.first.fill(np.nan))
    with pytest.raises(trainer.Diverged, match="finite"):
        trainer.optimise(short(tasks.paper(CRAZYFLIE), updates=1), 0)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_lost_environments_never_reach_the_optimiser(poison):
    rollout, weights = rollout_of(tasks.crazyflie(CRAZYFLIE))
    rollout.physics.state[0, RATE, 3:5] = poison
    with np.errstate(all="ignore"):
        rollout.forward(weights, 20)
        assert rollout.drop_diverged(20) == 2
        gradient = rollout.reverse(20)
        rollout.advance(0.0)
    assert all(np.isfinite(g).all() for g in gradient)
    assert np.isfinite(rollout.physics.state[0]).all(), "and they start afresh"


def test_an_airframe_that_cannot_fly_is_refused(tmp_path):
    toml = (tmp_path / "brick.toml").with_suffix(".toml")
    numbers = replace(CRAZYFLIE, mass_kg=0.06, name="brick").to_dict()
    toml.write_text(
        "\n".join(f"{k} = {str(list(v)) if isinstance(v, tuple) else repr(v)}" for k, v in numbers.items())
        .replace("(", "[")
        .replace(")", "]")
    )
    with pytest.raises(UserError, match="cannot fly: thrust/weight is"):
        trainer.train(trainer.Settings(task="paper", airframe=str(toml)))


def test_unknown_task_is_refused_by_name():
    with pytest.raises(UserError, match="no task 'dance': expected one of paper, crazyflie, tracking"):
        trainer.train(trainer.Settings(task="dance"))


def test_carried_over_environments_fly_on_where_they_were():
    rollout, weights = rollout_of(tasks.crazyflie(CRAZYFLIE))
    rollout.forward(weights, 20)
    actor = rollout.actor
    past = [*actor.actions[20 : 20 + actor.slots], *actor.past.window(20)]
    before = rollout.physics.state[20].copy(), np.concatenate(past)
    rollout.advance(0.0)
    kept = np.abs(before[0][POSITION]).max(0) < rollout.task.lost_m
    assert kept.sum() > 8
    np.testing.assert_array_equal(rollout.physics.state[0][:, kept], before[0][:, kept])
    past = np.concatenate([*actor.actions[: actor.slots], *actor.past.window(0)])
    np.testing.assert_array_equal(past[:, kept], before[1][:, kept])


def test_orthogonalised_matrices_have_singular_values_near_one():
    for shape in ((64, 150), (150, 64), (4, 65), (4, 16, 38)):
        m = np.random.default_rng(0).standard_normal(shape)
        values = np.linalg.svd(orthogonalise(m), compute_uv=False)
        assert values.min() > 0.5 and values.max() < 1.3


def test_a_small_input_is_learnt_as_fast_as_it_would_be_in_larger_units():
    rng = np.random.default_rng(0)
    scale, rate = rng.uniform(0.5, 4, 9), 0.1
    mine, theirs = (Weights(*(np.ones(shape) for shape in ((8, 9), (8, 9), (4, 9)))) for _ in range(2))
    theirs.first[:] = mine.first / scale  # whose inputs come multiplied by the scale
    scaled, plain = Muon(mine, scale, decay=0.3), Muon(theirs, np.ones(9), decay=0.3)
    for _ in range(5):
        gradient = Weights(*(rng.standard_normal(w.shape) for w in mine))
        scaled.step(mine, gradient, rate)
        plain.step(theirs, replace(gradient, first=gradient.first * scale), rate)
    for a, b in zip(mine, replace(theirs, first=theirs.first * scale), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_last_weights_can_be_averaged(monkeypatch):
    seen = []
    step = Muon.step

    def spy(self, weights, *rest):
        step(self, weights, *rest)
        seen.append([w.copy() for w in weights])

    monkeypatch.setattr(trainer.Muon, "step", spy)
    task = short(tasks.paper(CRAZYFLIE), average=0.5)
    result = rollout_of(task)[0].symmetry.modes(trainer.optimise(task, 0)[0])
    for w, last in zip(result, zip(*seen[-2:], strict=True), strict=True):
        np.testing.assert_allclose(w, np.mean(last, 0), atol=1e-6)


def test_windows_begin_with_an_advance_of_a_slow_history():
    task = tasks.with_history(tasks.paper(CRAZYFLIE), 8, 50.0)
    assert {trainer.horizon(task.recipe, u, 2) % 2 for u in range(task.recipe.updates)} == {0}
    with pytest.raises(UserError, match="history_rate_hz 30 does not divide"):
        rollout_of(tasks.with_history(task, 8, 30.0))


@pytest.mark.parametrize("stride", [2, 3])
def test_a_slow_history_is_what_the_observer_keeps(stride, monkeypatch):
    task = tasks.with_history(tasks.paper(CRAZYFLIE), 5, 100 / stride)
    rollout, weights = rollout_of(task, steps=12)
    actor, observer, forward = rollout.actor, Observer(task.contract, rollout.n), rollout.actor.forward
    fold = rollout.symmetry.fold_motors.reshape(4, 4)
    sensed, reference, times = np.zeros((13, rollout.n), np.float32), np.zeros((9, 1), np.float32), count()

    def spy(t):
        seen = observer.observe(10_000 * next(times), sensed, reference)
        past = fold @ seen[: rollout.symmetry.history].reshape(-1, 4, rollout.n)
        np.testing.assert_allclose(actor.past.window(t), past.swapaxes(0, 1), atol=1e-6)
        forward(t)
        observer.record(actor.actions[actor.slots + t])

    for _ in range(-(-stride // 2)):  # its first slot is half as long: a margin against jitter
        observer.observe(10_000 * next(times), sensed, reference)
        observer.record(np.zeros((4, rollout.n), np.float32))
    monkeypatch.setattr(actor, "forward", spy)
    rollout.forward(weights, 12)
    rollout.advance(0.0)
    rollout.forward(weights, 12)


def test_a_saved_policy_keeps_its_seed_recipe_and_steps(tmp_path, monkeypatch):
    make = tasks.make_task
    monkeypatch.setattr(trainer, "make_task", lambda *a: short(make(*a)))
    monkeypatch.setattr(trainer, "accept", lambda *a: None)
    policy = Policy.load(trainer.train(trainer.Settings(task="paper", seed=5)).save(tmp_path / "p.policy"))
    assert policy.provenance["seed"] == policy.provenance["used_seed"] == 5
    assert policy.provenance["recipe"]["updates"] == 4
    assert policy.provenance["env_steps"] == 16 * (10 + 14 + 18 + 20)
    assert isinstance(weights_of(policy), Weights)


def weights_of(policy):
    return Weights(*(layer.weight for layer in policy.layers))
