"""The world around the chip: one simulated quadrotor, what its estimator reports, what its motors do."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.dynamics import Dynamics
from tinyfly.state import POSITION, QUATERNION, ROTOR_SPEED, ROWS, SENSED

Array = NDArray[Any]

SUBSTEP_US = 10_000  # RK4, as in training; a quick rotor gets shorter ones from Dynamics
LATENCY_US = 5000  # latencies are multiples of this: so long is a step that has one
IDLE = 0.1  # rotor speed during the chip's warm-up, and so that of a throw

# At rest in the origin, as the rows of a sensed state.
LEVEL: Array = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], np.float32)

# One standard deviation of a motion-capture-aided estimate, by row of tinyfly.state: m, 1, m/s, rad/s.
NOISE = np.repeat([0.001, 0.001, 0.002, 0.002], [3, 4, 3, 3])[:, None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One flight, fully determined: same scenario and motor commands, same flight, bit for bit."""

    name: str
    duration_s: float
    kind: str = "position"  # of set-point, with its values as in docs/protocol.md
    values: tuple[float, ...] = (0.0, 0.0, 0.0)
    start: tuple[float, ...] = tuple(float(x) for x in LEVEL)
    rotor_speed: float | None = None  # at the start, fraction of full speed; that of hover when None
    airframe: str = ""  # a name or TOML file; the pilot's own when empty
    mass_scale: float = 1.0
    force_n: tuple[float, float, float] = (0.0, 0.0, 0.0)  # world frame: wind, or a payload off to one side
    torque_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    latency_s: float = 0.0  # from the chip's answer to the rotors
    noise: float = 0.0  # times NOISE
    seed: int = 0  # of the noise
    rate_hz: int = 100

    @property
    def period_us(self) -> int:
        """Time between two states."""
        return 1_000_000 // self.rate_hz

    @property
    def steps(self) -> int:
        """Control steps of the flight."""
        return round(self.duration_s * self.rate_hz)


def thrown(seed: int, angle_deg: float = 90.0, name: str | None = None, **others: Any) -> Scenario:
    """A hover from a random throw: up to 0.2 m off, ``angle_deg`` tilted, 1 m/s, 1 rad/s, with noise."""
    rng = np.random.default_rng(seed)
    axis = rng.standard_normal(3)
    half = np.deg2rad(rng.uniform(0, angle_deg)) / 2
    attitude = [np.cos(half), *(np.sin(half) * axis / np.linalg.norm(axis))]
    where, moving, turning = rng.uniform(-0.2, 0.2, 3), rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)
    start = tuple(float(x) for x in (*where, *attitude, *moving, *turning))
    settings: dict[str, Any] = {"duration_s": 5.0, "noise": 1.0, "seed": seed, "rotor_speed": IDLE}
    settings |= others
    return Scenario(name or f"throw {seed}", start=start, **settings)


def pushed(airframe: Airframe, **push: tuple[float, float, float]) -> dict[str, Any]:
    """``force_n`` and ``torque_nm`` as on the default Crazyflie, made the same shares of this weight."""
    scale = airframe.weight_n / Airframe.load("crazyflie").weight_n
    return {name: tuple(scale * x for x in values) for name, values in push.items()}


class World:
    """A scenario, running."""

    def __init__(self, scenario: Scenario, airframe: Airframe):
        """``airframe``: the pilot's own, flown unless the scenario names another."""
        self.scenario = scenario
        if scenario.airframe:
            airframe = Airframe.load(scenario.airframe)
        longest_us = LATENCY_US if scenario.latency_s else SUBSTEP_US
        self._substeps = max(1, round(scenario.period_us / longest_us))
        dt_s = scenario.period_us * 1e-6 / self._substeps
        self._dynamics = Dynamics(airframe, 1, dt_s, np.float64)
        self._push = np.array([*scenario.force_n, *scenario.torque_nm])[:, None]
        self._mass_scale = np.array([[scenario.mass_scale]])
        self._rng = np.random.default_rng(scenario.seed)
        self.state = np.zeros((ROWS, 1))
        self.state[SENSED, 0] = scenario.start
        speed = airframe.hover_fraction if scenario.rotor_speed is None else scenario.rotor_speed
        self.state[ROTOR_SPEED] = speed
        late = round(scenario.latency_s / dt_s)
        self._commands = deque([np.full((4, 1), speed)] * late)  # on their way to the rotors

    def sense(self) -> Array:
        """(13,) float32, what the estimator reports now."""
        sensed = self.state[SENSED].copy()
        if self.scenario.noise:
            sensed += self.scenario.noise * NOISE * self._rng.standard_normal(sensed.shape)
        sensed[QUATERNION] /= np.linalg.norm(sensed[QUATERNION])
        return sensed[:, 0].astype(np.float32)

    def advance(self, motors: Array) -> None:
        """Let one control period pass under these (4,) motor commands."""
        command = np.asarray(motors, np.float64)[:, None]
        for _ in range(self._substeps):
            self._commands.append(command)
            self._dynamics.step(self.state, self._commands.popleft(), self._push, self._mass_scale)

    @property
    def position(self) -> Array:
        """(3,) m."""
        return self.state[POSITION, 0].copy()
