"""Does the chip compute the policy? A failure here: compiler, kernel, exported weights, float unit."""

import numpy as np
import pytest

from tinyfly_hil.target import Refused

# Against BLAS and libm, which promise no bits; integers are another network (tinyfly_export.integer_c).
TOLERANCE = {"float32": 1e-5, "int16": 0.05, "int8": 0.2}


def infer(target, observations):
    """(inputs, n) -> (4, n) on the chip, one at a time."""
    return np.stack([target.infer(x).action for x in observations.T], axis=1)


def bits(x):
    return np.ascontiguousarray(x, np.float32).view(np.uint32)


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.thorough)])
def test_golden_vectors_are_bit_exact(target, policy, kernel_of, every):
    x = policy.golden_observation[:, ::every]
    assert (bits(infer(target, x)) == bits(kernel_of(target).act(x))).all()


def test_random_observations_are_bit_exact_and_close_to_numpy(
    target, policy, kernel_of, observations, figure
):
    rng = np.random.default_rng(observations)
    x = rng.standard_normal((policy.contract.size, observations)) * rng.uniform(0.01, 3, observations)
    x = x.astype(np.float32)
    found = infer(target, x)
    kernel = kernel_of(target)
    assert (bits(found) == bits(kernel.act(x))).all()
    error = float(np.abs(found - policy.act(x)).max())
    figure("numpy_difference_max", error)
    assert error <= TOLERANCE[kernel.name]


def test_an_observation_of_the_wrong_length_is_refused(target, policy):
    with pytest.raises(Refused) as refusal:
        target.infer(np.zeros(policy.contract.size - 1))
    assert refusal.value.reason == "bad_request"
