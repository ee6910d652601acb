"""Rollouts and policies that have not been trained, for tests."""

import numpy as np

from tinyfly import columns
from tinyfly.airframe import Airframe
from tinyfly.policy import Policy
from tinyfly.rollout import Rollout
from tinyfly.weights import initial_weights

CRAZYFLIE = Airframe.load("crazyflie")


def rollout_of(task, n=16, steps=20, seed=0):
    """A rollout, and weights (in modes) that have not been trained."""
    rollout = Rollout(task, n, steps, np.random.default_rng(seed))
    rng, scale = np.random.default_rng(seed), columns.input_scale(task.contract)
    symmetry = rollout.symmetry
    whole = initial_weights(rng, symmetry.history, scale, task.recipe.width, 0.3, symmetry.order**0.5)
    return rollout, symmetry.modes(whole)


def policy_of(task, weights):
    return Policy.create(task.contract, columns.layers(task.contract, weights), CRAZYFLIE.to_dict(), {})
