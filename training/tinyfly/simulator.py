"""The reinforcement-learning step: dynamics, sensing, observation, reward, termination, masked reset.

    simulator = Simulator(Airframe.load("crazyflie"), n=2048, rng=np.random.default_rng(0))
    observation = simulator.observe()                                  # (inputs, n)
    reward, terminated, truncated = simulator.step(act(observation))   # (n,) each
    simulator.reset(terminated | truncated)

One simulator works on as many columns as stay in a processor's cache; `fleet` makes several for more. A step
allocates nothing that grows with n: start states, disturbances and noise come from banks drawn ahead of time,
because drawing a normal number costs as much as ten of the step's operations on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import add, multiply, subtract
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract, paper_contract
from tinyfly.disturbance import Latency, Noise, NoiseBank, Wind
from tinyfly.dynamics import Dynamics, chunks
from tinyfly.observation import Observer
from tinyfly.start import Start
from tinyfly.state import POSITION, REFERENCE_POSITION, ROWS, VELOCITY

Array = NDArray[np.float32]

_STARTS = 4096  # drawn at a time


@dataclass(frozen=True, slots=True)
class Reward:
    """The paper's: constant - scale * (weights . (|p|^2, 1 - q_w^2, |v|^2, |a - a_hover|^2)).

    p is relative to the reference. 0 on a terminating step, which is one with any |p_i| > limit_m.
    """

    constant: float = 2.0
    scale: float = 0.5
    position: float = 5.0
    attitude: float = 5.0
    velocity: float = 0.01
    action: float = 0.01
    limit_m: float = 0.6


class Simulator:
    """n vehicles; see the module's example. ``state`` (17, n) and ``push`` (6, n) are the truth."""

    def __init__(
        self,
        airframe: Airframe,
        n: int,
        rng: np.random.Generator,
        contract: Contract | None = None,
        reward: Reward | None = None,
        start: Start | None = None,
        wind: Wind | None = None,
        noise: Noise | None = None,
        latency_steps: tuple[float, float] = (0.0, 0.0),
        episode_steps: int = 500,
    ) -> None:
        self.airframe, self.n, self.episode_steps = airframe, n, episode_steps
        self.contract = contract or paper_contract(hover_action=airframe.hover_action)
        self._rng, self._reward = rng, reward or Reward()
        self._start, self._wind = start or Start(), wind or Wind()
        dt_s = 1 / self.contract.rate_hz
        self._dynamics = Dynamics(airframe, n, dt_s)
        self._observer = Observer(self.contract, n)
        self._noise = NoiseBank(noise or Noise(), n, rng)
        self._latency = Latency(rng.uniform(*latency_steps, n) if any(latency_steps) else 0.0, n)
        self._dt_us, self._time_us = round(1e6 * dt_s), 0
        self.state, self.push = np.empty((ROWS, n), np.float32), np.empty((6, n), np.float32)
        self.reference = np.zeros((9 + 3 * len(self.contract.preview_s), 1), np.float32)
        self.age = np.zeros(n, np.int32)  # steps since the start of the episode
        self._drawn = self._draw()
        self._used = 0
        self._a, self._b = np.empty((4, n), np.float32), np.empty((4, n), np.float32)
        self._rewards, self._terminated = np.empty(n, np.float32), np.empty(n, bool)
        self._truncated = np.empty(n, bool)
        self.reset()

    def observe(self) -> Array:
        """(inputs, n), a view that is overwritten by the next step."""
        return self._observer.observe(self._time_us, self._noise.sense(self.state), self.reference)

    def step(self, action: Array) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Actions (4, n) in [-1, 1] -> reward, terminated, truncated: (n,) each, overwritten by the next."""
        command = self._a
        self._observer.record(action)
        add(action, 1, out=command)
        multiply(command, 0.5, out=command)
        self._dynamics.step(self.state, self._latency.delay(command), self.push)
        self._time_us += self._dt_us
        self.age += 1
        self._judge(action)
        np.greater_equal(self.age, self.episode_steps, out=self._truncated)
        return self._rewards, self._terminated, self._truncated

    def reset(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Start new episodes: of the vehicles in the mask (n,), or of all."""
        columns = np.arange(self.n) if mask is None else np.flatnonzero(mask)
        if not columns.size:
            return
        states, pushes = self._take(columns.size)
        self.state[:, columns], self.push[:, columns] = states, pushes
        self.state[POSITION, columns] += self.reference[REFERENCE_POSITION]
        self.age[columns] = 0
        self._observer.reset(columns)
        self._latency.reset(columns, self._start.rotor_speed)

    def _judge(self, action: Array) -> None:
        r, a, b, out = self._reward, self._a, self._b, self._rewards
        subtract(self.state[POSITION], self.reference[REFERENCE_POSITION], out=a[:3])
        np.abs(a[:3], out=b[:3])
        np.maximum(b[0], b[1], out=b[0])
        np.maximum(b[0], b[2], out=b[0])
        np.less_equal(b[0], np.float32(r.limit_m), out=self._terminated)
        np.logical_not(self._terminated, out=self._terminated)  # in this order, a NaN terminates
        multiply(a[:3], a[:3], out=a[:3])
        self._add_scaled_sum(a[:3], r.position, out, first=True)
        multiply(self.state[VELOCITY], self.state[VELOCITY], out=a[:3])
        self._add_scaled_sum(a[:3], r.velocity, out)
        subtract(action, np.float32(self.contract.hover_action), out=a)
        multiply(a, a, out=a)
        add(a[0], a[3], out=a[0])
        self._add_scaled_sum(a[:3], r.action, out)
        multiply(self.state[3], self.state[3], out=a[0])
        multiply(a[0], np.float32(-r.attitude), out=a[0])
        add(out, a[0], out=out)
        multiply(out, np.float32(-r.scale), out=out)
        add(out, np.float32(r.constant - r.scale * r.attitude), out=out)
        np.copyto(out, 0, where=self._terminated)

    def _add_scaled_sum(self, rows: Array, weight: float, out: Array, first: bool = False) -> None:
        """out (+)= weight * sum of three rows; overwrites them."""
        add(rows[0], rows[1], out=rows[0])
        add(rows[0], rows[2], out=rows[0])
        if first:
            multiply(rows[0], np.float32(weight), out=out)
        else:
            multiply(rows[0], np.float32(weight), out=rows[0])
            add(out, rows[0], out=out)

    def _draw(self) -> tuple[Array, Array]:
        n = max(_STARTS, self.n)
        return self._start.draw(self._rng, n), self._wind.steady(self._rng, self.airframe, n)

    def _take(self, k: int) -> tuple[Array, Array]:
        """k start states and disturbances that were never used before."""
        if self._used + k > self._drawn[0].shape[1]:
            self._drawn, self._used = self._draw(), 0
        self._used += k
        taken = slice(self._used - k, self._used)
        return self._drawn[0][:, taken], self._drawn[1][:, taken]


def fleet(airframe: Airframe, n: int, rng: np.random.Generator, **settings) -> list[Simulator]:
    """Simulators for n vehicles in all, each small enough for the cache; settings as `Simulator`'s."""
    return [Simulator(airframe, c.stop - c.start, rng, **settings) for c in chunks(n)]
