"""The whole suite against one target, as `tinyfly hil` and `tinyfly fly` run it: pytest, called from here.

There is one list of checks, the tests in hil_tests/; here they are run, counted, and their figures collected.
Emulators do not get in each other's way, so there the tests are spread over the cores.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinyfly.console import say
from tinyfly.errors import UserError
from tinyfly_hil.target import built_for, open_target
from tinyfly_hil.tools import cores

TESTS = Path(__file__).resolve().parents[1]
WORKERS_MAX = 4  # the quick suite is a few seconds of work, a worker half a second of imports
Progress = Callable[[float, dict[str, float]], None]


def run(
    policy: Path,
    port: str = "qemu",
    *,
    thorough: bool = False,
    junit: Path | None = None,
    log: Path | None = None,
    select: str = "",
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the suite.

    Args:
        policy: the policy file that is on the chip.
        port: as for ``target.open_target``.
        thorough: also the tests with many flights (minutes instead of seconds).
        junit: write JUnit XML here.
        log: write a log of every test into this folder.
        select: only tests whose names match (pytest's -k).
        workers: processes that share the tests, each test with its own emulator; one a core when not given,
            and none but this one on a board, or for a selection.
        progress: told the share done, and how many tests have passed and failed.

    Returns:
        The keys below, every other figure that the tests measured, and failures: name -> report. None for a
        figure that this target cannot give.

    Raises:
        UserError: the port cannot be opened, or runs something else; ``select`` is no expression, or matches
            nothing.
    """
    import pytest

    _require_expression(select)
    with open_target(port, policy) as target:  # say at once, in one line, what would fail every test
        name, crc = f"{target.identity.target} ({port})", target.identity.policy_crc
    build = built_for(port, policy)
    collector = _Collector(progress)
    arguments = [
        str(TESTS),
        "--port",
        port,
        "--policy",
        str(policy),
        "-c",
        os.devnull,
        "--rootdir",
        str(TESTS),
    ]
    arguments += ["-p", "no:terminal", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib"]
    arguments += ["-p", "tinyfly_hil.plugin", "-p", "xdist"]
    if workers is None:
        workers = min(cores(), WORKERS_MAX) if build and not select else 0
    arguments += ["-n", str(workers)]
    arguments += ["--continue-on-collection-errors"]  # without, pytest ends as if somebody had interrupted it
    arguments += [] if thorough else ["--quick"]
    unfinished = junit and junit.with_name(f"{junit.name}.unfinished")  # no reader takes it for green
    arguments += ["--junitxml", str(unfinished)] if unfinished else []
    arguments += ["--log", str(log)] if log else []
    arguments += ["-k", select] if select else []
    with _alone():
        code = pytest.main(arguments, plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        if unfinished:
            unfinished.unlink(missing_ok=True)
        if code == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            raise UserError(
                f"--select {select!r} matches no test"
                + ("" if thorough else " of the quick suite; --thorough has more")
            )
        raise UserError(f"the suite did not run (pytest exit code {int(code)})")
    if code == pytest.ExitCode.TESTS_FAILED and not collector.failures:
        raise UserError("the suite failed and did not say where: run pytest hil_tests")
    if junit and unfinished:
        unfinished.replace(junit)
    return {
        "target": name,
        "policy_crc": crc,
        "passed": collector.passed,
        "failed": len(collector.failures),
        "skipped": collector.skipped,
        "hover_error_m": None,
        "figure_eight_rmse_m": None,
        "instructions_per_step": None,
        "flash_bytes": build.flash_bytes if build else None,
        "ram_bytes": build.ram_bytes if build else None,
        **collector.figures,
        "failures": collector.failures,
    }


def _require_expression(select: str) -> None:
    """pytest would say it too late, and in its own words."""
    from _pytest.mark.expression import Expression

    if not select.strip():
        return
    try:
        Expression.compile(select)
    except Exception as e:  # its class differs between versions of pytest
        why = getattr(e, "msg", e)
        raise UserError(
            f"--select {select!r} is no expression such as 'flight and not wind': {why}"
        ) from None


class _Collector:
    """A pytest plugin that counts."""

    def __init__(self, progress: Progress | None):
        self.passed = self.skipped = self._done = self._total = 0
        self.failures: dict[str, str] = {}
        self.figures: dict[str, float] = {}
        self._progress = progress

    def pytest_collection_finish(self, session: Any) -> None:
        self._total = len(session.items)

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._total = len(ids)  # every worker collects all

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:  # a file that does not import: none of its tests will ever be reported
            self._fail(report)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._fail(report)
        self.skipped += report.skipped
        if report.when == "call":
            self.passed += report.passed
        if report.when == "teardown":
            self._done += 1
            for name, value in report.user_properties:
                self.figures[name] = max(value, self.figures.get(name, value))
            if self._progress:
                counts = {"passed": float(self.passed), "failed": float(len(self.failures))}
                self._progress(self._done / max(self._total, 1), counts)

    def _fail(self, report: Any) -> None:
        sections = "".join(f"\n--- {title}\n{text}" for title, text in report.sections)
        self.failures[report.nodeid] = f"{report.longreprtext}{sections}"
        say(f"\nFAILED {report.nodeid}\n{self.failures[report.nodeid]}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """pytest with no plugins but ours, and nothing on stdout: that belongs to --json."""
    before = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if before is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = before
