"""Fixtures shared by the unit tests."""

from __future__ import annotations

import pytest
from policies import random_policy

from tinyfly.contract import paper_contract
from tinyfly.policy import Policy


@pytest.fixture(scope="session")
def policy() -> Policy:
    """A small random policy on the paper's contract."""
    return random_policy(paper_contract())
