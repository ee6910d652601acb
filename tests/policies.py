"""Small random policies for the unit tests: no test here needs a trained one."""

from __future__ import annotations

import itertools

import numpy as np

from tinyfly.contract import Contract
from tinyfly.network import Layer
from tinyfly.policy import Policy


def random_policy(contract: Contract, widths: tuple[int, ...] = (16, 16), seed: int = 0) -> Policy:
    """An untrained policy with the given hidden widths."""
    rng = np.random.default_rng(seed)
    sizes = [contract.size, *widths, 4]
    layers = tuple(
        Layer(
            (rng.standard_normal((m, n)) / np.sqrt(n)).astype(np.float32),
            (0.1 * rng.standard_normal(m)).astype(np.float32),
        )
        for n, m in itertools.pairwise(sizes)
    )
    return Policy.create(contract, layers, {"name": "crazyflie"}, {"seed": seed})
