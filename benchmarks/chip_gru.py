"""The recurrent network that on_chip.py times: RAPTOR's shape, 22-16-GRU 16-4, with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyfly_export.cortex_m import Machine, build
from tinyfly_export.gru import Gru, act_exact, source

FLAGS = {"assembly": "-O2", "portable C": "-O2 -DTF_PORTABLE_KERNEL"}
TIMED = (("bench_step", ""), ("bench_prepare", ", ahead of time"), ("bench_finish", ", critical path"))
STEPS = 16
_BENCH = """
#include "policy_gru.h"
#define KEPT __attribute__((used, section(".text.bench")))
float bench_input[22], bench_action[4];
KEPT void bench_reset(void) { tf_gru_reset(&policy_gru); }
KEPT void bench_step(void) { tf_gru_step(&policy_gru, bench_input, bench_action); }
KEPT void bench_prepare(void) { tf_gru_prepare(&policy_gru); }
KEPT void bench_finish(void) { tf_gru_finish(&policy_gru, bench_input, bench_action); }
"""


def machine(folder: Path, cpu: str, flags: str) -> tuple[Machine, float]:
    """The compiled network, and its largest error against the definition over a few steps."""
    gru = Gru.random()
    for name, text in {**source(gru), "bench.c": _BENCH}.items():
        (folder / name).write_text(text)
    sources = [folder / "policy_gru.c", folder / "bench.c"]
    chip = Machine(build(sources, [folder], folder / "gru.elf", cpu, flags), cpu)
    observation = np.random.default_rng(0).standard_normal((STEPS, 22)).astype(np.float32)
    chip.call("bench_reset")
    worst = 0.0
    for o, expected in zip(observation, act_exact(gru, observation), strict=True):
        chip.write("bench_input", o.tobytes())
        chip.call("bench_step")
        worst = max(
            worst, float(np.abs(np.frombuffer(chip.read("bench_action"), np.float32) - expected).max())
        )
    return chip, worst
