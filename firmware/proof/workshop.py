"""Where the proofs are made: a folder with a small random symmetric policy as C, and how to run tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

FIRMWARE = Path(__file__).resolve().parents[1]
CORE = FIRMWARE / "core"
TESTS = FIRMWARE.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "firmware")]  # the tests' small policies serve here too

STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wdouble-promotion", "-Wvla", "-Werror"]
BITS = ["-std=c11", "-O2", "-ffp-contract=off"]
M4F = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]


def say(*words: object) -> None:
    """To the terminal at once; standard output keeps to the table."""
    print(*words, file=sys.stderr, flush=True)


class Workshop:
    """A scratch folder and what is generated into it."""

    def __init__(self, folder: Path, contract: Any, widths: tuple[int, ...] = (16, 16)):
        from native import GOLDEN
        from policies import symmetric_policy

        from tinyfly_export.c import export_c

        self.folder, self.generated = folder, folder / "generated"
        self.generated.mkdir(parents=True, exist_ok=True)
        self.policy = symmetric_policy(contract, widths)
        export_c(self.policy, self.generated, golden=GOLDEN)
        self.run([sys.executable, FIRMWARE / "protocol" / "generate.py", self.generated])
        self.include = [f"-I{CORE}", f"-I{self.generated}"]
        self.sources = sorted(CORE.glob("tf_*.c"))

    def run(self, command: list[Any], ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a tool in the folder; when it fails and must not, its output is the last word."""
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=self.folder)
        if ok and done.returncode:
            say(done.stdout[-4000:] + done.stderr[-4000:])
            sys.exit(f"{Path(words[0]).name} failed; its report is above")
        return done
