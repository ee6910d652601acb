"""Mutants of the core: one deliberate mistake each, and the tests must notice every one of them.

Two judges, each alone: the core's own tests, and the hardware-in-the-loop suite, which sees a finished image
through its serial port and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proof.workshop import FIRMWARE, TESTS

ROOT = FIRMWARE.parent
ORDER = {"test_inputs": -2, "test_supervisor": -1, "test_campaign": 1, "test_flight": 2}
_NOTICED = re.compile(r"^(?:FAILED|ERROR) \S*?(test_\w+\.py.*?)(?: - |$)", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """A row of mutants.toml."""

    what: str
    file: str
    old: str
    new: str


MUTANTS = [Mutant(**m) for m in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutant"]]
Judge = Callable[[Mutant, Path], str]  # (mutant, its folder firmware/) -> the test that noticed, or nothing


def tried(judge: Judge, named: str = "") -> Iterator[tuple[Mutant, str]]:
    """Every mutant in turn (or those whose description holds ``named``), and the judge's verdict on it."""
    with tempfile.TemporaryDirectory(prefix="tinyfly-mutant-") as scratch:
        firmware = Path(scratch) / "firmware"
        for part in ("core", "ports"):
            shutil.copytree(FIRMWARE / part, firmware / part)
        for mutant in (m for m in MUTANTS if named in m.what):
            path = firmware / "core" / f"tf_{mutant.file}.c"
            text = path.read_text()
            if text.count(mutant.old) != 1:
                sys.exit(
                    f"mutant {mutant.what!r}: its text occurs {text.count(mutant.old)} times in {path.name}"
                )
            path.write_text(text.replace(mutant.old, mutant.new))
            yield mutant, judge(mutant, firmware)
            path.write_text(text)


def core_tests(mutant: Mutant, firmware: Path) -> str:
    """The core's tests as judge."""
    # The tests of the mutated file first: most mutants die there.
    tests = sorted(TESTS.glob("firmware/test_*.py"), key=lambda p: (mutant.file not in p.name, p.name))
    with tempfile.TemporaryDirectory(prefix="tinyfly-mutant-") as built:
        changes = {
            "TINYFLY_CORE": str(firmware / "core"),
            "TINYFLY_CORE_BUILD": built,
            "TINYFLY_CORE_FLAGS": "-O0 -Wno-error -w",
        }
        return _first_failure([*map(str, tests)], changes)


def hil_suite(policy: Path, port: str, quick: bool = False) -> Judge:
    """The suite of ``tinyfly hil`` as judge, over ``port`` (an emulator's) with a policy that flies.

    ``quick``: only the part that ``tinyfly hil`` runs without ``--thorough``.
    """
    from tinyfly.policy import Policy
    from tinyfly_hil.build import lock, pio
    from tinyfly_hil.target import EMULATORS

    Policy.load(policy)

    def judge(mutant: Mutant, firmware: Path) -> str:
        with lock():
            image = shutil.copy(pio(policy, EMULATORS[port][0], firmware=firmware), firmware)
        # What most mutants die of first, flights by the minute last; test_boards.py builds its own.
        files = sorted((ROOT / "hil_tests").glob("test_*.py"), key=lambda p: ORDER.get(p.stem, 0))
        suite = [str(p) for p in files if p.stem != "test_boards"]
        suite += ["-k", "not on_the_host_build"]  # that one is built from the sources that are right
        suite += ["--port", f"{port}:{image}", "--policy", str(policy), "--log", str(firmware / "logs")]
        return _first_failure([*suite, *(["--quick"] if quick else [])])

    return judge


def _first_failure(arguments: list[str], changes: dict[str, str] | None = None) -> str:
    """The first test that pytest sees fail; nothing when all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | (changes or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if done.returncode == 0:
        return ""
    if done.returncode < 0:  # the mutant took its tests along
        return f"signal {-done.returncode}"
    noticed = _NOTICED.search(done.stdout)
    if done.returncode != 1 or noticed is None:
        sys.exit(f"the tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return noticed[1]
