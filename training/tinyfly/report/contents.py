"""What a report says: flights, figures and tables of one or more policies on one airframe."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.console import Report, error_text
from tinyfly.evaluate import SCENARIOS, evaluate
from tinyfly.flight import Conditions
from tinyfly.learning import Row, load_curve
from tinyfly.policy import Policy
from tinyfly.report import robustness
from tinyfly.report.flights import Flown, error_over_time, fly_episodes, motor_figures, on_stage
from tinyfly.report.page import cards, facts, note, table

WORST = 5
ABOUT = {
    "hover": "Thrown tilted by up to 90° at 1 m/s and 1 rad/s per axis, with sensor noise and a steady wind.",
    "recovery": "Thrown in any attitude at up to 3 m/s and 10 rad/s per axis.",
    "figure-eight 5.5 s": "The paper's figure-eight, never trained on: two rounds after a ramp.",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy under its name, with its learning curve if that lies beside its file."""

    name: str
    policy: Policy
    curve: list[Row]


def load(paths: Sequence[Path]) -> list[Subject]:
    """Policies under their files' names, told apart when the names are the same."""
    names = [p.stem for p in paths]
    subjects = []
    for i, path in enumerate(paths):
        name = path.stem if names.count(path.stem) == 1 else f"{path.stem} ({i + 1})"
        policy = Policy.load(path)
        subjects.append(Subject(name, policy, load_curve(policy, path)))
    return subjects


