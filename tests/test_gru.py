"""A recurrent policy in C is its NumPy definition, and the definition is torch's GRU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfly.errors import UserError
from tinyfly_export.gru import Gru, act_exact, export_gru, run, source
from tinyfly_export.native import FLAGS, compile_library


def flight(inputs: int, steps: int = 64) -> np.ndarray:
    """(steps, inputs): ordinary, large, infinite and not-a-number observations, and ordinary ones again."""
    x = np.random.default_rng(inputs).standard_normal((steps, inputs)).astype(np.float32)
    x[20:24] *= np.float32(1e3)
    x[24], x[25], x[26], x[27, 0] = np.inf, -np.inf, np.float32(3e38), np.nan
    return x


def test_the_shape_of_raptor_has_2084_parameters() -> None:
    assert Gru.random().parameters == 2084


@pytest.mark.parametrize("compiler", [c for c in ("gcc", "clang") if shutil.which(c)])
@pytest.mark.parametrize("flags", [FLAGS, ("-std=c99", "-O3", "-Wall", "-Wextra", "-Wconversion", "-Werror")])
def test_compiled_it_has_the_bits_of_its_definition(
    tmp_path: Path, compiler: str, flags: tuple[str, ...]
) -> None:
    gru, observation = Gru.random(), flight(22)
    for name, text in source(gru).items():
        (tmp_path / name).write_text(text)
    library = compile_library([tmp_path / "policy_gru.c"], [], compiler, flags)
    expected = act_exact(gru, observation)
    assert np.abs(expected).max() <= 1
    assert np.array_equal(run(library, observation), expected)
    assert np.array_equal(run(library, observation), expected)  # after a reset, all over again


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 16).map(lambda n: 4 * n), st.integers(0, 999))
def test_any_shape_is_exported_with_its_bits(inputs: int, dense: int, size: int, seed: int) -> None:
    gru = Gru.random(inputs, dense, size, seed)
    assert export_gru(gru, flight(inputs, 40)) == export_gru(gru, flight(inputs, 40))


def test_it_is_torchs_gru() -> None:
    torch = pytest.importorskip("torch")
    gru, observation = Gru.random(), np.random.default_rng(1).standard_normal((200, 22)).astype(np.float32)
    cell = torch.nn.GRUCell(16, 16)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, torch.nn.Parameter(torch.from_numpy(getattr(gru, name))))
    hidden, worst = torch.from_numpy(gru.initial)[None], 0.0
    for o, action in zip(observation, act_exact(gru, observation), strict=True):
        x = torch.relu(torch.from_numpy(gru.dense.weight @ o + gru.dense.bias))[None]
        hidden = cell(x, hidden)
        expected = np.clip(gru.action.weight @ hidden[0].detach().numpy() + gru.action.bias, -1, 1)
        worst = max(worst, float(np.abs(action - expected).max()))
    assert worst < 5e-6


def test_the_hidden_values_carry_from_step_to_step() -> None:
    gru, observation = Gru.random(), np.zeros((3, 22), np.float32)
    first, second, _ = act_exact(gru, observation)
    assert not np.array_equal(first, second)


def test_a_hidden_size_that_is_no_multiple_of_four_is_refused() -> None:
    with pytest.raises(UserError, match="6 hidden values; expected a multiple of four"):
        Gru.random(size=6)


def test_a_matrix_of_another_shape_is_refused_by_name() -> None:
    gru = Gru.random()
    with pytest.raises(UserError, match=r"weight_hh is float32 \(48, 12\); expected float32 \(48, 16\)"):
        replace(gru, weight_hh=gru.weight_hh[:, :12])


BENCH = """
#include "policy_gru.h"
float bench_input[22], bench_action[4];
void bench_reset(void) { tf_gru_reset(&policy_gru); }
void bench_step(void) { tf_gru_step(&policy_gru, bench_input, bench_action); }
"""


@pytest.mark.parametrize(
    ("cpu", "flags"), [("M4F", "-O2"), ("M4F", "-O2 -DTF_PORTABLE_KERNEL"), ("M0", "-Os")]
)
def test_the_chip_computes_the_definition_in_constant_instructions(
    tmp_path: Path, cpu: str, flags: str
) -> None:
    pytest.importorskip("unicorn")
    pytest.importorskip("capstone")
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("arm-none-eabi-gcc is not installed")
    from tinyfly_export.cortex_m import Machine, build
    from tinyfly_export.cycles import estimate

    gru, observation = Gru.random(), flight(22, 32)
    for name, text in {**source(gru), "bench.c": BENCH}.items():
        (tmp_path / name).write_text(text)
    sources = [tmp_path / "policy_gru.c", tmp_path / "bench.c"]
    flags += " -Wl,--undefined=bench_reset"
    chip = Machine(build(sources, [tmp_path], tmp_path / "b.elf", cpu, flags), cpu)
    chip.call("bench_reset")
    for o, action in zip(observation, act_exact(gru, observation), strict=True):
        chip.write("bench_input", o.tobytes())
        chip.call("bench_step")
        assert chip.read("bench_action") == action.tobytes()
    if cpu == "M4F":  # an M0's soft-float takes its time from the data
        counts = set()
        for o in observation[[0, 20, 24, 25, 27]]:
            chip.write("bench_input", o.tobytes())
            counts.add(estimate(chip, chip.trace("bench_step", "bench_input"), cpu).instructions)
        assert len(counts) == 1
