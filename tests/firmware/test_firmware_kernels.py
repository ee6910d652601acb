"""The core on its other kernels, modes and core: whole, they fly as floats do; damaged, they refuse."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from core import MS, App, Controller
from hypothesis import given, settings
from hypothesis import strategies as st
from native import FULL, GOLDEN, build
from policies import random_policy, symmetric_policy
from test_firmware_integrity import address_of, flipped, refusal

from tinyfly.policy import Policy
from tinyfly_export.arithmetic import Kernel
from tinyfly_export.float_c import float_kernel
from tinyfly_export.integer_c import firmware_kernel
from tinyfly_export.proof import plausible
from tinyfly_export.quantise import quantise
from tinyfly_hil.protocol import ENUMS


@pytest.fixture(scope="module")
def kernel(full_policy: Policy, arithmetic: str) -> Kernel:
    if arithmetic == "float32 in modes":
        return float_kernel(full_policy)
    flown, bits = full_policy.golden_observation[:, plausible(full_policy)], int(arithmetic.split()[0][3:])
    return firmware_kernel(full_policy, quantise(full_policy, flown, bits))


@pytest.fixture(
    scope="module", params=["float32 in modes", "int16 in modes", "int8 in modes", "int16", "int8"]
)
def arithmetic(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def full_policy(arithmetic: str) -> Policy:
    """Every channel there is, and both mirrors where the arithmetic wants them."""
    return symmetric_policy(FULL) if "modes" in arithmetic else random_policy(FULL)


@pytest.fixture(scope="module")
def core(full_policy: Policy, kernel: Kernel) -> ctypes.CDLL:
    """The core with that kernel."""
    return build(full_policy, kernel=kernel)


def test_the_self_test_compares_the_kernels_own_vectors_and_passes(core: ctypes.CDLL) -> None:
    app = App(core)
    found = app.ask("run_self_test")
    assert (found.vectors, found.mismatches, found.reason) == (GOLDEN, 0, 0)
    assert refusal(core) == ("disarmed", "none", "none")


def test_the_identity_names_the_kernel_and_the_policy(
    core: ctypes.CDLL, kernel: Kernel, full_policy: Policy
) -> None:
    who = App(core).ask("hello")
    assert (who.kernel, who.policy_crc) == (ENUMS["kernel"][kernel.name], full_policy.crc32())


def test_inference_has_the_bits_of_the_definition(
    core: ctypes.CDLL, kernel: Kernel, full_policy: Policy
) -> None:
    app, inputs = App(core), full_policy.contract.size
    x = np.random.default_rng(0).standard_normal((inputs, 5)).astype(np.float32)
    for observation, action in zip(x.T, kernel.act(x).T, strict=True):
        assert np.array_equal(np.array(app.ask("infer", observation=observation).action, np.float32), action)


def test_sums_taken_ahead_change_no_bit(core: ctypes.CDLL) -> None:
    controllers = [Controller(core).take_off() for _ in range(2)]
    for k in range(20):
        core.bridge_prepare(controllers[0].handle)
        state = (0.01 * k, *(0.0, 0.0, 1.0, 0.0, 0.0, 0.0), 0.1 * k, *(0.0,) * 5)
        a, b = (c.step(3 * MS, state) for c in controllers)
        assert np.array_equal(a, b)


@given(st.floats(0, 0.999), st.integers(0, 7))
@settings(max_examples=50)
def test_any_flipped_bit_of_weights_or_contract_is_a_wrong_crc(
    core: ctypes.CDLL, kernel: Kernel, where: float, bit: int
) -> None:
    at = address_of(core, "tf_policy_constants") + int(where * len(kernel.constants))
    with flipped(core, at, bit):
        assert refusal(core) == ("refused", "policy_crc", "policy_crc")


def test_a_flipped_golden_action_is_a_mismatch(core: ctypes.CDLL) -> None:
    with flipped(core, address_of(core, "tf_golden_action") + 5, 3):
        assert refusal(core) == ("refused", "golden_mismatch", "golden_mismatch")


def test_a_network_of_another_shape_is_a_contract_mismatch(core: ctypes.CDLL) -> None:
    with flipped(core, address_of(core, "tf_policy_network"), 1):  # its first member: inputs
        assert refusal(core) == ("refused", "contract_mismatch", "contract_mismatch")


def test_no_state_however_broken_reaches_a_motor(core: ctypes.CDLL) -> None:
    c = Controller(core).take_off()
    accepted, now_us = ctypes.c_uint64(0), ctypes.c_uint32(c.now_us)
    core.bridge_bombard.restype = ctypes.c_uint64
    bad = core.bridge_bombard(
        c.handle, ctypes.byref(now_us), 7, ctypes.c_uint64(20_000), ctypes.byref(accepted)
    )
    assert bad == 0 and accepted.value > 1000
