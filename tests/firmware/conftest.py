"""Fixtures of the core's tests: the library is built once per session and policy."""

from __future__ import annotations

import ctypes

import pytest
from core import App, Controller
from native import FULL, HERE, build, core_sources
from policies import random_policy

from tinyfly.policy import Policy


@pytest.fixture(scope="session")
def full_policy() -> Policy:
    """A random policy whose contract has every channel there is."""
    return random_policy(FULL)


@pytest.fixture(scope="session")
def library(full_policy: Policy) -> ctypes.CDLL:
    """The core with that policy."""
    return build(full_policy)


@pytest.fixture(scope="session")
def evil_library(full_policy: Policy) -> ctypes.CDLL:
    """The core with a network that answers whatever ``bridge_evil`` holds."""
    network = ("tf_network.c", "tf_modal.c", "tf_kernel.c", "tf_tanh.c", "tf_gru.c")
    kept = [path for path in core_sources() if path.name not in network]
    return build(full_policy, sources=[*kept, HERE / "bridge.c"], flags=["-DEVIL_NETWORK"])


@pytest.fixture
def controller(library: ctypes.CDLL) -> Controller:
    return Controller(library)


@pytest.fixture
def app(library: ctypes.CDLL) -> App:
    return App(library)
