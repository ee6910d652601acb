"""What is saved has flown: in the truth, with its own airframe, at every latency."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rollouts import CRAZYFLIE, policy_of, rollout_of

from tinyfly import airframe as airframes
from tinyfly import task as tasks
from tinyfly import trainer
from tinyfly.airframe import Airframe
from tinyfly.evaluate import Case, fly_scenario
from tinyfly.flight import Flight


def test_an_untrained_policy_is_not_accepted():
    task = tasks.paper(CRAZYFLIE)
    rollout, weights = rollout_of(task)
    with pytest.raises(trainer.Diverged, match="acceptance"):
        trainer.accept(policy_of(task, rollout.symmetry.whole(weights)), CRAZYFLIE, task, 0)


@pytest.mark.parametrize(
    ("late_m", "says"), [(3.0, "20 ms late 0% survived"), (0.1, "20 ms late 100% survived, 100 mm off")]
)
def test_a_policy_must_hold_its_place_at_every_latency_that_it_was_trained_for(monkeypatch, late_m, says):
    def fly(case, controller, conditions):
        error = np.where(conditions.latency_s == 0.02, late_m, 0.01).astype(np.float32)
        return Flight(0.01, np.tile(error, (500, 1)), np.ones((500, len(error)), np.float32), None)

    monkeypatch.setattr(Case, "fly", fly)
    task = tasks.crazyflie(CRAZYFLIE)
    rollout, weights = rollout_of(task)
    policy = policy_of(task, rollout.symmetry.whole(weights))
    with pytest.raises(trainer.Diverged, match=says):
        trainer.accept(policy, CRAZYFLIE, task, 0)
    trainer.accept(policy, CRAZYFLIE, replace(task, latency_s=0.01), 0)


def test_motors_in_another_order_turning_the_other_way_are_learnt_and_never_taken_for_the_usual(tmp_path):
    shipped = Path(airframes.__file__).parent / "airframes" / "crazyflie.toml"
    changed = ("rotor_position_m", "rotor_torque_sign")
    lines = [line for line in shipped.read_text().splitlines() if not line.startswith(changed)]
    order = [2, 0, 3, 1]
    lines.append(f"rotor_position_m = {[list(CRAZYFLIE.rotor_position_m[i]) for i in order]}")
    lines.append(f"rotor_torque_sign = {[-CRAZYFLIE.rotor_torque_sign[i] for i in order]}")
    file = tmp_path / "other.toml"
    file.write_text("\n".join(lines))
    policy = trainer.train(trainer.Settings(task="paper", airframe=str(file), budget_s=0.5))
    row = fly_scenario(policy, Airframe.load(file), "hover", episodes=100).row()
    assert row["survival"] >= 0.99 and row["hover_error_m"] <= 0.06
    with pytest.raises(trainer.Diverged, match="acceptance"):
        trainer.accept(policy, CRAZYFLIE, tasks.paper(CRAZYFLIE), 0)
