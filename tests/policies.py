"""Small random policies for the unit tests: no test here needs a trained one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract
from tinyfly.mirror import Mirror, mirrors
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


def symmetric_policy(contract: Contract, widths: tuple[int, ...] = (16, 16), seed: int = 0) -> Policy:
    """The same with both of a Crazyflie's mirrors: unit 4 g and motor 0 speak for their sisters."""
    layers = random_policy(contract, widths, seed).layers
    for m in mirrors(Airframe.load("crazyflie").layout):
        for i, layer in enumerate(layers):
            outputs, inputs = layer.weight.shape
            image = m.motors[:1] if i == len(layers) - 1 else np.arange(0, outputs, 4) ^ m.sisters
            first = slice(0, outputs, 4)
            seen, sign = mirrored_inputs(contract, m) if i == 0 else (np.arange(inputs) ^ m.sisters, 1)
            layer.weight[image] = layer.weight[first][:, seen] * sign
            layer.bias[image] = layer.bias[first]
    return Policy.create(contract, layers, {"name": "crazyflie"}, {"seed": seed})


def any_policy(contract: Contract, widths: tuple[int, ...], mirrors: bool, seed: int = 0) -> Policy:
    """A random policy, with mirrors (and then widths of whole fours) or without."""
    if not mirrors:
        return random_policy(contract, widths, seed)
    return symmetric_policy(contract, tuple(-(-w // 4) * 4 for w in widths), seed)


# 1 to 4 layers, 1 to 256 wide.
WIDTHS = st.lists(st.integers(1, 256), max_size=3).map(tuple)


def mirrored_inputs(contract: Contract, m: Mirror) -> tuple[np.ndarray, np.ndarray]:
    """(inputs,) each: where a mirror finds every network input, and with which sign."""
    index, signs = np.arange(contract.size), np.ones(contract.size, np.float32)
    index[: 4 * contract.history_length].reshape(-1, 4)[:] = index[: 4 * contract.history_length].reshape(
        -1, 4
    )[:, m.motors]
    for channel in contract.channels:
        signs[contract.slices()[channel.name]] = m.signs(channel)
    return index, signs
