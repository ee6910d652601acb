"""Does the chip compute the policy? A failure here: compiler, kernel, exported weights, float unit."""

import numpy as np
import pytest

from tinyfly_hil.target import Refused

TOLERANCE = 1e-5  # against BLAS and libm, which promise no bits


def infer(target, observations):
    """(inputs, n) -> (4, n) on the chip, one at a time."""
    return np.stack([target.infer(x).action for x in observations.T], axis=1)


def bits(x):
    return np.ascontiguousarray(x, np.float32).view(np.uint32)


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.thorough)])
def test_golden_vectors_are_bit_exact(target, policy, every):
    found = infer(target, policy.golden_observation[:, ::every])
    assert (bits(found) == bits(policy.golden_action[:, ::every])).all()


def test_random_observations_are_bit_exact_and_close_to_numpy(target, policy, observations, figure):
    rng = np.random.default_rng(observations)
    x = rng.standard_normal((policy.contract.size, observations)) * rng.uniform(0.01, 3, observations)
    x = x.astype(np.float32)
    found = infer(target, x)
    assert (bits(found) == bits(policy.act_exact(x))).all()
    error = float(np.abs(found - policy.act(x)).max())
    figure("numpy_difference_max", error)
    assert error <= TOLERANCE


def test_an_observation_of_the_wrong_length_is_refused(target, policy):
    with pytest.raises(Refused) as refusal:
        target.infer(np.zeros(policy.contract.size - 1))
    assert refusal.value.reason == "bad_request"
