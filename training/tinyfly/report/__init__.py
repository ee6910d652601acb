"""The flight report: one HTML file that shows how a policy flies, and everything it took to say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfly.console import Report
from tinyfly.errors import UserError
from tinyfly.policy import write_atomically

if TYPE_CHECKING:
    from tinyfly.report.hil import ChipFlight

EPISODES = 1000
LATENCY_MS = 10.0  # what a radio and an estimator cost


def write_report(
    policy: str | Path,
    out: str | Path | None = None,
    *,
    compare: Sequence[str | Path] = (),
    hil: str | Path | None = None,
    chip_flights: Sequence[ChipFlight] = (),
    figures: str | Path | None = None,
    airframe: str | None = None,
    episodes: int = EPISODES,
    latency_ms: float = LATENCY_MS,
    seed: int = 0,
    evaluation: Sequence[dict[str, Any]] | None = None,
    progress: Report = lambda share, metrics: None,
) -> Path:
    """Fly a policy and write its report.

    Args:
        policy: the policy file.
        out: the HTML file; beside the policy under its name when None.
        compare: more policies for the same scenes and figures, at most three.
        hil: the JSON summary of a hardware-in-the-loop run of ``policy``.
        chip_flights: what the chip has flown, as `tinyfly_hil.scenes` reads it from logs.
        figures: folder for the figures as PNG and SVG; needs matplotlib.
        airframe: a name or TOML file; the one in the policy file when None.
        episodes: 10 to 1000 thrown episodes.
        latency_ms: from the state's sampling to the rotors, 0 to 100.
        evaluation: rows of `evaluate` for ``policy`` on this airframe, to be shown instead of flown again.

    Raises:
        UserError: a file that does not read, a number out of range, a package that is missing.
    """
    from tinyfly.evaluate import airframe_of
    from tinyfly.report import contents
    from tinyfly.report.hil import hil_html, read_hil
    from tinyfly.report.page import render

    if len(compare) > 3:
        raise UserError(f"{1 + len(compare)} policies do not fit into one scene: compare at most three more")
    if not 10 <= episodes <= 1000 or not 0 <= latency_ms <= 100:
        raise UserError(f"{episodes} episodes at {latency_ms} ms: expected 10..1000 at 0..100 ms")
    subjects = contents.load([Path(policy), *map(Path, compare)])
    chosen = airframe_of(subjects[0].policy, airframe)
    result = read_hil(Path(hil), subjects[0].policy) if hil else None
    if figures:
        from tinyfly.report.figures import save_figures
    data, texts = contents.gather(subjects, chosen, episodes, latency_ms, seed, evaluation, progress)
    data["flights"] += [f.on_stage(f"chip-{i}") for i, f in enumerate(chip_flights, 1)]
    page = render(data, {**texts, "hil_html": hil_html(result, chip_flights)})
    if figures:
        save_figures(data, Path(figures))
    return write_atomically(Path(out) if out else Path(policy).with_suffix(".html"), page.encode())
