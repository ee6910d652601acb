"""The flight report shows what `evaluate` finds, trusts no text of a policy file, and needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from policies import random_policy

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.evaluate import SCENARIOS, fly_scenario
from tinyfly.flight import Conditions
from tinyfly.learning import LearningCurve
from tinyfly.policy import Policy
from tinyfly.report import robustness, write_report
from tinyfly.report.contents import load
from tinyfly.report.flights import Flown, error_over_time, fly_episodes, on_stage
from tinyfly.report.hil import hil_html, read_hil

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")

ATTACK = "</script><script>alert(1)</script>"
EVIL_NAME = "<img src=x onerror=alert(1)>"


class Steady:
    """Holds hover thrust: a level vehicle drifts slowly, a thrown one is lost."""

    contract = paper_contract()

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.full((4, observation.shape[1]), self.contract.hover_action, np.float32)


@pytest.fixture(scope="module")
def airframe() -> Airframe:
    return Airframe.load("crazyflie")


@pytest.fixture(scope="module")
def small_maps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "EPISODES", 2)
        patch.setattr(robustness, "LATENCIES_MS", (0.0, 20.0))
        patch.setattr(robustness, "WINDS", (0.0, 0.1))
        patch.setattr(robustness, "BATTERIES", (0.8, 1.0))
        patch.setattr(robustness, "CENTRES", (0.0, 0.1))
        yield


@pytest.fixture(scope="module")
def report(small_maps: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hostile policies in one report, with a hostile run in the loop."""
    folder = tmp_path_factory.mktemp("report")
    policies = []
    for seed, name in enumerate((EVIL_NAME, "other")):
        p = random_policy(paper_contract(), seed=seed)
        p = replace(p, provenance={"note": ATTACK})
        policies.append(p.save(folder / f"{name}.policy"))
        curve = LearningCurve()
        curve(0.5, {"loss": 2.0, "error_m": 0.25})
        curve(1.0, {"loss": 1.0, "error_m": 0.125})
        curve.save(p, policies[-1])
    hil = folder / "hil.json"
    hil.write_text(
        json.dumps({"target": ATTACK, "passed": 7, "failed": 0, "checks": [{"name": ATTACK, "ok": True}]})
    )
    return write_report(
        policies[0],
        folder / "report.html",
        compare=[policies[1]],
        hil=hil,
        figures=folder / "figures",
        episodes=20,
    )


@pytest.fixture(scope="module")
def thrown(airframe: Airframe) -> Flown:
    return fly_episodes(Steady(), airframe, SCENARIOS["hover"], 30, Conditions())


@pytest.mark.parametrize("scenario", ["hover", "recovery", "figure-eight 5.5 s"])
def test_report_flies_the_very_episodes_of_evaluate(airframe: Airframe, scenario: str) -> None:
    outcome = fly_scenario(Steady(), airframe, scenario, episodes=25, latency_ms=7, seed=3)
    conditions = Conditions(latency_s=0.007)
    flown = fly_episodes(Steady(), airframe, SCENARIOS[scenario], 25, conditions, seed=3)
    np.testing.assert_array_equal(flown.survived, outcome.survived)
    errors = list(outcome.errors.values())[-1]
    np.testing.assert_array_equal(flown.final_error_m, np.where(outcome.survived, errors, np.inf))


def test_worst_episodes_are_those_lost_soonest(thrown: Flown) -> None:
    assert not thrown.survived.all()
    worst = thrown.worst(5)
    assert thrown.lost_s[worst].tolist() == sorted(thrown.lost_s)[:5]


def test_a_lost_vehicle_leaves_the_stage_when_it_is_lost(thrown: Flown) -> None:
    episode = thrown.worst(1)[0]
    scene = on_stage([thrown], episode, "worst-1", "worst", "About.")
    x = scene["flown"][0]["position"][0]
    gone = np.flatnonzero(np.isnan(x))[0] * scene["dt_s"]
    assert thrown.lost_s[episode] <= gone <= thrown.lost_s[episode] + scene["dt_s"]
    assert f"Lost after {thrown.lost_s[episode]:.2f} s." in scene["about"]


