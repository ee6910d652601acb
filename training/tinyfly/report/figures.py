"""The report's figures for papers: PNG and SVG, drawn by matplotlib from the same data as the page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from tinyfly.errors import UserError
from tinyfly.policy import write_atomically

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError:
    raise UserError("--figures needs matplotlib: pip install -e '.[report]'") from None

COLORS = ("#0072b2", "#c25400", "#007f5f", "#a0447c")  # as in page.css
WIDTH_IN = 3.5  # one column
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d9dde1",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "svg.hashsalt": "tinyfly",  # same data, same file
    "savefig.dpi": 300,
}


def save_figures(data: dict[str, Any], folder: Path) -> list[Path]:
    """One PNG and one SVG per figure; ``data`` is what `contents.gather` returns."""
    paths = []
    with matplotlib.rc_context(STYLE):
        figures = {
            f"flight-{f['id']}": _flight(f, data["policies"]) for f in data["flights"] if not f["worst"]
        }
        figures["error"] = _error(data)
        for i, m in enumerate(data["maps"]):
            figures[f"map-{i}-{data['policies'][m['policy']]}"] = _map(m)
        if data["learning"]:
            figures["learning"] = _learning(data)
        for name, figure in figures.items():
            for kind in ("png", "svg"):
                content = io.BytesIO()
                metadata = {"Date": None} if kind == "svg" else {}
                figure.savefig(content, format=kind, metadata=metadata)
                paths.append(write_atomically(folder / f"{_file_name(name)}.{kind}", content.getvalue()))
    return paths


def _flight(flight: dict[str, Any], policies: list[str]) -> Figure:
    """The way from above (from the side when it hardly moves forward), and error and motors over time."""
    figure = Figure(figsize=(2 * WIDTH_IN, 2.4), layout="constrained")
    way, error, motor = figure.subplots(1, 3)
    reference = np.asarray(flight["reference"])
    vertical = 1 if np.ptp(reference[:2]) > 0 else 2
    way.plot(reference[0], reference[vertical], "--", color="#8a949c", label="reference")
    time = np.arange(reference.shape[1]) * flight["dt_s"]
    for f in flight["flown"]:
        color = COLORS[f["policy"] % len(COLORS)]
        way.plot(f["position"][0], f["position"][vertical], color=color, label=_plain(policies[f["policy"]]))
        error.plot(time, f["error_mm"], color=color)
        motor.plot(time, np.max(f["motor"], axis=0), color=color, linewidth=0.8)
    way.set(xlabel="x, m", ylabel=f"{'xyz'[vertical]}, m", aspect="equal", adjustable="datalim")
    figure.legend(loc="outside upper center", ncols=1 + len(policies))
    error.set(xlabel="time, s", ylabel="error, mm", ylim=(0, None))
    motor.set(xlabel="time, s", ylabel="strongest motor", ylim=(0, 1.02))
    return figure


def _error(data: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(2 * WIDTH_IN, 2.4), layout="constrained")
    over_time, share = figure.subplots(1, 2)
    for e in data["episodes"]:
        color, name = COLORS[e["policy"] % len(COLORS)], _plain(data["policies"][e["policy"]])
        over_time.fill_between(e["time_s"], e["p5_mm"], e["p95_mm"], color=color, alpha=0.2, linewidth=0)
        over_time.plot(e["time_s"], e["median_mm"], color=color, label=name)
        over_time.plot(e["time_s"], e["worst_mm"], ":", color=color, linewidth=0.8)
        shares = 100 * np.arange(1, 1 + len(e["final_mm"])) / e["episodes"]
        share.step(e["final_mm"], shares, where="post", color=color)
    over_time.set(xlabel="time after the throw, s", ylabel="error, mm", yscale="log")
    over_time.legend()
    share.set(xlabel="mean error of the last 2 s, mm", ylabel="episodes, %", xscale="log", ylim=(0, 101))
    return figure


def _map(m: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, 3.0), layout="constrained")
    axes = figure.subplots()
    error = np.asarray(m["error_mm"], float)
    shade = np.log10(np.maximum(error, 0.1))
    image = axes.pcolormesh(shade, cmap="Blues", vmin=0, vmax=3, edgecolor="white", linewidth=1)
    for (i, j), value in np.ndenumerate(error):
        survival = m["survival"][i][j]
        text = "lost" if np.isnan(value) else f"{value:.0f}" + (f"\n{survival:.0%}" if survival < 1 else "")
        dark = not np.isnan(value) and shade[i, j] > 1.7
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=6, color="w" if dark else "k")
    axes.set_xticks(np.arange(error.shape[1]) + 0.5, m["x"]["values"])
    axes.set_yticks(np.arange(error.shape[0]) + 0.5, m["y"]["values"])
    axes.set(xlabel=m["x"]["label"], ylabel=m["y"]["label"])
    axes.grid(False)
    bar = figure.colorbar(image, ticks=[0, 1, 2, 3])
    bar.ax.set_yticklabels(["1 mm", "1 cm", "10 cm", "1 m"])
    return figure


def _learning(data: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, 2.4), layout="constrained")
    axes = figure.subplots()
    for c in data["learning"]:
        name = _plain(data["policies"][c["policy"]])
        axes.plot(c["wall_s"], c["loss"], color=COLORS[c["policy"] % len(COLORS)], label=name)
    axes.set(xlabel="wall time, s", ylabel="training loss", yscale="log")
    axes.legend()
    return figure


def _plain(name: str) -> str:
    return name.replace("$", r"\$")  # matplotlib reads mathematics between dollar signs


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
