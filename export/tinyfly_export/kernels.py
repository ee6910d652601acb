"""The arithmetics that the firmware can run a policy in, by name."""

from __future__ import annotations

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_export.arithmetic import Kernel
from tinyfly_export.float_c import float_kernel
from tinyfly_export.integer_c import BOUND, firmware_kernel
from tinyfly_export.proof import prove
from tinyfly_export.quantise import blank, quantise
from tinyfly_export.recorded import typical

KERNELS = ("float32", "int16", "int8")


def known(name: str) -> str:
    """The name, or a UserError with those that exist."""
    if name not in KERNELS:
        raise UserError(f"unknown kernel {name!r}: expected {', '.join(KERNELS)}")
    return name


def kernel(policy: Policy, name: str) -> Kernel:
    """float32: the policy's own bits. Integers choose their scales on flights flown here, a few seconds.

    Raises:
        UserError: integers cannot hold the network, or not within their bound on the golden vectors.
    """
    if known(name) == "float32":
        return float_kernel(policy)
    bits = _weight_bits(name)
    network = quantise(policy, typical(policy), bits)
    prove(policy, name, "its integers", network.act, BOUND[bits])
    return firmware_kernel(policy, network)


def flash_bytes(policy: Policy, name: str) -> int:
    """What the constants of a kernel take, without choosing their values."""
    if known(name) == "float32":
        return len(float_kernel(policy).constants)
    return len(firmware_kernel(policy, blank(policy, _weight_bits(name))).constants)


def _weight_bits(name: str) -> int:
    return int(name.removeprefix("int"))
