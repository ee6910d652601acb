"""Prove the portable core, figure by figure, each beside its bound:  python firmware/prove.py [--quick]

Everything is measured here and now, on generated code for small random policies. --quick, for continuous
integration, fuzzes and bombards less and leaves the mutants out.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from proof import fuzz, mutants
from proof.stack import CallGraph
from proof.workshop import BITS, CORE, M4F, STRICT, TESTS, Workshop, say

ROOTS = ("tf_app_init", "tf_app_poll", "tf_app_receive", "tf_controller_step")
LIBRARY = {"memcpy", "memmove", "memset", "memcmp", "strncpy"}  # all that the core wants of a C library


@dataclass(frozen=True)
class Row:
    """A figure, its bound as words, and whether it keeps to it."""

    what: str
    figure: str
    bound: str
    ok: bool


def warnings(shop: Workshop) -> Iterator[Row]:
    """The strict set, as errors, with three compilers; one object per file stays for the rows below."""
    sources = [*shop.sources, shop.generated / "tf_policy_data.c"]
    for compiler, more in (("gcc", []), ("clang", []), ("arm-none-eabi-gcc", [*M4F, "-fcallgraph-info=su"])):
        shop.run([compiler, *BITS, *STRICT, *more, *shop.include, "-c", *sources])
        yield Row(
            f"{compiler}, files without a warning", str(len(sources)), " ".join(STRICT[:3]) + " ...", True
        )


def analysers(shop: Workshop) -> Iterator[Row]:
    cppcheck = [
        "cppcheck",
        "--enable=warning,style,performance,portability",
        "--inline-suppr",
        "--std=c11",
        "--template={file}:{line}: {message} [{id}]",  # one line each
        "-q",
    ]
    found = shop.run([*cppcheck, "--suppress=missingIncludeSystem", *shop.include, CORE]).stderr.splitlines()
    for line in found:
        say(line)
    yield Row("cppcheck findings", str(len(found)), "0", not found)
    done = shop.run(["clang-tidy", "--quiet", *shop.sources, "--", "-std=c11", *shop.include], ok=False)
    lines = (done.stdout + done.stderr).splitlines()
    found = [line for line in lines if "warning:" in line or "error:" in line]
    for line in found:
        say(line)
    yield Row("clang-tidy findings", str(len(found)), "0", not found and done.returncode == 0)


def objects(shop: Workshop) -> Iterator[Row]:
    """What the Cortex-M4 objects of ``warnings`` ask of others, and how deep their stack gets."""
    symbols = shop.run(["arm-none-eabi-nm", *sorted(shop.folder.glob("*.o"))]).stdout.split()
    wanted = {name for kind, name in pairwise(symbols) if kind == "U"}
    foreign = {name for name in wanted if not name.startswith("tf_")}
    yield Row("library functions used", " ".join(sorted(foreign)), "no heap, no libm", foreign <= LIBRARY)
    doubles = {name for name in symbols if name.startswith("__aeabi_d")}
    yield Row("operations on doubles", str(len(doubles)), "0", not doubles)
    graph = CallGraph.read(shop.folder)
    size, path = max(graph.deepest(root) for root in ROOTS)
    say("deepest:", " -> ".join(name.rpartition(":")[2] for name in path))
    yield Row("stack, deepest path, no recursion", f"{size} B", "2048 B", size <= 2048)


def coverage(shop: Workshop) -> Iterator[Row]:
    """Of the core's tests alone. Integer and recurrent kernels have tests of their own, not counted here."""
    folder = shop.folder / "coverage"
    flags = {"TINYFLY_CORE_BUILD": str(folder), "TINYFLY_CORE_FLAGS": "--coverage -O0 -fno-sanitize=all"}
    os.environ |= flags
    shop.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS / "firmware"])
    for name in flags:
        del os.environ[name]
    kept = [
        "--root",
        CORE,
        "--filter",
        f"{CORE}/",
        "--exclude",
        ".*_(i16|gru).*",
        "--object-directory",
        folder,
    ]
    found = json.loads(shop.run(["gcovr", *kept, "--json-summary", "-", folder]).stdout)
    percent = found["branch_percent"]
    yield Row("branches covered by the core's tests", f"{percent} %", "95 %", percent >= 95)


