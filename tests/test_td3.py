"""The paper's own algorithm: what it saves has flown. That it learns is measured in docs/training.md."""

import pytest

from tinyfly import td3
from tinyfly.errors import UserError
from tinyfly.evaluate import HELD_OUT


def test_its_stream_is_none_that_evaluation_draws_from():
    assert td3.STREAM != HELD_OUT


def test_an_untrained_policy_is_refused():
    pytest.importorskip("torch")
    with pytest.raises(UserError, match="nothing was saved: of the acceptance flights 0 ms late"):
        td3.train(td3.Settings(steps=200))
