"""The fuzzer: clang's libFuzzer with ASan and UBSan, run over the kept corpus."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from proof.workshop import BITS, FIRMWARE, Workshop

CORPUS = FIRMWARE / "fuzz" / "corpus"
LONGEST = 512  # bytes of an input; short ones are fast, and the harness begins in mid-flight
SANITIZE = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
# Edges of the core alone. Tracing comparisons takes two thirds of the time and finds nothing behind a CRC:
# what chance cannot guess, the mutator knows.
EDGES = "-fsanitize-coverage=inline-8bit-counters,pc-table"


def build(shop: Workshop) -> Path:
    """The fuzzer's executable, for the workshop's policy."""
    program = shop.folder / "fuzz_app"
    clang = ["clang", *BITS, "-g", *SANITIZE, *shop.include]
    shop.run([*clang, EDGES, "-c", *shop.sources, shop.generated / "tf_policy_data.c"])
    shop.run([*clang, "-c", *sorted((FIRMWARE / "fuzz").glob("*.c"))])
    shop.run([*clang, "-fsanitize=fuzzer", "-o", program, *sorted(shop.folder.glob("*.o"))])
    return program


def run(shop: Workshop, executions: int, seed: int = 1) -> int:
    """Executions done without a finding; a finding ends the proof with libFuzzer's report."""
    program, found = build(shop), shop.folder / "found"
    found.mkdir(exist_ok=True)
    command = [program, found, CORPUS, f"-runs={executions}", f"-seed={seed}", f"-max_len={LONGEST}"]
    done = shop.run([*command, "-len_control=0", "-print_final_stats=1"])
    return int(re.findall(r"number_of_executed_units: (\d+)", done.stderr)[-1])


def keep(shop: Workshop) -> int:
    """Reduce corpus and found to the few inputs that together cover the same edges."""
    program, found, kept = build(shop), shop.folder / "found", shop.folder / "kept"
    kept.mkdir()
    shop.run([program, "-set_cover_merge=1", "-use_counters=0", f"-max_len={LONGEST}", kept, found, CORPUS])
    shutil.rmtree(CORPUS)
    shutil.copytree(kept, CORPUS)
    return len(list(CORPUS.iterdir()))
