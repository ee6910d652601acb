"""The observation on the chip is tinyfly.observation's, bit for bit."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from core import floats, moved
from hypothesis import given, settings
from hypothesis import strategies as st
from native import FULL, SLOW, build
from policies import random_policy

from tinyfly.contract import Channel, Contract, paper_contract
from tinyfly.observation import Observer

BARE = Contract(channels=(Channel("rotation", 9), Channel("position_error", 3)), history_length=0)
CONTRACTS = {"full": FULL, "paper": paper_contract(), "bare": BARE, "slow": SLOW}


@pytest.fixture(scope="session", params=CONTRACTS)
def assembled(request):
    contract = CONTRACTS[request.param]
    return contract, build(random_policy(contract))


def check_bits(assembled, times_us, seed: int) -> None:
    contract, library = assembled
    rng = np.random.default_rng(seed)
    observer = Observer(contract, 1)
    chip = ctypes.create_string_buffer(library.bridge_observation_size())
    library.tf_observation_init(chip)
    width = 9 + 3 * max(1, len(contract.preview_s))
    for time_us in times_us:
        sensed = (rng.standard_normal(13) * rng.choice([0.01, 1, 10])).astype(np.float32)
        reference = rng.standard_normal(width).astype(np.float32)
        action = rng.uniform(-1, 1, 4).astype(np.float32)
        library.tf_observation_step(chip, ctypes.c_uint32(time_us), floats(sensed), floats(reference))
        expected = observer.observe(time_us, sensed[:, None], reference[:, None])[:, 0]
        got = np.frombuffer(chip.raw, np.float32, contract.size)
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
        observer.record(action[:, None])
        library.tf_observation_record(chip, floats(action))


@pytest.mark.parametrize("rate_hz", [20, 100, 125, 240, 500, 1000])  # 20: beyond any time constant
@pytest.mark.parametrize("start_us", [0, 2**32 - 300_000])
def test_bits_agree_at_any_constant_rate_and_across_the_clocks_wrap(assembled, rate_hz, start_us):
    times = [(start_us + round(k * 1e6 / rate_hz)) % 2**32 for k in range(rate_hz)]
    check_bits(assembled, times, rate_hz)


@given(st.lists(st.integers(0, 15_000) | st.integers(0, 2**31), max_size=60), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_bits_agree_whatever_the_clock_does(assembled, gaps_us, seed):
    times, now = [], seed
    for gap in gaps_us:
        now = (now + gap) % 2**32
        times.append(now)
    check_bits(assembled, times, seed)


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_the_integral_winds_up_to_its_limit_and_no_further(library, rate_hz):
    observer = Observer(FULL, 1)
    chip = ctypes.create_string_buffer(library.bridge_observation_size())
    library.tf_observation_init(chip)
    sensed, reference = np.float32(moved(position=[1, -1, 0.01])), np.zeros(15, np.float32)
    for k in range(4 * rate_hz):
        time_us = round(k * 1e6 / rate_hz)
        library.tf_observation_step(chip, ctypes.c_uint32(time_us), floats(sensed), floats(reference))
        expected = observer.observe(time_us, sensed[:, None], reference[:, None])[:, 0]
    got = np.frombuffer(chip.raw, np.float32, FULL.size)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got[FULL.slices()["position_integral"]][:2], [1, -1])


@pytest.mark.parametrize(("ticks", "remembered"), [(3, False), (4, True)])
def test_after_an_outage_the_force_is_taken_from_the_states_or_kept_when_they_are_too_far_apart(
    library, ticks, remembered
):
    rng = np.random.default_rng(ticks)
    chip = ctypes.create_string_buffer(library.bridge_observation_size())
    library.tf_observation_init(chip)
    observer, reference, now = Observer(FULL, 1), np.zeros(15, np.float32), 5
    rows = FULL.slices()["specific_force"]

    def force(states: int) -> np.ndarray:
        nonlocal now
        for _ in range(states):
            sensed = rng.uniform(-1, 1, 13).astype(np.float32)
            library.tf_observation_step(chip, ctypes.c_uint32(now), floats(sensed), floats(reference))
            expected = observer.observe(now, sensed[:, None], reference[:, None])[rows, 0]
            got = np.frombuffer(chip.raw, np.float32, FULL.size)[rows].copy()
            np.testing.assert_array_equal(got, expected)
            now += 10_000
        return got

    before = force(20)
    now -= 10_000
    for _ in range(ticks):
        now += 30_000
        library.tf_observation_tick(chip, ctypes.c_uint32(now))
    assert np.array_equal(force(1), before) == remembered
    force(5)
