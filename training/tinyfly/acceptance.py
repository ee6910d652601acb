"""What a policy has to show before it is saved: gentle throws of the airframe asked for, in the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.evaluate import Scenario, draw, judge
from tinyfly.flight import Conditions
from tinyfly.policy import Policy
from tinyfly.start import Start
from tinyfly.task import Task

# Gentle throws: the weakest airframes that may be trained survive no others, and take their time.
GENTLE = Start(angle_deg=20.0, velocity_m_s=0.3)
LATE_S = (0.0, 0.01, 0.02)
SEED = 0xACCE97  # which evaluation does not use by itself


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a policy has to show at each latency before it is saved."""

    flights: int
    duration_s: float
    survival: float  # share, at least
    error_m: float  # the median survivor's, over the last half second, at most


# An oscillation that latency feeds takes seconds to show; by then a policy with an integral holds its place.
HOVERS = Acceptance(flights=22, duration_s=2.0, survival=0.85, error_m=0.5)
HOLDS = Acceptance(flights=64, duration_s=5.0, survival=0.93, error_m=0.06)


class Diverged(Exception):
    """This run went wrong; another seed may not."""


def accept(policy: Policy, airframe: Airframe, task: Task, seed: int) -> None:
    """Throw the airframe asked for, in the truth; raises Diverged when the policy is not worth saving.

    It flies at every latency that the task trains for. The truth knows nothing of what training assumes: an
    airframe that training gets wrong is found here.
    """
    wanted = HOLDS if policy.contract.integral else HOVERS
    late_s = [s for s in LATE_S if s <= task.latency_s]
    last = (wanted.duration_s - 0.5, wanted.duration_s)
    scenario = Scenario(wanted.duration_s, {"error_m": last}, GENTLE)
    latency_s = np.repeat(late_s, wanted.flights)
    case = draw(scenario, airframe, policy.contract, len(latency_s), SEED, batch=seed)
    outcome = judge("acceptance", scenario, case.fly(policy, Conditions(latency_s=latency_s)), math.nan)
    for late in late_s:
        survived = outcome.survived[latency_s == late]
        found = f"of the acceptance flights {1e3 * late:g} ms late {survived.mean():.0%} survived"
        if survived.mean() < wanted.survival:
            raise Diverged(f"{found}, {wanted.survival:.0%} are wanted")
        error_m = np.median(outcome.errors["error_m"][latency_s == late][survived])
        if error_m > wanted.error_m:
            raise Diverged(
                f"{found}, {1e3 * error_m:.0f} mm off their place in the median, "
                f"{1e3 * wanted.error_m:.0f} at most are wanted"
            )
