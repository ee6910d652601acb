"""The learning curve keeps what the trainer says, and lies beside the policy that it belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
from policies import random_policy

from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.learning import LearningCurve, load_curve
from tinyfly.policy import Policy


def recorded() -> LearningCurve:
    curve = LearningCurve()
    for i in range(1, 4):
        curve(i / 3, {"loss": 1 / i, "error_m": 0.1 * i})
    return curve


def test_curve_comes_back_as_recorded(policy: Policy, tmp_path: Path) -> None:
    curve = recorded()
    assert curve.save(policy, tmp_path / "a.policy") == tmp_path / "a.learning.csv"
    rows = load_curve(policy, tmp_path / "a.policy")
    assert [row.loss for row in rows] == pytest.approx([1, 1 / 2, 1 / 3], rel=1e-5)
    assert [row.error_m for row in rows] == pytest.approx([0.1, 0.2, 0.3])
    times = [row.wall_s for row in rows]
    assert times == sorted(times) and times[0] >= 0


def test_progress_is_passed_on() -> None:
    heard = []
    curve = LearningCurve(lambda share, metrics: heard.append((share, metrics["loss"])))
    curve(0.5, {"loss": 2.0, "error_m": 1.0})
    assert heard == [(0.5, 2.0)]


def test_a_second_attempt_begins_a_new_curve() -> None:
    curve = recorded()
    curve(0.1, {"loss": 9.0, "error_m": 1.0})
    assert [row.loss for row in curve.rows] == [9.0]


def test_curve_of_another_policy_is_not_shown(policy: Policy, tmp_path: Path) -> None:
    recorded().save(policy, tmp_path / "a.policy")
    assert load_curve(random_policy(paper_contract(), seed=5), tmp_path / "a.policy") == []


def test_no_curve_is_no_error(policy: Policy, tmp_path: Path) -> None:
    assert load_curve(policy, tmp_path / "a.policy") == []


HEAD = "wall_s,share,loss,error_m\n"


@pytest.mark.parametrize(
    "tail", ["", "wall_s,loss\n", HEAD + "1,2,x,4\n", HEAD + "1,2\n", HEAD + "1,1,nan,1\n"]
)
def test_damaged_curve_gets_one_clear_line(policy: Policy, tmp_path: Path, tail: str) -> None:
    (tmp_path / "a.learning.csv").write_text(f"# policy {policy.crc32():08x}\n{tail}")
    with pytest.raises(UserError, match="does not read"):
        load_curve(policy, tmp_path / "a.policy")
