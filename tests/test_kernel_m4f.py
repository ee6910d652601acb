"""The Cortex-M kernels, run on their instruction set, give the bits of the definition."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from policies import random_policy, symmetric_policy

from tinyfly.contract import Channel, Contract, paper_contract
from tinyfly.policy import Policy
from tinyfly_export.c import CORE, export_c

pytest.importorskip("unicorn")
pytest.importorskip("capstone")
if not shutil.which("arm-none-eabi-gcc"):
    pytest.skip("arm-none-eabi-gcc is not installed", allow_module_level=True)

from tinyfly_export.cortex_m import Machine, build
from tinyfly_export.cycles import estimate

SOURCES = [CORE / name for name in ("tf_network.c", "tf_modal.c", "tf_kernel.c", "tf_tanh.c")]
BENCH = """
#include "tf_policy_data.h"
#define CALL(what, ...) TF_POLICY_NETWORK(what)(&tf_policy_network, __VA_ARGS__)
float bench_input[TF_POLICY_INPUTS], bench_partial[TF_POLICY_PARTIAL], bench_action[4];
unsigned bench_n_old;
void bench_step(void) { CALL(step, bench_input, bench_action); }
void bench_prepare(void) { CALL(prepare, bench_input, bench_n_old, bench_partial); }
void bench_finish(void) { CALL(finish, bench_partial, bench_n_old, bench_input + bench_n_old, bench_action); }
"""
STATE_ONLY = Contract((Channel("position_error", 3), Channel("rotation", 9)), history_length=0)
NETWORKS = [
    random_policy(paper_contract(), (64, 64)),
    random_policy(paper_contract(), (13, 37, 1)),
    random_policy(STATE_ONLY, (255,)),
    random_policy(STATE_ONLY, ()),
    symmetric_policy(paper_contract(), (64, 64)),
    symmetric_policy(paper_contract(), (48, 20, 4)),
    symmetric_policy(STATE_ONLY, (56,)),
]


def shape(policy: Policy) -> str:
    sizes = (policy.contract.size, *(layer.bias.size for layer in policy.layers))
    return "-".join(map(str, sizes)) + (" in modes" if policy.modal else "")


def machine(tmp_path: Path, policy: Policy, cpu: str, flags: str) -> Machine:
    _, data = export_c(policy, tmp_path, golden=1)
    bench = tmp_path / "bench.c"
    bench.write_text(BENCH)
    elf = build([*SOURCES, data, bench], [CORE, tmp_path], tmp_path / "bench.elf", cpu, flags)
    return Machine(elf, cpu)


@pytest.mark.parametrize("policy", NETWORKS, ids=shape)
@pytest.mark.parametrize(
    ("cpu", "flags"), [("M4F", "-O2"), ("M4F", "-O2 -DTF_PORTABLE_KERNEL"), ("M0", "-Os")]
)
def test_golden_vectors_hold_on_the_instruction_set(
    tmp_path: Path, policy: Policy, cpu: str, flags: str
) -> None:
    chip = machine(tmp_path, policy, cpu, flags)
    inputs, slots = policy.contract.size, policy.contract.history_length
    splits = (0, 4 * (slots // 2), 4 * slots) if policy.modal else (0, inputs // 2, inputs)
    vectors = [0, 130, 200, 240, 249, 252, 253, 255] if cpu == "M4F" else [0, 249]
    for i in vectors:
        chip.write("bench_input", np.ascontiguousarray(policy.golden_observation[:, i]).tobytes())
        expected = np.ascontiguousarray(policy.golden_action[:, i]).tobytes()
        chip.call("bench_step")
        assert chip.read("bench_action") == expected
        for n_old in splits:
            chip.write("bench_n_old", n_old.to_bytes(4, "little"))
            chip.call("bench_prepare")
            chip.write("bench_action", bytes(16))
            chip.call("bench_finish")
            assert chip.read("bench_action") == expected


@pytest.mark.parametrize("make", [random_policy, symmetric_policy])
@pytest.mark.parametrize("flags", ["-O2", "-O2 -DTF_PORTABLE_KERNEL"])
def test_a_step_executes_the_same_instructions_whatever_the_input(
    tmp_path: Path, make: Callable[[Contract], Policy], flags: str
) -> None:
    policy = make(paper_contract())
    chip = machine(tmp_path, policy, "M4F", flags)
    counts = set()
    for i in (0, 150, 200, 240, 250, 252):
        chip.write("bench_input", np.ascontiguousarray(policy.golden_observation[:, i]).tobytes())
        counts.add(estimate(chip, chip.trace("bench_step", "bench_action"), "M4F").instructions)
    assert len(counts) == 1