def bombardment(states: int) -> Iterator[Row]:
    """Random bit patterns as states; every command that leaves is looked at."""
    from core import Controller
    from native import FULL, build
    from policies import random_policy

    library = build(random_policy(FULL), flags=["-O2"])
    library.bridge_bombard.restype = ctypes.c_uint64
    accepted, bad, each = ctypes.c_uint64(), 0, 5000
    c = Controller(library)
    for seed in range(1, states // each + 1):
        c.disarm()
        c.take_off()
        now = ctypes.c_uint32(c.now_us)
        count = ctypes.c_uint64(each)
        bad += library.bridge_bombard(c.handle, ctypes.byref(now), seed, count, ctypes.byref(accepted))
        c.now_us = now.value
    say(f"of them believed: {accepted.value:,}")
    yield Row(f"bad motor commands in {states:,} random states", str(bad), "0", bad == 0)


def fuzzing(folder: Path, executions: int) -> Iterator[Row]:
    from native import SLOW

    done = fuzz.run(Workshop(folder, SLOW, (4,)), executions)
    yield Row(
        "fuzzing under ASan and UBSan, executions",
        f"{done:,}",
        f"{executions:,}, no finding",
        done >= executions,
    )


def killing(judge: mutants.Judge, named: str = "") -> Iterator[Row]:
    """Each mutant beside the first test that noticed it."""
    verdicts = []
    for mutant, noticed in mutants.tried(judge, named):
        say(f"{mutant.what:48}  {noticed or 'ALIVE'}")
        verdicts.append(noticed)
    alive = verdicts.count("")
    yield Row("mutants killed", str(len(verdicts) - alive), str(len(verdicts)), not alive)


def prove(rows: list[Callable[[], Iterator[Row]]]) -> bool:
    good = True
    for proof in rows:
        for row in proof():
            print(f"{'ok ' if row.ok else 'BAD'}  {row.what:52}  {row.figure:>28}  {row.bound}", flush=True)
            good &= row.ok
    return good


def main() -> None:
    from native import FULL

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    quick = "less fuzzing, no mutants; with --hil: what `tinyfly hil` runs without --thorough"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--executions", type=int, help="of the fuzzer (default 1,000,000; quick 50,000)")
    parser.add_argument(
        "--hil",
        type=Path,
        metavar="POLICY",
        help="only the mutants, with the suite of `tinyfly hil` as judge",
    )
    parser.add_argument("--port", default="host", choices=("host", "qemu"), help="where --hil flies them")
    parser.add_argument("--named", default="", help="only mutants whose description holds this")
    parser.add_argument(
        "--keep-corpus", action="store_true", help="put what the fuzzer found into firmware/fuzz/corpus"
    )
    options = parser.parse_args()
    if options.hil:
        from tinyfly.errors import UserError

        try:
            judge = mutants.hil_suite(options.hil, options.port, options.quick)
            sys.exit(0 if prove([lambda: killing(judge, options.named)]) else 1)
        except UserError as e:
            parser.exit(2, f"prove: {e}\n")
    tools = ("gcc", "clang", "clang-tidy", "cppcheck", "gcovr", "arm-none-eabi-gcc")
    packages = "gcc clang clang-tidy cppcheck gcovr gcc-arm-none-eabi"
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        parser.exit(2, f"prove: missing: {', '.join(missing)}; sudo apt-get install {packages}\n")
    executions = options.executions or (50_000 if options.quick else 1_000_000)
    states = 1_000_000 if options.quick else 10_000_000
    with tempfile.TemporaryDirectory(prefix="tinyfly-prove-") as scratch:
        shop, fuzzed = Workshop(Path(scratch), FULL), Path(scratch) / "fuzz"
        rows = [
            lambda: warnings(shop),
            lambda: analysers(shop),
            lambda: objects(shop),
            lambda: coverage(shop),
        ]
        rows += [lambda: bombardment(states), lambda: fuzzing(fuzzed, executions)]
        good = prove(rows if options.quick else [*rows, lambda: killing(mutants.core_tests, options.named)])
        if options.keep_corpus:
            from native import SLOW

            say("corpus:", fuzz.keep(Workshop(fuzzed, SLOW, (4,))), "inputs")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
