"""The self-test: any damage to the policy refuses to arm, by name."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from core import MS, App, Controller
from hypothesis import given, settings
from hypothesis import strategies as st
from native import GOLDEN

from tinyfly_hil.protocol import name_of


@contextmanager
def flipped(library: ctypes.CDLL, address: int, bit: int):
    """One bit of read-only memory the other way round, as a worn flash cell would have it."""
    page = ctypes.c_void_p(address & ~(mmap.PAGESIZE - 1))
    byte = ctypes.c_uint8.from_address(address)
    libc = ctypes.CDLL(None)

    def flip() -> None:
        assert libc.mprotect(page, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE) == 0
        byte.value ^= 1 << bit
        assert libc.mprotect(page, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ) == 0

    flip()
    try:
        yield
    finally:
        flip()


def address_of(library: ctypes.CDLL, name: str) -> int:
    return ctypes.addressof(ctypes.c_uint8.in_dll(library, name))


class Layer(ctypes.Structure):
    """tf_layer_t, as far as the test needs it"""

    _fields_ = (("inputs", ctypes.c_uint16), ("outputs", ctypes.c_uint16), ("rest", ctypes.c_void_p * 2))


class Network(ctypes.Structure):
    """tf_network_t"""

    _fields_ = (("inputs", ctypes.c_uint32), ("layers", ctypes.c_uint32), ("layer", ctypes.POINTER(Layer)))


def refusal(library: ctypes.CDLL) -> tuple[str, str, str]:
    c = Controller(library)
    c.run(520 * MS)
    return c.state, c.reason, c.arm()


def test_a_whole_policy_passes(library):
    assert refusal(library) == ("disarmed", "none", "none")


def constants_bytes(full_policy) -> int:
    return 4 * sum(layer.weight.size + layer.bias.size for layer in full_policy.layers)


@given(st.floats(0, 0.999), st.integers(0, 7))
@settings(max_examples=100)
def test_any_flipped_bit_of_the_weights_is_a_wrong_crc(library, full_policy, where, bit):
    address = address_of(library, "tf_policy_constants") + int(where * constants_bytes(full_policy))
    with flipped(library, address, bit):
        assert refusal(library) == ("refused", "policy_crc", "policy_crc")


@given(st.integers(0, GOLDEN * 16 - 1), st.integers(0, 7))
@settings(max_examples=50)
def test_any_flipped_bit_of_a_golden_action_is_a_mismatch(library, byte, bit):
    with flipped(library, address_of(library, "tf_golden_action") + byte, bit):
        assert refusal(library) == ("refused", "golden_mismatch", "golden_mismatch")


def test_a_nan_among_the_golden_actions_is_a_mismatch(library):
    # 0x..7F as the top byte and 0xC0 below it make a NaN; comparing floats would have to be done just so.
    address = address_of(library, "tf_golden_action")
    old = int.from_bytes(ctypes.string_at(address + 2, 2), "little")
    new = 0x7FC0 | (old & 0x003F)
    bits = [i for i in range(16) if (old ^ new) >> i & 1]
    with ExitStack() as stack:
        for i in bits:
            stack.enter_context(flipped(library, address + 2 + i // 8, i % 8))
        assert np.isnan(ctypes.c_float.from_address(address).value)
        assert refusal(library)[1] == "golden_mismatch"
    assert refusal(library)[0] == "disarmed"


@pytest.mark.parametrize("output_side", [False, True])
def test_a_network_of_another_shape_is_a_contract_mismatch(library, output_side):
    network = Network.in_dll(library, "tf_policy_network")
    outputs = ctypes.addressof(network.layer[network.layers - 1]) + Layer.outputs.offset
    address = outputs if output_side else ctypes.addressof(network) + Network.inputs.offset
    with flipped(library, address, 1):
        assert refusal(library) == ("refused", "contract_mismatch", "contract_mismatch")


def test_refusal_is_visible_over_the_link_and_ends_when_the_damage_does(library):
    app = App(library)
    address = address_of(library, "tf_policy_constants") + 5
    with flipped(library, address, 3):
        found = app.ask("run_self_test")
        assert (name_of("state", found.state), name_of("reason", found.reason)) == ("refused", "policy_crc")
        assert name_of("reason", app.ask("hello").reason) == "policy_crc"
        assert name_of("reason", app.arm().reason) == "policy_crc"
        assert name_of("reason", app.ask("disarm").reason) == "policy_crc"
        app.ask("stop")
        assert name_of("reason", app.ask("disarm").reason) == "policy_crc"
    found = app.ask("run_self_test")
    assert (name_of("state", found.state), found.mismatches, found.vectors) == ("disarmed", 0, GOLDEN)


def test_mismatches_are_counted(library):
    app = App(library)
    golden = address_of(library, "tf_golden_action")
    with flipped(library, golden, 0), flipped(library, golden + 32, 0):
        found = app.ask("run_self_test")
    assert (found.mismatches, name_of("reason", found.reason)) == (2, "golden_mismatch")
