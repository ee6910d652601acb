"""What generated files say of the arithmetic that runs a policy, whichever it is: floats, modes, integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tinyfly.contract import AngularAcceleration, Contract, Integral, SpecificForce

Array = NDArray[np.float32]
NO_LIMIT = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the generated files need to know of the arithmetic that runs a policy."""

    name: str  # in protocol/messages.toml
    network: str  # of firmware/core: NETWORK.h and NETWORK.c hold NETWORK_step and the others
    sources: tuple[str, ...]  # of firmware/core, as much as the network needs
    sum_type: str  # of a partial sum
    partial: int  # how many of them
    old_inputs: int  # that they may be taken of, ahead of time
    declarations: str  # of the network and of its constants
    source: str  # the same, defined
    constants: bytes  # as they lie in flash, for the checksum
    act: Callable[[Array], Array]  # (inputs, n) -> (4, n), bit for bit what the chip computes


def old_inputs(contract: Contract, slots_at_once: int = 1) -> int:
    """Inputs that do not change between two advances of the history: all its slots but the newest."""
    return 4 * (max(contract.history_length - 1, 0) // slots_at_once * slots_at_once)


def contract_numbers(contract: Contract) -> Array:
    """The contract's numbers as one array, so that a checksum over the constants covers them."""
    channels = [(ch.size, ch.scale, NO_LIMIT if ch.limit is None else ch.limit) for ch in contract.channels]
    kept = [
        *_numbers(contract.integral, Integral),
        *_numbers(contract.specific_force, SpecificForce),
        *_numbers(contract.angular_acceleration, AngularAcceleration),
    ]
    rates = contract.rate_hz, contract.history_length, contract.history_rate_hz, contract.hover_action
    numbers = [*np.ravel(channels), *kept, *rates, *contract.preview_s, *contract.thrust_curve]
    return np.array(numbers, np.float32)


def _numbers(
    settings: Integral | SpecificForce | AngularAcceleration | None, kind: type
) -> tuple[float, ...]:
    """Of a ``kind`` of settings; zeros where the contract has none."""
    return astuple(settings) if settings else (0.0,) * len(fields(kind))
