"""Random faults: the specification holds in every flight."""

import pytest

from tinyfly_hil import campaign
from tinyfly_hil.faults import show


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.thorough) for s in range(1, 12))])
def test_the_specification_holds_under_random_faults(target, seed):
    sequence = campaign.draw(seed)
    assert campaign.attempt(target, sequence, seed).broken == [], show(sequence)
