"""Draw the README's picture: a policy of ours beside the paper's, the same figure-eight and the same throws.

    python benchmarks/picture.py runs/paper-0.policy --paper FILE.f32 [--episodes 1000] [--out FILE.svg]

Both in the paper's task, without latency, with its noise and wind. Left: the figure-eight (5.5 s, two rounds)
from above, the median of 20 episodes. Right: errors of the survivors with 95 % intervals, and the share that
is lost. The colours are readable on white and on black, and told apart by the colour-blind.
"""

from __future__ import annotations

import argparse
import os
from html import escape

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.controllers import PaperPolicy
from tinyfly.evaluate import SCENARIOS, fly_scenario
from tinyfly.flight import Conditions, Controller
from tinyfly.policy import Policy, write_atomically
from tinyfly.report.flights import fly_episodes

INK, COLORS = "#7d8590", ("#2f81d0", "#d1700a")
EIGHT = "figure-eight 5.5 s"
WIDTH, HEIGHT = 860, 300
SCALE, CENTRE = 165.0, (210.0, 158.0)  # px per metre, where the origin is


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--paper", required=True)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--out", default="docs/picture.svg")
    arguments = parser.parse_args()
    airframe = Airframe.load("crazyflie")
    pilots: dict[str, Controller] = {
        "tinyfly": Policy.load(arguments.policy),
        "the policy that the paper's firmware ships": PaperPolicy(arguments.paper, airframe),
    }
    parts, figures = [], []
    for color, (name, pilot) in reversed(list(zip(COLORS, pilots.items(), strict=True))):  # ours on top
        flown = fly_episodes(pilot, airframe, SCENARIOS[EIGHT], 20, Conditions())
        assert flown.flight.states is not None
        way = flown.flight.states[:, :2, flown.typical()]
        parts.append(_line(way, f'stroke="{color}" stroke-width="2.2"'))
        rows = [
            fly_scenario(pilot, airframe, scenario, episodes=n).row()
            for scenario, n in (("hover", arguments.episodes), (EIGHT, 20))
        ]
        figures.insert(0, rows)
        print(name, {k: v for row in rows for k, v in row.items() if "_m" in k or "survival" in k})
    parts.append(_line(flown.reference[:, :2], f'stroke="{INK}" stroke-width="1.2" stroke-dasharray="5 4"'))
    parts += _legend(list(pilots)) + _bars(figures)
    style = f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {style}>'
    title = f"<title>{escape(' beside '.join(pilots))}: a figure-eight from above, and errors</title>"
    print(write_atomically(arguments.out, "\n".join([head, title, *parts, "</svg>", ""]).encode()))


def _line(way: np.ndarray, style: str) -> str:
    """(T, 2) m, seen from above, x to the right."""
    points = np.array(CENTRE) + SCALE * way[::4] * [1, -1]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{text}" fill="none" stroke-linejoin="round" {style}/>'


def _legend(names: list[str]) -> list[str]:
    items = [(name, f'stroke="{c}" stroke-width="4"') for name, c in zip(names, COLORS, strict=True)]
    items.append(("reference", f'stroke="{INK}" stroke-width="1.5" stroke-dasharray="5 4"'))
    parts, x = [], 20
    for name, style in items:
        parts.append(f'<path d="M{x} 18h26" {style}/><text x="{x + 34}" y="22">{escape(name)}</text>')
        x += 62 + round(6.9 * len(name))
    return parts


def _bars(figures: list[list[dict]]) -> list[str]:
    """Three groups of two bars; every group has its own scale, from zero."""
    hover, eight = ([rows[i] for rows in figures] for i in (0, 1))
    groups = (
        ("error of a hover after a throw, mm", [_cell(r, "hover_error_m", 1e3) for r in hover]),
        ("error of the figure-eight, mm", [_cell(r, "rmse_m", 1e3) for r in eight]),
        ("thrown flights lost, %", [_lost(r) for r in hover]),
    )
    parts, y = [], 62
    for title, cells in groups:
        parts.append(f'<text x="470" y="{y}">{title}</text>')
        most = max(high for _, _, high in cells) or 1.0
        for color, (value, low, high) in zip(COLORS, cells, strict=True):
            y += 22
            a, b, c = (470 + 290 * x / most for x in (value, low, high))
            parts += [
                f'<rect x="470" y="{y - 12}" width="{max(a - 470, 1):.1f}" height="14" fill="{color}"/>',
                f'<path d="M{b:.1f} {y - 5}H{c:.1f}M{b:.1f} {y - 9}v8M{c:.1f} {y - 9}v8" stroke="{INK}"/>',
                f'<text x="{max(a, c) + 10:.1f}" y="{y}">{value:.0f}</text>',
            ]
        y += 36
    return parts


def _cell(row: dict, key: str, scale: float) -> tuple[float, float, float]:
    low, high = row[f"{key}_ci"] if row["survival"] else (row[key], row[key])
    return scale * row[key], scale * low, scale * high


def _lost(row: dict) -> tuple[float, float, float]:
    low, high = row["survival_ci"]
    return 100 * (1 - row["survival"]), 100 * (1 - high), 100 * (1 - low)


if __name__ == "__main__":
    main()
