"""Evaluation: what counts as lost, that cases are held out and the same for all, what is refused."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tinyfly import evaluate as module
from tinyfly.airframe import Airframe
from tinyfly.cli import main
from tinyfly.contract import Contract, paper_contract
from tinyfly.controllers import Geometric, PaperPolicy
from tinyfly.disturbance import STILL, Noise, Wind
from tinyfly.errors import UserError
from tinyfly.evaluate import SCENARIOS, Evaluation, Outcome, compare, evaluate, fly_scenario
from tinyfly.flight import Conditions, fly
from tinyfly.start import Start
from tinyfly.trajectory import Hover, sample

PAPER, IDENTIFIED = Airframe.load("crazyflie"), Airframe.load("cf2x_L250")


@dataclass
class Constant:
    """Always the same action; remembers what it was shown."""

    action: float
    contract: Contract = field(default_factory=paper_contract)
    seen: list = field(default_factory=list)

    def act(self, observation):
        self.seen.append(observation[128:].copy())
        return np.full((4, observation.shape[1]), self.action, np.float32)


def test_falling_is_lost_and_costs_the_bound():
    row = fly_scenario(Constant(-1.0), PAPER, "hover", episodes=20).row()
    assert row["survival"] == 0
    assert row["hover_error_m"] == 2.0
    assert np.isnan(row["hover_error_m_ci"]).all()  # nobody is left to have one


def test_an_errors_interval_begins_at_nought_however_few_survive():
    none = np.zeros(2, bool)
    row = Outcome("hover", 0.0, ~none, {"error_m": np.array([0.1, 0.6])}, none).row()
    assert row["error_m_ci"][0] == 0 and row["error_m_ci"][1] > 3


def test_not_a_number_is_lost():
    outcome = fly_scenario(Constant(np.nan), PAPER, "hover", episodes=5)
    assert not outcome.survived.any()


def test_free_fall_in_the_evaluator_is_free_fall():
    """Rotors off, from rest, no wind: after 0.3 s the error is g t^2 / 2."""
    start = np.zeros((17, 2), np.float32)
    start[3] = 1
    reference = sample(Hover(), np.arange(31) * 0.01)
    flight = fly(
        Constant(-1.0),
        PAPER,
        start,
        reference,
        np.random.default_rng(0),
        Conditions(wind=STILL),
        keep_states=True,
    )
    np.testing.assert_allclose(flight.error_m[-1], 9.81 * 0.3**2 / 2, rtol=1e-4)
    np.testing.assert_allclose(flight.states[-1, 9], -9.81 * 0.3, rtol=1e-5)
    np.testing.assert_array_equal(flight.upright[-1], 1)


def test_two_policies_meet_the_same_cases_and_other_seeds_others():
    first, second, other = (Constant(a) for a in (0.3, 0.5, 0.3))
    fly_scenario(first, PAPER, "hover", episodes=10)
    fly_scenario(second, PAPER, "hover", episodes=10)
    fly_scenario(other, PAPER, "hover", episodes=10, seed=1)
    np.testing.assert_array_equal(first.seen[0], second.seen[0])
    assert (first.seen[0] != other.seen[0]).any()


def test_held_out_seeds_are_no_ordinary_seeds():
    shown = Constant(0.3)
    fly_scenario(shown, PAPER, "hover", episodes=10, seed=5)
    ordinary = SCENARIOS["hover"].start.draw(np.random.default_rng(5), 10)
    assert (np.abs(shown.seen[0][:3] - ordinary[:3]) > 1e-2).any()


def test_an_evaluation_has_a_row_per_latency_with_intervals():
    e = evaluate(Constant(0.334), PAPER, episodes=30, latencies_ms=(0, 15))
    assert [r["latency_ms"] for r in e.results] == [0, 15]
    for row in e.results:
        assert {"survival", "hover_error_m", "figure_eight_rmse_m"} <= set(row)
        low, high = row["survival_ci"]
        assert low <= row["survival"] <= high
    assert e.to_json()["episodes"] == 30


def test_a_pilot_compared_with_itself_shows_no_difference_and_with_a_worse_one_its_size_and_sign():
    good, late = (
        fly_scenario(Geometric(IDENTIFIED), IDENTIFIED, "hover", episodes=50, latency_ms=ms) for ms in (0, 10)
    )
    falling = fly_scenario(Constant(-1.0), IDENTIFIED, "hover", episodes=50)
    assert all(p.p_value == 1 and p.difference.mean == 0 for p in compare(good, good).values())
    lost = compare(good, falling)  # the second minus the first
    assert list(lost) == ["survival"]  # nobody survived both: no error to compare
    assert lost["survival"].difference.mean == -good.survived.mean() < -0.5
    assert lost["survival"].p_value < 0.05
    assert compare(falling, good)["survival"].difference.mean > 0.5
    both = good.survived & late.survived
    error = compare(good, late)["hover_error_m"]
    expected = (late.errors["hover_error_m"] - good.errors["hover_error_m"])[both].mean()
    assert error.difference.mean == pytest.approx(expected)
    assert expected > 0 and error.p_value < 0.05
    with pytest.raises(UserError, match="same scenario"):
        compare(good, fly_scenario(Constant(0.3), IDENTIFIED, "light", episodes=50))


def outcome(survived, error_m):
    """Episodes with these errors, NaN where one is lost."""
    survived = np.asarray(survived)
    errors = {"hover_error_m": np.where(survived, error_m, np.nan)}
    return Outcome("hover", 0.0, survived, errors, survived)


def test_errors_are_compared_episode_by_episode_where_both_survived():
    rng = np.random.default_rng(0)
    hard = rng.exponential(0.1, 60)  # by far more spread than difference
    a = outcome(np.arange(60) >= 3, hard)
    b = outcome(np.arange(60) < 50, hard + 0.001)
    p = compare(a, b)
    assert p["hover_error_m"].difference.mean == pytest.approx(0.001)
    assert p["hover_error_m"].p_value < 0.05
    assert p["survival"].difference.mean == pytest.approx((3 - 10) / 60)
    assert compare(b, a)["hover_error_m"].difference.mean == pytest.approx(-0.001)


def test_evaluate_against_another_prints_ours_minus_theirs(policy, tmp_path, monkeypatch, capsys):
    other = replace(policy, provenance=policy.provenance | {"other": True})
    files = [p.save(tmp_path / name) for p, name in ((policy, "ours.policy"), (other, "theirs.policy"))]
    hard = np.random.default_rng(0).exponential(0.1, 60)
    ours, theirs = outcome(np.arange(60) >= 0, hard), outcome(np.arange(60) >= 20, hard + 0.002)

    def flown(policy, *_, **__):
        return Evaluation(60, [], [theirs if "other" in policy.provenance else ours])

    monkeypatch.setattr(module, "evaluate", flown)
    main(["evaluate", str(files[0]), "--against", str(files[1]), "--json"])
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["paired"]}
    assert rows["hover_error_m"]["mean"] == pytest.approx(-0.002)
    assert rows["survival"]["mean"] == pytest.approx(20 / 60)
    for row in rows.values():
        low, high = row["ci"]
        assert low <= row["mean"] <= high and row["p_value"] < 0.05


def test_many_episodes_are_flown_in_batches_that_differ():
    shown = Constant(-1.0)
    outcome = fly_scenario(shown, PAPER, "recovery", episodes=1001)
    assert outcome.survived.shape == (1001,)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "loop"}, "no scenario 'loop'"),
        ({"episodes": 0}, "0 episodes"),
        ({"latency_ms": -1}, "at -1 ms"),
        ({"plant": "bullet"}, "no plant 'bullet': expected one of rk4, drone-models, mujoco, crazyflow, l2f"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, complaint):
    with pytest.raises(UserError, match=complaint):
        fly_scenario(Constant(0.3), PAPER, **{"name": "hover", "episodes": 5} | arguments)


def test_vehicles_side_by_side_fly_as_each_would_alone():
    """Own latency, wind, mass and battery for every column; the robustness maps are made of this."""
    airframes = [PAPER, PAPER.varied(battery=0.8)]
    latency_s, force, mass = np.array([0, 0.013]), np.array([0.0, 0.2]), np.array([[1.0, 1.3]])
    reference = sample(Hover(), np.arange(101) * 0.01)
    start = Start().draw(np.random.default_rng(0), 2)
    noise = Noise(0, 0, 0, 0)

    def flown(airframe, columns, wind):
        conditions = Conditions(latency_s=latency_s[columns], wind=wind, noise=noise)
        rng = np.random.default_rng(1)
        pilot = Constant(airframes[0].hover_action)
        return fly(pilot, airframe, start[:, columns], reference, rng, conditions, mass[:, columns], True)

    together = flown(airframes, slice(None), Wind(force=force, torque_m=0.0)).states
    alone = flown(airframes[0], slice(0, 1), Wind(force=0.0, torque_m=0.0)).states
    np.testing.assert_allclose(together[:, :, :1], alone, rtol=1e-4, atol=1e-4)
    calm = flown(airframes[1], slice(1, 2), Wind(force=0.0, torque_m=0.0)).states
    push = PAPER.weight_n * force[1] * np.random.default_rng(1).standard_normal((6, 2), np.float32)[:3, 1]
    drift = together[-1, :3, 1] - calm[-1, :3, 0]
    expected = push / (PAPER.mass_kg * mass[0, 1]) / 2  # after one second
    np.testing.assert_allclose(drift, expected, rtol=1e-3)


def test_the_papers_network_needs_its_own_file(tmp_path):
    path = tmp_path / "short.f32"
    np.zeros(100, "<f4").tofile(path)
    with pytest.raises(UserError, match="expected 13828"):
        PaperPolicy(path, PAPER)


def test_the_papers_network_reads_its_inputs_in_its_own_order(tmp_path):
    """One weight set: unit 0 sees the paper's first input, x, which is our first of position_error."""
    weights = np.zeros(13828, "<f4")
    weights[0] = 1.0  # W1[0, 0]
    weights[64 * 146 + 64] = 1.0  # W2[0, 0]
    weights[64 * 146 + 64 + 64 * 64 + 64] = 1.0  # W3[0, 0]
    path = tmp_path / "one.f32"
    weights.tofile(path)
    policy = PaperPolicy(path, PAPER)
    x = np.zeros((146, 1), np.float32)
    x[policy.contract.slices()["position_error"].start] = 0.5

    def squash(v):
        return v * (27 + v * v) / (27 + 9 * v * v)

    np.testing.assert_allclose(policy.act(x)[:, 0], [squash(squash(squash(0.5))), 0, 0, 0], rtol=1e-6)
