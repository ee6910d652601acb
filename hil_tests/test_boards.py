"""The other processors: the same policy, the bits of their arithmetic, a flight.

Builds each; --port plays no part.
"""

import numpy as np
import pytest

from tinyfly.evaluate import airframe_of
from tinyfly_hil import emulator
from tinyfly_hil.build import board, build
from tinyfly_hil.flight import Chip, fly
from tinyfly_hil.link import Link
from tinyfly_hil.target import Target
from tinyfly_hil.world import Scenario


@pytest.fixture(params=["mps2_an500", "mps2_an385", "microbit"])
def other(request, policy_path, policy):
    """A Cortex-M7, an M3, and an M0 with its integer kernel, booted."""
    built = build(policy_path, request.param)
    with emulator.qemu(built.elf, board(request.param)["emulator"]["machine"]) as running:
        link = Link(running.url, ours=True)
        link.wait(lambda frame: frame.name == "boot", "the boot frame", emulator.START_S)
        yield Target(link, None, request.param, airframe_of(policy), built)
        link.close()


@pytest.mark.thorough
def test_every_processor_computes_the_bits_of_its_kernel_and_flies(other, policy, kernel_of, figure):
    assert other.identify().policy_crc == policy.crc32()
    assert other.self_test().mismatches == 0
    observation = np.random.default_rng(0).standard_normal((policy.contract.size, 3), dtype=np.float32)
    expected = kernel_of(other).act(observation)
    for k in range(3):
        assert np.array_equal(np.asarray(other.infer(observation[:, k]).action, np.float32), expected[:, k])
    flight = fly(Scenario("hover", 2.5, start=(0.1, -0.1, 0.1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)), Chip(other))
    figure(f"hover_error_m_{other.port}", float(flight.error_m[-50:].mean()))
    assert flight.error_m[-50:].mean() < 0.1
