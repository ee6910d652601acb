"""The policy in 16-bit integers: no sum overflows, every machine has the same bits, and they stay close."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import WIDTHS, any_policy, random_policy, symmetric_policy

from tinyfly.contract import Channel, Contract, paper_contract
from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_export.integer import ModalIntegers, tanh_integer
from tinyfly_export.integer_c import TANH_HEADER, bundle, export_integer, tanh_header
from tinyfly_export.kernels import kernel
from tinyfly_export.proof import plausible
from tinyfly_export.quantise import quantise

ODD = Contract((Channel("position_error", 3),), history_length=0)


def flown(policy: Policy) -> np.ndarray:
    """Stands for recorded flights."""
    return policy.golden_observation[:, plausible(policy)]


def test_integer_tanh_is_within_its_bound_for_every_argument() -> None:
    x = np.arange(-(9 << 16), 9 << 16)
    error = np.abs(tanh_integer(x) / 2.0**15 - np.tanh(x / 2.0**16))
    assert error.max() <= 1.3e-4
    assert tanh_integer(np.array([-(2**31), 2**31 - 1])).tolist() == [-32767, 32767]
    assert TANH_HEADER.read_text() == tanh_header(), "run `python -m tinyfly_export.integer_c`"


@settings(max_examples=25)
@given(
    weight_bits=st.sampled_from([16, 8]),
    widths=WIDTHS,
    mirrors=st.booleans(),
    scale=st.floats(0.01, 20),
    largest=st.floats(0.01, 1000),
)
def test_what_is_not_refused_cannot_overflow_whatever_the_inputs(
    weight_bits: int, widths: tuple[int, ...], mirrors: bool, scale: float, largest: float
) -> None:
    policy = any_policy(paper_contract(), widths, mirrors)
    scaled = tuple(Layer(x.weight * np.float32(scale), x.bias) for x in policy.layers)
    policy = Policy.create(policy.contract, scaled, policy.airframe, policy.provenance)
    try:
        recorded = np.full((policy.contract.size, 1), largest, np.float32)
        network = quantise(policy, recorded, weight_bits)
    except UserError:
        assert scale * largest > 10  # a large network on large inputs
        return
    modal = isinstance(network, ModalIntegers)
    added = [*network.hidden, (network.last,)] if modal else [(layer,) for layer in network.layers]
    for parts in added:
        arguments = 0
        for layer in parts:
            weight = np.abs(layer.weight.astype(np.int64)).sum(axis=1)
            most = np.abs(layer.bias.astype(np.int64)) + 32768 * weight
            assert most.max() < 2**31
            assert layer.shift >= 0
            arguments += (most if layer.scale is None else most * layer.scale.astype(np.int64)) >> layer.shift
        assert np.max(arguments) < 2**31
    assert largest * 2.0**network.input_bits < 32768


def test_weights_that_no_scale_holds_are_refused_by_layer() -> None:
    policy = random_policy(ODD, (8,))
    huge = Layer(policy.layers[1].weight * np.float32(1e6), policy.layers[1].bias)
    policy = Policy.create(ODD, (policy.layers[0], huge), policy.airframe, policy.provenance)
    for weight_bits in (16, 8):
        with pytest.raises(UserError, match=f"int{weight_bits}: layer 1 saturates"):
            quantise(policy, flown(policy), weight_bits)


def test_inputs_too_large_for_sixteen_bits_are_refused() -> None:
    policy = random_policy(ODD, (8,))
    with pytest.raises(UserError, match="inputs of up to 1e\\+05 are too large for int16"):
        quantise(policy, np.full((policy.contract.size, 1), 1e5, np.float32))


@pytest.mark.parametrize("name", ["int16", "int8"])
def test_firmware_does_not_fly_integers_that_are_far_from_the_policy(name: str) -> None:
    policy = symmetric_policy(paper_contract(), (64, 64))
    steep = tuple(Layer(layer.weight * np.float32(12), layer.bias) for layer in policy.layers)
    with pytest.raises(UserError, match=f"{name}: in its integers the action differs by up to"):
        kernel(Policy.create(policy.contract, steep, policy.airframe, policy.provenance), name)


def test_an_approximation_that_hardly_any_golden_vector_is_fit_for_is_not_proven(policy: Policy) -> None:
    history, *others = policy.contract.channels
    tiny = replace(policy.contract, channels=(replace(history, scale=0.01), *others))
    with pytest.raises(UserError, match=r"cannot be proven: .* scale the action history"):
        export_integer(random_policy(tiny), flown(policy))


def test_recorded_flights_of_another_contract_are_refused(policy: Policy) -> None:
    with pytest.raises(UserError, match="recorded observations"):
        quantise(policy, np.zeros((7, 10), np.float32))


@settings(max_examples=16)
@given(
    weight_bits=st.sampled_from([16, 8]),
    widths=WIDTHS,
    mirrors=st.booleans(),
    contract=st.sampled_from([ODD, paper_contract()]),
)
def test_compiled_integers_are_the_definition_and_near_the_policy(
    weight_bits: int, widths: tuple[int, ...], mirrors: bool, contract: Contract
) -> None:
    policy = any_policy(contract, widths, mirrors)
    files, (proof,) = export_integer(policy, flown(policy), weight_bits)  # compares bits with the definition
    assert proof.max_error <= proof.bound
    assert files == export_integer(policy, flown(policy), weight_bits)[0]


def test_inputs_beyond_the_scale_saturate_and_nan_counts_as_zero() -> None:
    policy = random_policy(ODD, (8,))
    network = quantise(policy, flown(policy))
    most = np.float32(32767 / 2.0**network.input_bits)
    x = np.array([[np.inf, most, np.nan, 0], [-np.inf, -most, 0, 0], [1e30, most, 1, 1]], np.float32)
    y = network.act(x)
    assert np.array_equal(y[:, 0], y[:, 1])
    assert np.array_equal(y[:, 2], y[:, 3])


CHIP = """
#include "policy_i16.h"
float bench_input[%d], bench_action[4];
int32_t bench_partial[256];
uint32_t bench_n_old;
void bench_step(void) { policy_i16_step(bench_input, bench_action); }
void bench_flown(void)
{
    policy_i16_prepare(bench_input, bench_partial);
    policy_i16_finish(bench_input, bench_partial, bench_action);
}
void bench_split(void)
{
    NETWORK_prepare(&policy_i16, bench_input, bench_n_old, bench_partial);
    NETWORK_finish(&policy_i16, bench_partial, bench_n_old, bench_input + bench_n_old, bench_action);
}
"""


@pytest.mark.parametrize(
    ("cpu", "flags"), [("M4F", "-O2"), ("M4F", "-O2 -DTF_PORTABLE_KERNEL"), ("M0", "-O2")]
)
@pytest.mark.parametrize("weight_bits", [16, 8])
@pytest.mark.parametrize(
    "policy",
    [
        random_policy(paper_contract(), (64, 13)),
        random_policy(ODD, (255,)),
        random_policy(ODD, ()),
        symmetric_policy(paper_contract(), (48, 20)),
        symmetric_policy(ODD, (252,)),
    ],
    ids=["146-64-13-4", "3-255-4", "3-4", "146-48-20-4 in modes", "3-252-4 in modes"],
)
def test_the_chip_computes_the_definition_whole_or_split(
    tmp_path: Path, cpu: str, flags: str, weight_bits: int, policy: Policy
) -> None:
    pytest.importorskip("unicorn")
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("arm-none-eabi-gcc is not installed")
    from tinyfly_export.cortex_m import Machine, build
    from tinyfly_export.cycles import estimate

    contract, network = policy.contract, quantise(policy, flown(policy), weight_bits)
    bench = (CHIP % contract.size).replace("NETWORK", "tf_modal_i16" if policy.modal else "tf_network_i16")
    for name, text in (bundle(network, contract) | {"bench.c": bench}).items():
        (tmp_path / name).write_text(text)
    elf = build([tmp_path / "policy_i16.c", tmp_path / "bench.c"], [], tmp_path / "bench.elf", cpu, flags)
    chip = Machine(elf, cpu)
    x = np.ascontiguousarray(policy.golden_observation[:, [0, 140, 200, 240, 249, 252, 253]])
    x[0, 0], x[-1, 1] = np.nan, -np.inf
    expected = network.act(x)
    counts = set()
    for column, action in zip(x.T, expected.T, strict=True):
        chip.write("bench_input", column.tobytes())
        counts.add(estimate(chip, chip.trace("bench_step", "bench_action"), cpu).instructions)
        assert chip.read("bench_action") == action.tobytes()
        chip.call("bench_flown")
        assert chip.read("bench_action") == action.tobytes()
        for n_old in (0, 64, 4 * contract.history_length) if contract.history_length else (0,):
            chip.write("bench_n_old", n_old.to_bytes(4, "little"))
            chip.call("bench_split")
            assert chip.read("bench_action") == action.tobytes()
    assert len(counts) == 1 or cpu == "M0"


def at_rest(policy: Policy) -> np.ndarray:
    """(inputs, 3): hovering, with one past action for all, and three of those."""
    x = np.zeros((policy.contract.size, 3), np.float32)
    rows = policy.contract.slices()
    x[rows["rotation"]] = np.eye(3).reshape(9, 1)
    x[rows["action_history"]] = policy.contract.hover_action + np.array([0, 0.2, -0.2])
    return x


@pytest.mark.parametrize("mirrors", [False, True])
def test_rounding_errors_do_not_add_up_along_the_history(mirrors: bool) -> None:
    """A change of all past actions alike is answered five times more closely than one of any kind."""
    steady, any_kind = [], []
    for seed in range(5):
        policy = any_policy(paper_contract(), (16,), mirrors, seed)
        act = quantise(policy, flown(policy), 8).act
        found, meant = (np.diff(f(at_rest(policy)), axis=1) for f in (act, policy.act))
        steady.append(np.abs(found - meant).max())
        x = flown(policy)[:, :100] * np.float32(0.2)
        any_kind.append(np.abs(act(x) - policy.act(x)).max())
    assert np.mean(steady) < 0.2 * np.mean(any_kind)


def test_a_policy_at_rest_keeps_its_thrust() -> None:
    policy = any_policy(paper_contract(), (16,), True)
    rest = at_rest(policy)[:, :1]
    assert np.abs(quantise(policy, flown(policy), 8).act(rest) - policy.act(rest)).max() < 3e-3


def test_scales_do_not_hang_on_the_last_bits_of_a_flight() -> None:
    """What one machine built, another one has to recognise."""
    policy = any_policy(paper_contract(), (16,), True)
    networks = [quantise(policy, flown(policy) * np.float32(f), 8) for f in (1, 1 + 1e-6)]
    assert np.array_equal(*(n.act(policy.golden_observation) for n in networks))
