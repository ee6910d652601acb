"""Fly a controller in a plant: many vehicles at once, with noise, wind and latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract
from tinyfly.disturbance import Latency, Noise, Push, Sensor, Wind
from tinyfly.observation import Observer
from tinyfly.plants import Abreast
from tinyfly.state import POSITION, QUATERNION, REFERENCE_POSITION, ROTOR_SPEED

Array = NDArray[Any]


class Controller(Protocol):
    """A policy, or anything else that maps a contract's observations to actions."""

    @property
    def contract(self) -> Contract: ...

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """(inputs, n) -> (4, n) in [-1, 1]."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A controller with a state of its own, integrals for example."""

    def reset(self, n: int) -> None:
        """Forget: n vehicles begin a flight."""
        ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a flight meets."""

    latency_s: float | Array = 0.0  # from the state's sampling to the rotors' command; (n,): of each vehicle
    wind: Wind = field(default_factory=Wind)
    noise: Noise = field(default_factory=Noise)
    plant: str = "rk4"


DEFAULT = Conditions()


@dataclass(frozen=True, slots=True)
class Flight:
    """What happened: one row per control step (after it), one column per vehicle."""

    dt_s: float
    error_m: NDArray[np.float32]  # distance from the reference
    upright: NDArray[np.float32]  # cosine of the tilt
    states: NDArray[np.float32] | None  # (steps, 17, n) when asked for

    def between(self, start_s: float, end_s: float) -> slice:
        """The rows of a span of time."""
        return slice(round(start_s / self.dt_s), round(end_s / self.dt_s))


def fly(
    controller: Controller,
    airframe: Airframe | Sequence[Airframe],
    start: Array,
    reference: Array,
    rng: np.random.Generator,
    conditions: Conditions = DEFAULT,
    mass_scale: Array | None = None,
    keep_states: bool = False,
) -> Flight:
    """Fly n vehicles from ``start`` along ``reference``.

    Args:
        airframe: of all vehicles; or several that weigh the same, each of an equal run of the columns.
        start: (17, n) states, rows as in `state`; not changed.
        reference: (steps + 1, 9 + 3 k) or (steps + 1, 9 + 3 k, n), as `trajectory.sample` gives it.
        mass_scale: (1, n) mass over the airframe's; None for 1.
    """
    n, dt = start.shape[1], 1 / controller.contract.rate_hz
    steps, dt_us = len(reference) - 1, round(1e6 * dt)
    if reference.ndim == 2:
        reference = reference[:, :, None]
    airframes = [airframe] if isinstance(airframe, Airframe) else airframe
    plant = Abreast(conditions.plant, airframes, n, dt)
    push = Push(conditions.wind, airframes[0], n, dt, rng)
    if isinstance(controller, Remembers):
        controller.reset(n)
    sensor, observer = Sensor(conditions.noise, n, rng), Observer(controller.contract, n)
    latency = Latency(conditions.latency_s / dt, n, first=float(start[ROTOR_SPEED].mean()))
    state = start.astype(np.float32)
    light = None if mass_scale is None else mass_scale.astype(np.float32)
    flight = Flight(
        dt,
        np.empty((steps, n), np.float32),
        np.empty((steps, n), np.float32),
        np.empty((steps, *state.shape), np.float32) if keep_states else None,
    )
    with np.errstate(over="ignore", invalid="ignore"):  # the lost are flown on, and counted as lost
        for k in range(steps):
            observation = observer.observe(k * dt_us, sensor.sense(state), reference[k])
            action = np.clip(controller.act(observation), -1, 1)
            observer.record(action)
            plant.step(state, latency.delay((action + 1) / 2), push.now, light)
            push.advance()
            error = state[POSITION] - reference[k + 1, REFERENCE_POSITION]
            np.sqrt(np.einsum("in,in->n", error, error), out=flight.error_m[k])
            tilted = state[QUATERNION][1:3]
            np.subtract(1, 2 * np.einsum("in,in->n", tilted, tilted), out=flight.upright[k])
            if flight.states is not None:
                flight.states[k] = state
    return flight
