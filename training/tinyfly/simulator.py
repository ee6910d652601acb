"""The reinforcement-learning step: dynamics, sensing, observation, reward, termination, masked reset.

    simulator = Simulator(Airframe.load("crazyflie"), n=2048, rng=np.random.default_rng(0))
    observation = simulator.observe()                                  # (inputs, n)
    reward, terminated, truncated = simulator.step(act(observation))   # (n,) each
    simulator.reset(terminated | truncated)

One simulator is fastest with about 8192 columns (`program`); `fleet` makes several for more. A step allocates
nothing that grows with n: start states, disturbances and noise come from banks drawn ahead of time, because
drawing a normal number costs as much as 40 of the step's operations on it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import add, multiply, subtract
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract, paper_contract
from tinyfly.disturbance import Latency, Noise, NoiseBank, Wind
from tinyfly.dynamics import Dynamics
from tinyfly.errors import UserError
from tinyfly.observation import Observer
from tinyfly.program import chunks
from tinyfly.start import Start
from tinyfly.state import POSITION, REFERENCE_POSITION, ROWS, VELOCITY

Array = NDArray[np.float32]

_STARTS = 4096  # drawn at a time
_ONE, _HALF = np.array(1, np.float32), np.array(0.5, np.float32)


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
    """n vehicles; see the module's example. ``state`` (17, n) and ``push`` (6, n) are the truth.

    ``dynamics``, of this airframe, width and rate, may serve several simulators that are stepped in turn.

    What an episode meets comes from banks: a steady wind of one size for all and white noise. Gusts, biases
    and winds of each vehicle's own are for flights (`flight.fly`), and refused here by a UserError.
    """

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
        dynamics: Dynamics | None = None,
    ) -> None:
        wind = wind or Wind()
        if np.any(wind.gust) or np.ndim(wind.force) or np.ndim(wind.torque_m):
            raise UserError(f"{wind}: a simulator's wind is steady and of one size for all vehicles")
        self.airframe, self.n, self.episode_steps = airframe, n, episode_steps
        self.contract = contract or paper_contract(
            hover_action=airframe.hover_action, thrust_curve=airframe.thrust_curve
        )
        self._rng, self._start, self._wind = rng, start or Start(), wind
        dt_s = 1 / self.contract.rate_hz
        self.dynamics = dynamics or Dynamics(airframe, n, dt_s)
        self._observer = Observer(self.contract, n)
        self._noise = NoiseBank(noise or Noise(), n, rng)
        self._latency = Latency(rng.uniform(*latency_steps, n) if any(latency_steps) else 0.0, n)
        self._dt_us, self._time_us = round(1e6 * dt_s), 0
        # State and push lie together, so that a reset writes both at once.
        self._world = np.empty((ROWS + 6, n), np.float32)
        self._look()
        self.reference = np.zeros((9 + 3 * len(self.contract.preview_s), 1), np.float32)
        self.age = np.zeros(n, np.int32)  # steps since the start of the episode
        self._drawn, self._used = self._draw(), 0
        r = reward or Reward()
        costs = np.repeat([r.position, r.velocity, r.action, -r.attitude], (3, 3, 4, 1))
        self._weights = (-r.scale * costs).astype(np.float32)  # of `_squares`
        self._base = np.float32(r.constant - r.scale * r.attitude)
        self._farthest = np.float32(r.limit_m) ** 2
        self._hover_action = np.float32(self.contract.hover_action)
        self._command, self._squares = np.empty((4, n), np.float32), np.empty((11, n), np.float32)
        self._rewards, self._terminated = np.empty(n, np.float32), np.empty(n, bool)
        self._truncated = np.empty(n, bool)
        self.reset()

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Of a copy: views on each other are made anew, since arrays are copied one by one."""
        self.__dict__.update(kept)
        self._look()
        self._observer = Observer(self.contract, self.n)
        for name, value in vars(kept["_observer"]).items():
            if isinstance(value, np.ndarray):
                getattr(self._observer, name)[:] = value
            else:
                setattr(self._observer, name, value)

    def __copy__(self) -> Simulator:
        """A simulator is its arrays: one that shared them would be moved by the other's steps."""
        return copy.deepcopy(self)

    def _look(self) -> None:
        self.state, self.push = self._world[:ROWS], self._world[ROWS:]

    def observe(self) -> Array:
        """(inputs, n), a view that is overwritten by the next step."""
        return self._observer.observe(self._time_us, self._noise.sense(self.state), self.reference)

    def step(self, action: Array) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Actions (4, n) in [-1, 1] -> reward, terminated, truncated: (n,) each, overwritten by the next."""
        command = self._command
        self._observer.record(action)
        add(action, _ONE, out=command)
        multiply(command, _HALF, out=command)
        self.dynamics.step(self.state, self._latency.delay(command), self.push)
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
        drawn = self._take(columns.size)
        drawn[POSITION] += self.reference[REFERENCE_POSITION]
        self._world[:, columns] = drawn
        self.age[columns] = 0
        self._observer.reset(columns)
        self._latency.reset(columns, self._start.rotor_speed)

    def _judge(self, action: Array) -> None:
        squares, reward, terminated = self._squares, self._rewards, self._terminated
        position, velocity, effort, farthest = squares[:3], squares[3:6], squares[6:10], self._rewards
        subtract(self.state[POSITION], self.reference[REFERENCE_POSITION], out=position)
        multiply(position, position, out=position)
        np.maximum(position[0], position[1], out=farthest)
        np.maximum(farthest, position[2], out=farthest)
        np.less_equal(farthest, self._farthest, out=terminated)
        np.logical_not(terminated, out=terminated)  # in this order, a NaN terminates
        multiply(self.state[VELOCITY], self.state[VELOCITY], out=velocity)
        subtract(action, self._hover_action, out=effort)
        multiply(effort, effort, out=effort)
        multiply(self.state[3], self.state[3], out=squares[10])
        np.matmul(self._weights, squares, out=reward)
        add(reward, self._base, out=reward)
        np.copyto(reward, 0, where=terminated)

    def _draw(self) -> Array:
        n = max(_STARTS, self.n)
        starts, pushes = self._start.draw(self._rng, n), self._wind.steady(self._rng, self.airframe, n)
        return np.concatenate([starts, pushes]).astype(np.float32)

    def _take(self, k: int) -> Array:
        """(17 + 6, k) start states and disturbances that were never used before."""
        if self._used + k > self._drawn.shape[1]:
            self._drawn, self._used = self._draw(), 0
        self._used += k
        return self._drawn[:, self._used - k : self._used]


def fleet(airframe: Airframe, n: int, rng: np.random.Generator, **settings) -> list[Simulator]:
    """Simulators for n vehicles in all, each small enough for the cache; settings as `Simulator`'s.

    They share the integrator's scratch, which so stays in the cache: step one at a time.
    """
    simulators: list[Simulator] = []
    for columns in chunks(n):
        width = columns.stop - columns.start
        shared = next((s.dynamics for s in simulators if s.n == width), None)
        simulators.append(Simulator(airframe, width, rng, dynamics=shared, **settings))
    return simulators
