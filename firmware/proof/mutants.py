"""Mutants of the core: one deliberate mistake each, and the tests must notice every one of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proof.workshop import CORE, TESTS


@dataclass(frozen=True)
class Mutant:
    """A row of mutants.toml."""

    what: str
    file: str
    old: str
    new: str


MUTANTS = [Mutant(**m) for m in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutant"]]


def survivors() -> Iterator[tuple[Mutant, bool]]:
    """Every mutant in turn, and whether the tests of the core let it live."""
    for mutant in MUTANTS:
        with tempfile.TemporaryDirectory(prefix="tinyfly-mutant-") as scratch:
            core = Path(scratch) / "core"
            shutil.copytree(CORE, core)
            path = core / f"tf_{mutant.file}.c"
            text = path.read_text()
            if text.count(mutant.old) != 1:
                sys.exit(
                    f"mutant {mutant.what!r}: its text occurs {text.count(mutant.old)} times in {path.name}"
                )
            path.write_text(text.replace(mutant.old, mutant.new))
            yield mutant, _tests_pass(mutant, core, Path(scratch))


def _tests_pass(mutant: Mutant, core: Path, scratch: Path) -> bool:
    # The tests of the mutated file first: most mutants die there.
    tests = sorted(TESTS.glob("firmware/test_*.py"), key=lambda p: (mutant.file not in p.name, p.name))
    changes = {
        "TINYFLY_CORE": core,
        "TINYFLY_CORE_BUILD": scratch / "build",
        "TINYFLY_CORE_FLAGS": "-O0 -Wno-error -w",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {name: str(value) for name, value in changes.items()}
    done = subprocess.run(command, capture_output=True, check=False, env=environment, cwd=TESTS.parent)
    if done.returncode not in (0, 1) and done.returncode >= 0:  # below 0: the mutant crashed its tests
        sys.exit(f"the tests did not run: {done.stdout.decode()[-2000:]}{done.stderr.decode()[-2000:]}")
    return done.returncode == 0
