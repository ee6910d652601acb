"""What `simulator.py` races with: simulators of others that are installed, with as many vehicles."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np


def others(n: int) -> dict[str, Callable[[], object]]:
    """Those that import here: l2f (C++), crazyflow (JAX), gym-pybullet-drones (Bullet); a call is n steps."""
    found: dict[str, Callable[[], object]] = {}
    for add in (_l2f, _crazyflow, _pybullet):
        try:
            found |= add(n)
        except ImportError:
            continue
    return found


def _l2f(n: int) -> dict[str, Callable[[], object]]:
    """Its Crazyflie from random states, at hover's throttle; the dynamics alone, and all of its RL step.

    Each step begins where the last one ended. What the Python call brings is in it: noise of size 0 is drawn,
    the action history is kept, and the time step comes back as a list of n numbers.
    """
    import l2f

    size = min(n, max(l2f.vector_selector))
    vector, device = l2f.vector_selector[size], l2f.Device()
    rng, environment, parameters = vector.VectorRng(), vector.VectorEnvironment(), vector.VectorParameters()
    vector.initialize_rng(device, rng, 0)
    vector.initialize_environment(device, environment)
    vector.initial_parameters(device, environment, parameters)
    known = json.loads(l2f.parameters_to_json(device, environment.environments[0], parameters.parameters[0]))
    hover = 2 * known["dynamics"]["hovering_throttle_relative"] - 1
    action = np.full((size, 4), hover, np.float32)
    observation = np.zeros((size, environment.OBSERVATION_DIM), np.float32)
    reward, done = np.zeros(size, np.float32), np.zeros(size, bool)

    def started() -> list[Any]:
        """Pairs of states, now and next, of n vehicles in all."""
        pairs = [[vector.VectorState(), vector.VectorState()] for _ in range(n // size)]
        for now, following in pairs:
            vector.sample_initial_state(device, environment, parameters, now, rng)
            following.assign(now)
        return pairs

    moving, learning = started(), started()

    def run() -> None:
        for pair in moving:
            vector.step(device, environment, parameters, pair[0], action, pair[1], rng)
            pair.reverse()

    def run_full() -> None:
        for pair in learning:
            now, following = pair
            vector.observe(device, environment, parameters, now, observation, rng)
            vector.step(device, environment, parameters, now, action, following, rng)
            vector.reward(device, environment, parameters, now, action, following, reward, rng)
            vector.terminated(device, environment, parameters, following, done, rng)
            vector.sample_initial_state_if_truncated(device, environment, parameters, following, done, rng)
            pair.reverse()

    return {"l2f": run, "l2f full step": run_full}


def _crazyflow(n: int) -> dict[str, Callable[[], object]]:
    """Its identified model, Euler at 100 Hz behind its attitude controller, by JAX; one step a call."""
    import jax
    from crazyflow.sim import Sim

    sim = Sim(n_worlds=n, freq=100)

    def run() -> None:
        sim.step(1)
        jax.block_until_ready(sim.data)

    return {"crazyflow": run}


def _pybullet(n: int) -> dict[str, Callable[[], object]]:
    from gym_pybullet_drones.envs.HoverAviary import HoverAviary

    if n > 256:  # one vehicle per physics server: its rate does not depend on n
        return {}
    with contextlib.redirect_stdout(None):  # it prints the vehicle's constants
        env = HoverAviary(initial_xyzs=np.array([[0.0, 0.0, 1.0]]), ctrl_freq=120, pyb_freq=120)
    env.reset()
    action = np.zeros((1, 4), np.float32)  # hover

    def run() -> None:
        for _ in range(n):
            env.step(action)

    return {"gym-pybullet-drones": run}
