"""The fuzzer: clang's libFuzzer with ASan and UBSan, run over the kept corpus."""

from __future__ import annotations

import re
from pathlib import Path

from proof.workshop import FIRMWARE, Workshop

CORPUS = FIRMWARE / "fuzz" / "corpus"
LONGEST = 512  # bytes of an input; short ones are fast, and the harness begins in mid-flight
SANITIZE = "-fsanitize=fuzzer,address,undefined,float-cast-overflow"


def build(shop: Workshop) -> Path:
    """The fuzzer's executable, for the workshop's policy."""
    program = shop.folder / "fuzz_app"
    sources = [*shop.sources, *sorted((FIRMWARE / "fuzz").glob("*.c")), shop.generated / "tf_policy_data.c"]
    flags = ["-std=c11", "-O2", "-g", "-ffp-contract=off", SANITIZE, "-fno-sanitize-recover=all"]
    shop.run(["clang", *flags, *shop.include, "-o", program, *sources])
    return program


def run(shop: Workshop, executions: int, seed: int = 1) -> int:
    """Executions done without a finding; a finding ends the proof with libFuzzer's report."""
    program, found = build(shop), shop.folder / "found"
    found.mkdir(exist_ok=True)
    command = [program, found, CORPUS, f"-runs={executions}", f"-seed={seed}", f"-max_len={LONGEST}"]
    done = shop.run([*command, "-len_control=0", "-print_final_stats=1"])
    return int(re.findall(r"number_of_executed_units: (\d+)", done.stderr)[-1])


def keep(shop: Workshop) -> int:
    """Reduce what was found to a small corpus with the same coverage, in firmware/fuzz/corpus."""
    CORPUS.mkdir(exist_ok=True)
    program, found = build(shop), shop.folder / "found"
    shop.run([program, "-set_cover_merge=1", f"-max_len={LONGEST}", CORPUS, found])
    return len(list(CORPUS.iterdir()))
