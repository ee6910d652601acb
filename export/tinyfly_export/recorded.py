"""Observations recorded in flight: what integer formats choose their scales on, and are judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe, names
from tinyfly.evaluate import fly_scenario
from tinyfly.policy import Policy

Array = NDArray[np.float32]
LOST = 50.0  # an input beyond it is of a vehicle that is lost: no scale is chosen for that
SCENARIOS = ("hover", "figure-eight 5.5 s", "thrown")


class Recorder:
    """A controller that keeps what its policy observes."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.contract = policy, policy.contract
        self.observations: list[Array] = []

    def act(self, observation: Array) -> Array:
        self.observations.append(observation.copy())
        return self.policy.act(observation)


def typical(policy: Policy) -> Array:
    """(inputs, 4096): of the policy's own airframe, or of a Crazyflie where that is not a known one."""
    known = policy.airframe.get("name")
    return record(policy, Airframe.load(known if known in names() else "crazyflie"))


def record(policy: Policy, airframe: Airframe, vectors: int = 4096, seed: int = 1) -> Array:
    """(inputs, vectors): a sample of noisy, disturbed flights with 0 and 20 ms of latency."""
    recorder = Recorder(policy)
    for name in SCENARIOS:
        for latency_ms in (0, 20):
            fly_scenario(recorder, airframe, name, episodes=8, latency_ms=latency_ms, seed=seed)
    seen = np.concatenate(recorder.observations, axis=1)
    seen = seen[:, (np.abs(seen) <= LOST).all(axis=0)]  # a NaN is not
    chosen = np.random.default_rng(seed).choice(seen.shape[1], min(vectors, seen.shape[1]), replace=False)
    return np.ascontiguousarray(seen[:, chosen])
