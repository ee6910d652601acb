"""The arithmetics that the firmware can run a policy in, by name."""

from __future__ import annotations

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_export.arithmetic import Kernel
from tinyfly_export.float_c import float_kernel
from tinyfly_export.integer_c import firmware_kernel
from tinyfly_export.quantise import quantise
from tinyfly_export.recorded import typical

KERNELS = ("float32", "int16", "int8")


def known(name: str) -> str:
    """The name, or a UserError with those that exist."""
    if name not in KERNELS:
        raise UserError(f"unknown kernel {name!r}: expected {', '.join(KERNELS)}")
    return name


def kernel(policy: Policy, name: str) -> Kernel:
    """float32: the policy's own bits. Integers choose their scales on flights flown here, a few seconds."""
    if known(name) == "float32":
        return float_kernel(policy)
    return firmware_kernel(policy, quantise(policy, typical(policy), int(name.removeprefix("int"))))
