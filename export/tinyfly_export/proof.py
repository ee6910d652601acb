"""An export is kept only when the real runtime gives the policy's actions.

The golden vectors reach from ordinary to absurd (3e38). A runtime that adds in another order, or fuses, has
other last bits; with inputs of 1e3 and more those bits decide the action, and beyond 1e19 there are
infinities. So a bound is held on the golden vectors whose inputs a flight could hold (|x| <= 10, and past
actions, which are at most 1, to 4), and the largest difference on the others is printed beside it, not
hidden. A bound of 0 holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly.policy import Policy

Array = NDArray[np.float32]
PLAUSIBLE, HISTORY_MAX = 10.0, 4.0
ENOUGH = 32  # vectors that a bound is held on
Runtime = Callable[[Array], Array]  # (inputs, n) -> (4, n)


@dataclass(frozen=True, slots=True)
class Proof:
    """How an export compared with the policy in the runtime that will run it."""

    format: str
    runtime: str
    vectors: int
    max_error: float
    bound: float
    others: int
    others_max_error: float | None  # None when the runtime gave a NaN


def plausible(policy: Policy) -> NDArray[np.bool_]:
    """(256,) which golden vectors a flight could hold: no input, nor a past action, far beyond it."""
    x = np.abs(policy.golden_observation)
    past = x[: 4 * policy.contract.history_length].max(axis=0, initial=0)
    scale = policy.contract.channels[0].scale
    return (x.max(axis=0) <= PLAUSIBLE) & (past <= HISTORY_MAX * scale)


def prove(policy: Policy, format_name: str, runtime: str, run: Runtime, bound: float) -> Proof:
    """Run every golden vector; UserError when the largest error is over the bound."""
    action = run(policy.golden_observation)
    error = np.abs(action.astype(np.float64) - policy.golden_action).max(axis=0)
    compared = np.ones_like(plausible(policy)) if bound == 0 else plausible(policy)
    if compared.sum() < ENOUGH:
        raise UserError(
            f"{format_name} cannot be proven: {compared.sum()} of {compared.size} golden vectors are like a "
            f"flight's where {ENOUGH} are needed; scale the action history by about 1 in the contract"
        )
    others = error[~compared]
    beyond = float(others.max()) if others.size else 0.0
    proof = Proof(
        format_name,
        runtime,
        int(compared.sum()),
        float(error[compared].max()),
        bound,
        others.size,
        beyond if np.isfinite(beyond) else None,
    )
    if not proof.max_error <= bound:  # a NaN is not
        raise UserError(
            f"{format_name}: in {runtime} the action differs by up to {proof.max_error:.2g} "
            f"where {bound:.2g} is allowed; nothing written"
        )
    return proof