def test_error_of_a_lost_vehicle_counts_as_the_limit(thrown: Flown) -> None:
    series = error_over_time(thrown)
    assert series["worst_mm"][-1] == pytest.approx(1e3 * thrown.scenario.lost_m)
    assert len(series["final_mm"]) == thrown.survived.sum() < series["episodes"]


def test_report_is_one_small_file_without_a_link(report: Path) -> None:
    text = report.read_text()
    assert len(text.encode()) < 8e6

    class Links(HTMLParser):
        found: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.found += [v or "" for k, v in attributes if k in ("src", "href", "action", "data")]

    links = Links()
    links.feed(text)
    assert links.found == ["data:,"]  # no icon, and do not ask for one
    assert "default-src 'none'" in text


def test_text_of_a_policy_file_never_becomes_markup(report: Path) -> None:
    text = report.read_text()
    assert ATTACK not in text
    assert EVIL_NAME not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text  # but it is shown


def test_numbers_that_are_none_become_null(report: Path) -> None:
    embedded = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', report.read_text(), re.DOTALL
    )
    assert embedded
    data = json.loads(embedded[1], parse_constant=lambda name: pytest.fail(f"{name} in the data"))
    assert data["policies"] == [EVIL_NAME, "other"]
    assert data["learning"][1]["error_mm"] == [250, 125]


def test_figures_are_written_as_png_and_svg(report: Path) -> None:
    written = {p.name for p in (report.parent / "figures").iterdir()}
    assert {"error.png", "error.svg", "flight-hover.png", "flight-recovery.svg", "map-1-other.svg"} <= written
    assert "map-0--img-src-x-onerror-alert-1--.png" in written  # nothing of the name but letters
    assert (report.parent / "figures" / "error.png").read_bytes().startswith(b"\x89PNG")


def test_report_lies_beside_its_policy_unless_told(small_maps: None, policy: Policy, tmp_path: Path) -> None:
    path = policy.save(tmp_path / "mine.policy")
    assert write_report(path, episodes=10) == tmp_path / "mine.html"


def test_equal_names_are_told_apart(policy: Policy, tmp_path: Path) -> None:
    paths = [policy.save(tmp_path / folder / "same.policy") for folder in ("a", "b")]
    assert [s.name for s in load(paths)] == ["same (1)", "same (2)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compare": ["x"] * 4}, "at most three"),
        ({"episodes": 5}, "10..1000"),
        ({"latency_ms": float("nan")}, "0..100 ms"),
        ({"hil": "missing.json"}, "does not exist"),
        ({"airframe": "nothing"}, "no airframe"),
    ],
)
def test_bad_arguments_get_one_clear_line(
    policy: Policy, tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    path = policy.save(tmp_path / "p.policy")
    with pytest.raises(UserError, match=message):
        write_report(path, **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "p.html").exists()


def test_foreign_airframe_in_the_file_is_refused_with_the_way_out(policy: Policy, tmp_path: Path) -> None:
    path = replace(policy, airframe={"name": "../../secret"}).save(tmp_path / "p.policy")
    with pytest.raises(UserError, match="--airframe"):
        write_report(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"PK\x05\x06" + bytes(18), b"\xff\xfe"])
def test_hil_result_that_does_not_read_is_refused(policy: Policy, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hil.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"hil\.json is not the JSON"):
        read_hil(path, policy)


def test_summary_of_another_policy_is_refused(policy: Policy, tmp_path: Path) -> None:
    path = tmp_path / "hil.json"
    path.write_text(json.dumps({"policy_crc": policy.crc32(), "hover_error_m": 0.25}))
    assert "0.25" in hil_html(read_hil(path, policy))
    with pytest.raises(UserError, match="another policy"):
        read_hil(path, random_policy(paper_contract(), seed=1))
