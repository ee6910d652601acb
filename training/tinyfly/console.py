"""What the command line shows: progress and tables on a terminal, one JSON object for scripts."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol

Justify = Literal["left", "right"]


class Report(Protocol):
    """What a long job calls now and then: the share done in 0..1, and the metrics that matter by name."""

    def __call__(self, share: float, metrics: dict[str, float]) -> None: ...


def print_json(result: dict[str, Any]) -> None:
    """Exactly one JSON object on stdout; JSON has no NaN, so what is not finite becomes null."""
    json.dump(_finite(result), sys.stdout, allow_nan=False)
    sys.stdout.write("\n")


def say(text: str) -> None:
    """One line for people, on stderr: stdout belongs to results. That nobody reads it stops nothing."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def show_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], justify: Justify = "right"
) -> None:
    """A table on stdout; ``justify`` is for all columns but the first: figures right, words left."""
    from rich.console import Console
    from rich.table import Table

    class Plain(Console):
        def on_broken_pipe(self) -> None:  # rich's own exits with 1, whatever the result was
            raise

    table = Table(title=title, title_justify="left", header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify=justify if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Plain(markup=False, emoji=False).print(table)  # '.[torch]' is no style, :8000: no picture


def error_text(error_m: float, interval_m: Iterable[float], survival: float, unit: str = " mm") -> str:
    """The survivors' mean error: "12.3 mm (10.1 to 14.2), 5 % lost", and "lost" where nobody is left."""
    if not survival:
        return "lost"
    low, high = (1e3 * x for x in interval_m)
    interval = f" ({low:.1f} to {high:.1f})" if math.isfinite(low) else ""  # one survivor has none
    lost = f", {100 * (1 - survival):.3g} % lost" if survival < 1 else ""
    return f"{1e3 * error_m:.1f}{unit}{interval}{lost}"


@contextmanager
def progress(label: str, every_s: float = math.inf) -> Iterator[Report]:
    """A progress bar on stderr while the body runs; where stderr is no terminal, a line every ``every_s``.

    rich is imported only where there is somebody to see it: it costs a tenth of a short training.
    """
    if not sys.stderr.isatty():
        yield _lines(label, every_s)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=1.0, metrics="")

        def report(share: float, metrics: dict[str, float]) -> None:
            bar.update(task, completed=share, metrics=_text(metrics))

        yield report


def _lines(label: str, every_s: float) -> Report:
    begun = said = time.monotonic()

    def report(share: float, metrics: dict[str, float]) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= every_s and share > 0:
            said = now
            left_s = (now - begun) * (1 - share) / share
            say(f"{label} {share:.0%}, {left_s / 60:.1f} min left  {_text(metrics)}")

    return report


def _text(metrics: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in metrics.items())


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {k: _finite(v) for k, v in value.items()}
        case list() | tuple():
            return [_finite(v) for v in value]
    return value
