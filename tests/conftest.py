"""Fixtures shared by the unit tests."""

from __future__ import annotations

import pytest
from hypothesis import settings
from policies import random_policy

from tinyfly.contract import paper_contract
from tinyfly.policy import Policy

settings.register_profile("tinyfly", deadline=None)  # a busy machine is no failure
settings.load_profile("tinyfly")


@pytest.fixture(scope="session")
def policy() -> Policy:
    """A small random policy on the paper's contract."""
    return random_policy(paper_contract())