def gather(
    subjects: Sequence[Subject],
    airframe: Airframe,
    episodes: int,
    latency_ms: float,
    seed: int,
    evaluation: Sequence[dict[str, Any]] | None,
    progress: Report,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Fly everything; the data that page.js draws, and the texts of page.html but those of the HIL run."""
    conditions = Conditions(latency_s=latency_ms / 1000)
    counts = {"hover": episodes, "recovery": 100, "figure-eight 5.5 s": 20}
    jobs = len(subjects) * (len(counts) + 3)
    done = 0

    def step(what: str) -> None:
        nonlocal done
        done += 1
        progress(done / jobs, {})

    flown: dict[str, list[Flown]] = {}
    for name, n in counts.items():
        flown[name] = []
        for s in subjects:
            flown[name].append(fly_episodes(s.policy, airframe, SCENARIOS[name], n, conditions, seed))
            step(name)
    maps: list[dict[str, Any]] = []
    evaluations: list[Sequence[dict[str, Any]]] = []
    for i, s in enumerate(subjects):
        known = evaluation if i == 0 else None
        evaluations.append(
            known or evaluate(s.policy, airframe, episodes=min(episodes, 300), seed=seed).results
        )
        step("latency")
        for make in robustness.MAPS:
            maps.append({**make(s.policy, airframe, conditions, seed), "policy": i})
            step("maps")
    maps.sort(key=lambda m: str(m["title"]))
    data = {
        "policies": [s.name for s in subjects],
        "flights": _stage(flown),
        "episodes": [{**error_over_time(f), "policy": i} for i, f in enumerate(flown["hover"])],
        "maps": maps,
        "learning": [_curve(i, s.curve) for i, s in enumerate(subjects) if s.curve],
    }
    return data, _texts(subjects, airframe, latency_ms, flown, evaluations)


def _stage(flown: dict[str, list[Flown]]) -> list[dict[str, Any]]:
    stage = []
    for name, flights in flown.items():
        n = len(flights[0].survived)
        about = f"{ABOUT[name]} Shown: the median of {n} episodes."
        title = name.capitalize()
        stage.append(on_stage(flights, flights[0].typical(), name.split()[0], title, about))
    first = flown["hover"][0]
    for rank, episode in enumerate(first.worst(WORST), 1):
        error = first.final_error_m[episode]
        end = f"{1e3 * error:.0f} mm" if math.isfinite(error) else f"lost at {first.lost_s[episode]:.1f} s"
        about = f"Episode {episode} of {len(first.survived)}, number {rank} from the worst."
        stage.append(
            on_stage(flown["hover"], episode, f"worst-{rank}", f"{episode}: {end}", about, worst=True)
        )
    return stage


def _curve(index: int, rows: Sequence[Row]) -> dict[str, Any]:
    loss, error_mm = [row.loss for row in rows], [1e3 * row.error_m for row in rows]
    smooth = {"loss_smooth": _running_median(loss), "error_mm_smooth": _running_median(error_mm)}
    wall_s = [row.wall_s for row in rows]
    return {"policy": index, "wall_s": wall_s, "loss": loss, "error_mm": error_mm, **smooth}


def _running_median(values: Sequence[float], half: int = 7) -> list[float]:
    """Over up to 2 half + 1 updates: each of them is a few vehicles' short flights, and jumps about."""
    return [float(np.median(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def _texts(
    subjects: Sequence[Subject],
    airframe: Airframe,
    latency_ms: float,
    flown: dict[str, list[Flown]],
    evaluations: Sequence[Sequence[dict[str, Any]]],
) -> dict[str, str]:
    first, n = flown["hover"][0], len(flown["hover"][0].survived)
    names = " and ".join(s.name for s in subjects)
    return {
        "title": f"{names}: tinyfly flight report",
        "heading": names,
        "lead": f"Flown on {airframe.name} ({1e3 * airframe.mass_kg:.1f} g, thrust/weight "
        f"{airframe.thrust_to_weight:.2f}), {latency_ms:g} ms of latency where nothing else is said."
        + (f" The figures at the top are those of {subjects[0].name}." if len(subjects) > 1 else ""),
        "cards_html": cards(_headline(flown)),
        "episodes_title": f"{n:,} episodes",
        "episodes_note": "Thrown starts that no training has seen, with noise and wind. Line: median; band: "
        f"5 to 95\u00a0%; dotted: worst. {int(first.survived.sum())} of {n} survive"
        + (f" with {subjects[0].name}." if len(subjects) > 1 else "."),
        "maps_note": f"Hover after a throw, {robustness.EPISODES} episodes a cell: mean error of the "
        "survivors over the last two seconds in mm (cm where said); below it their share unless all survive.",
        "learning_html": _learning(subjects),
        "motors_html": _motors(subjects, flown),
        "latency_html": _latencies(subjects, evaluations),
        "chip_html": _chip(subjects),
        "provenance_html": _provenance(subjects),
    }


def _headline(flown: dict[str, list[Flown]]) -> list[tuple[str, str]]:
    hover, recovery, eight = (flown[k][0] for k in ("hover", "recovery", "figure-eight 5.5 s"))
    return [
        (f"{hover.survived.mean():.1%}", f"of {len(hover.survived):,} thrown episodes survived"),
        (_survivors_error(hover, marked=False), "hover error, last 2 s"),
        (f"{recovery.survived.mean():.0%}", "survived a throw in any attitude"),
        (_survivors_error(eight), "figure-eight error, 5.5 s"),
        (f"{motor_figures(hover)['saturated']:.1%}", "of the motor commands saturated"),
    ]


def _latencies(subjects: Sequence[Subject], evaluations: Sequence[Sequence[dict[str, Any]]]) -> str:
    rows = [
        (
            s.name,
            f"{r['latency_ms']:g} ms",
            f"{r['survival']:.1%} ({r['survival_ci'][0]:.1%} to {r['survival_ci'][1]:.1%})",
            error_text(r["hover_error_m"], r["hover_error_m_ci"], r["survival"] > 0, ""),
            error_text(r["figure_eight_rmse_m"], r["figure_eight_rmse_m_ci"], r["figure_eight_survival"], ""),
        )
        for s, results in zip(subjects, evaluations, strict=True)
        for r in results
    ]
    return table(("policy", "latency", "survival", "hover error, mm", "figure-eight error, mm"), rows)


def _motors(subjects: Sequence[Subject], flown: dict[str, list[Flown]]) -> str:
    rows = []
    for name, flights in flown.items():
        for s, f in zip(subjects, flights, strict=True):
            m = motor_figures(f)
            figures = (f"{m['mean']:.3f}", f"{m['saturated']:.2%}", f"{m['change']:.4f}")
            rows.append((name, s.name, *figures))
    columns = ("flight", "policy", "mean command", "saturated", "mean change per step")
    return note("Speed fractions of full speed, over all motors, steps and survivors.") + table(columns, rows)


def _chip(subjects: Sequence[Subject]) -> str:
    rows = []
    for s in subjects:
        p = s.policy
        sizes = [p.contract.size, *(len(layer.bias) for layer in p.layers)]
        old = max(0, p.contract.history_length - 1)  # slots that are summed before the state arrives
        work = p.modal.multiply_adds if p.modal else p.multiply_adds
        parameters = p.multiply_adds + sum(len(layer.bias) for layer in p.layers)
        rows.append(
            (
                s.name,
                "-".join(map(str, sizes)) + (" in modes" if p.modal else ""),
                f"{parameters:,}",
                f"{4 * (work + sum(len(layer.bias) for layer in p.layers)):,} B",
                f"{work:,}",
                f"{work - old * sizes[1] * (1 if p.modal else 4):,}",
            )
        )
    columns = (
        "policy",
        "network",
        "parameters",
        "weights in flash",
        "multiply-adds",
        "after the state arrives",
    )
    about = (
        "In modes: in sums and differences of mirror images, the same with a quarter of the multiply-adds."
    )
    return (note(about) if any(s.policy.modal for s in subjects) else "") + table(columns, rows)


def _learning(subjects: Sequence[Subject]) -> str:
    rows = []
    for s in subjects:
        steps = s.policy.provenance.get("env_steps")
        text = "not recorded" if not _number(steps) else f"{float(steps) / 1e6:.2f} M environment steps"
        rows.append((s.name, text + (f" in {s.curve[-1].wall_s:.2f} s" if s.curve else "")))
    missing = ", ".join(s.name for s in subjects if not s.curve)
    about = note("Thin: every update. Thick: running median of 15.") if any(s.curve for s in subjects) else ""
    return facts(rows) + about + (note(f"No learning curve beside the file of {missing}.") if missing else "")


def _provenance(subjects: Sequence[Subject]) -> str:
    parts = []
    for s in subjects:
        p = s.policy
        rows = [
            ("policy", s.name),
            ("identity (CRC-32)", f"{p.crc32():08x}"),
            ("contract (hash)", f"{p.contract.hash():016x}"),
            ("observes", ", ".join(f"{c.name} {c.size}" for c in p.contract.channels)),
            ("rate", f"{p.contract.rate_hz:g} Hz"),
            ("trained on airframe", str(p.airframe.get("name"))),
        ]
        rows += [(k.replace("_", " "), _text(v)) for k, v in p.provenance.items() if v not in (None, [], "")]
        parts.append(facts(rows))
    return "".join(parts)


def _text(value: Any) -> str:
    """A value as people write it; files are foreign, so it may be anything, of any length."""
    if isinstance(value, dict):
        text = ", ".join(f"{k.replace('_', ' ')} {json.dumps(v)}" for k, v in value.items())
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 2000 else text[:2000] + " …"


def _survivors_error(flown: Flown, marked: bool = True) -> str:
    """With how many were lost, unless that is said elsewhere."""
    left, no_interval = flown.survived, (math.nan, math.nan)
    mean = float(flown.final_error_m[left].mean()) if left.any() else math.nan
    return error_text(mean, no_interval, float(left.mean() if marked else left.any()))


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
