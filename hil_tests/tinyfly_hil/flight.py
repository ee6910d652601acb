"""Closed-loop flights: the simulator around a pilot. The pilot is a chip, or its twin in NumPy.

The twin is the pure simulation. It assembles the observation with ``tinyfly.observation`` and runs the
network with ``Policy.act_exact``, so a flight of the chip has a prediction: bit for bit where the reference
is plain numbers, and to rounding where the chip computes sines of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.evaluate import airframe_of
from tinyfly.observation import Observer
from tinyfly.policy import Policy
from tinyfly.state import POSITION
from tinyfly.trajectory import sample
from tinyfly_hil.faults import Injector
from tinyfly_hil.protocol import name_of
from tinyfly_hil.setpoint import path
from tinyfly_hil.target import Target, TargetError, step_values
from tinyfly_hil.watch import Watch
from tinyfly_hil.world import Scenario, World

Array = NDArray[Any]

HOLD_US = 20_000  # between states while the aircraft is held before take-off
SETTLE_US = 520_000  # the chip wants half a second of good states before it arms
STREAMED = ("reference", "velocity")  # set-points that grow stale when they are not renewed
LAST_S = 2.0  # hover error: the mean over the last two seconds


class Pilot(Protocol):
    """Whoever flies."""

    @property
    def airframe(self) -> Airframe:
        """What it was made to fly."""
        ...

    def take_off(self, scenario: Scenario, sensed: Array) -> Array:
        """Get ready while the aircraft is held at its start; the first motor commands (4,) of the flight."""
        ...

    def step(self, sensed: Array) -> Array:
        """The next state estimate (13,), one period later -> motor commands (4,)."""
        ...


@dataclass(slots=True)
class Flight:
    """A flight as flown: one entry per control step."""

    scenario: Scenario
    truth: list[Array] = field(default_factory=list)  # (17,)
    sensed: list[Array] = field(default_factory=list)  # (13,)
    motors: list[Array] = field(default_factory=list)  # (4,)
    reference: Array = field(default_factory=lambda: np.zeros((0, 3)))  # (steps, 3) m

    @property
    def error_m(self) -> Array:
        """(steps,) distance from the reference."""
        position = np.array(self.truth)[:, POSITION]
        return np.linalg.norm(position - self.reference[: len(position)], axis=1)

    def differs(self, predicted: list[Array], tolerance: float = 0.0) -> str:
        """Where the motor commands first leave the predicted ones: step, expected, got. Nothing: nowhere."""
        got, expected = np.array(self.motors), np.array(predicted)
        if len(got) != len(expected):
            return f"{len(got)} steps, expected {len(expected)}"
        bad = ~(np.abs(got - expected) <= tolerance).all(axis=1)  # a NaN is bad, too
        k = int(bad.argmax())
        at = f"step {k} ({k / self.scenario.rate_hz:g} s) of {self.scenario.name}"
        return f"{at}: expected motors {expected[k]}, got {got[k]}" if bad.any() else ""

    @property
    def hover_error_m(self) -> float:
        """Mean distance over the last two seconds."""
        return float(self.error_m[-round(LAST_S * self.scenario.rate_hz) :].mean())

    @property
    def rmse_m(self) -> float:
        """Root mean square distance over the whole flight."""
        return float(np.sqrt((self.error_m**2).mean()))


def fly(scenario: Scenario, pilot: Pilot, note: Callable[[int, World], None] | None = None) -> Flight:
    """Fly a scenario to its end. Lock-step: simulated time waits for the pilot. ``note`` sees every step."""
    world = World(scenario, pilot.airframe)
    flight = Flight(scenario)
    times = np.arange(scenario.steps) / scenario.rate_hz
    flight.reference = path(scenario.kind, scenario.values, world.position).at(times)[0].T
    for k in range(scenario.steps):
        sensed = world.sense()
        motors = pilot.step(sensed) if k else pilot.take_off(scenario, sensed)
        flight.truth.append(world.state[:, 0].copy())
        flight.sensed.append(sensed)
        flight.motors.append(motors)
        if note:
            note(k, world)
        world.advance(motors)
    return flight


class Chip:
    """A target as pilot."""

    def __init__(self, target: Target):
        self.target = target
        self.airframe = target.airframe
        self.controls: list[Any] = []  # the chip's answers, one per step
        self.time_us = 0

    def take_off(self, scenario: Scenario, sensed: Array) -> Array:
        """Clock, half a second of states, set-point, arm, warm-up: until the chip says it flies."""
        self._period_us = scenario.period_us
        control = lift(self.target, scenario, sensed)
        self.time_us = control.time_us
        return self._took(control)

    def step(self, sensed: Array) -> Array:
        self.time_us += self._period_us
        return self._took(self.target.step(self.time_us, sensed))

    def _took(self, control: Any) -> Array:
        self.controls.append(control)
        return control.motors


class Beside:
    """A pilot that is obeyed, and another that is told the same: ``commands`` are what it would have done.

    As long as they are the pilot's, the other's flight is this very flight, and need not be flown.
    """

    def __init__(self, pilot: Pilot, other: Pilot):
        self.pilot, self.other = pilot, other
        self.airframe = pilot.airframe
        self.commands: list[Array] = []

    def take_off(self, scenario: Scenario, sensed: Array) -> Array:
        self.commands.append(self.other.take_off(scenario, sensed))
        return self.pilot.take_off(scenario, sensed)

    def step(self, sensed: Array) -> Array:
        self.commands.append(self.other.step(sensed))
        return self.pilot.step(sensed)


class FaultyChip(Chip):
    """A target behind a faulty line, with faulty sensors and a faulty supply; watched at every step.

    The clock stays sound: each period ends with a tick, whose answer is what the motors do, whatever the line
    has done to the states. ``broken`` collects what must not happen.
    """

    def __init__(self, target: Target, injector: Injector):
        super().__init__(target)
        self.injector = injector
        self.watch = Watch(target.identity.rate_hz)
        self.broken: list[str] = []

    def take_off(self, scenario: Scenario, sensed: Array) -> Array:
        motors = super().take_off(scenario, sensed)
        self.watch.took_off(self.time_us)
        self._start_us = self.time_us
        return motors

    def step(self, sensed: Array) -> Array:
        self.time_us += self._period_us
        t_s = (self.time_us - self._start_us) * 1e-6
        told = self.injector.sense(t_s, sensed)
        wire = self.injector.carry(t_s, told, self._pack)
        failure = self.injector.power(t_s)
        if failure in ("power", "brown_out"):
            self._lose_power(wire if failure == "brown_out" else b"")
        else:
            self.target.link.write(wire + b"\0")  # a frame cut short must not swallow what follows
            self.watch.sent(wire + b"\0")
        if failure == "reset":
            self._ask_for_a_reset()
        control = self.target.tick(self.time_us)
        self.broken += self.watch.check(control, self.target.link.sequence)
        return self._took(control)

    def _lose_power(self, under_way: bytes) -> None:
        if under_way:
            self.target.link.write(self.injector.cut(under_way))
        self.target.power_cycle()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.injector.forget()
        self.target.lock_step()
        self.watch.restarted()

    def _ask_for_a_reset(self) -> None:
        """With motors on it must be refused; with motors off the chip restarts."""
        restarted = self.target.ask_for_a_reset()
        if restarted == self.watch.motors_on:
            self.broken.append(
                f"at {self.time_us} us: reset {'taken' if restarted else 'refused'} in {self.watch.state}"
            )
        if restarted:
            self._begin_anew()

    def _pack(self, told: Array, age_us: int) -> bytes:
        return self.target.link.pack("step", **step_values(self.time_us - age_us, told))


def lift(target: Target, scenario: Scenario, sensed: Array, start_us: int = 0) -> Any:
    """Bring a disarmed chip into the air at ``sensed``; its first answer in state flying."""
    target.lock_step()
    now = start_us
    while now - start_us <= SETTLE_US:
        target.step(now, sensed)
        now += HOLD_US
    target.setpoint(scenario.kind, scenario.values)
    target.arm()
    for _ in range(100):
        if scenario.kind in STREAMED:
            target.setpoint(scenario.kind, scenario.values)
        control = target.step(now, sensed)
        if name_of("state", control.state) == "flying":
            return control
        now += HOLD_US
    state, reason = name_of("state", control.state), name_of("reason", control.reason)
    raise TargetError(f"the chip does not take off: state {state}, reason {reason}", target.link.transcript)


class Twin:
    """The pure simulation of the chip: same contract, same network, NumPy.

    ``act`` (inputs, n) -> (4, n) is the chip's arithmetic; float32 when None.
    """

    def __init__(self, policy: Policy, act: Callable[[Array], Array] | None = None):
        self.policy, self.airframe = policy, airframe_of(policy)
        self._act = act or policy.act_exact

    def take_off(self, scenario: Scenario, sensed: Array) -> Array:
        times = np.arange(scenario.steps) / scenario.rate_hz
        flown = path(scenario.kind, scenario.values, sensed[POSITION])
        self._reference = sample(flown, times, self.policy.contract.preview_s)
        self._observer = Observer(self.policy.contract, 1)
        self._k, self._now_us, self._period_us = -1, -scenario.period_us, scenario.period_us
        return self.step(sensed)

    def step(self, sensed: Array, dt_us: int | None = None, reference: Array | None = None) -> Array:
        """``dt_us`` after the step before, and with the scenario's ``reference`` (9 + 3 k,), if not given."""
        self._k += 1
        self._now_us += self._period_us if dt_us is None else dt_us
        if reference is None:
            reference = self._reference[min(self._k, len(self._reference) - 1)]
        observation = self._observer.observe(self._now_us, sensed[:, None], reference[:, None])
        action = self._act(observation)
        self._observer.record(action)
        return ((action[:, 0] + np.float32(1)) * np.float32(0.5)).clip(0, 1)
