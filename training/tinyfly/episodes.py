"""Episodes: everything that is drawn when an environment starts afresh, one column per environment.

Drawing is many small calls, so a thousand episodes are drawn at once and handed out as environments restart.
All that stays constant in an episode lies in one array; a restart copies columns of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2
from tinyfly.population import Population
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, ROTOR_SPEED, VELOCITY
from tinyfly.task import Paths, Task

Array = NDArray[np.floating]

DT = 0.01  # s
BATCH = 1024
WAVES = 3  # sinusoids per axis of a reference


class Episodes:
    """The running episodes of n environments; each field is a view (rows, n), or (k, 4, n) where so noted."""

    # Per control step of DT; see `physics` for the equations they belong to.
    fall: Array  # rotor gain downwards
    rise_more: Array  # rotor gain upwards minus downwards
    curve_2: Array  # thrust fraction from r + r'
    curve_1: Array
    scale: Array  # (6, n) full thrust / mass three times, full torque / inertia
    offset: Array  # (6, n) constant part of the thrust, torque disturbance
    spin: Array  # yaw torque of a rotor's change r' - r of speed, in full reaction torques
    drag: Array
    keep: Array  # 1 - drag
    gyro: Array
    force: Array  # m/s
    gust: Array  # m/s, standard deviation
    torque: Array  # disturbance, in its standard deviations
    imbalance: Array  # how much each rotor is stronger than the mean
    bias: Array  # (18, n) of what is observed
    latency: Array  # (slots, 4, n) weight of the command so many steps ago, oldest first
    hover_action: Array
    privileged: Array  # features of the airframe and the latency that the critic sees
    velocity_amplitude: Array  # (9, n) of the reference's sinusoids, m/s
    frequency: Array  # rad/s
    phase: Array  # rad, at the start of the window

    def __init__(
        self, task: Task, n: int, rng: np.random.Generator, dtype: type[np.floating] = np.float32
    ) -> None:
        self.task, self.n, self.dtype, self._rng = task, n, dtype, rng
        self.slots = 1 + int(np.ceil(task.latency_s / DT - 1e-9))
        self._batch = max(BATCH, n)  # all may restart at once
        self._drawn, self._states = self._draw(self._batch)
        self._next = 0
        self.spins = bool(self._drawn["spin"].any())  # whether any propeller has inertia
        self.unbalanced = bool(self._drawn["imbalance"].any())  # whether any centre of mass is off
        self.all = np.zeros((sum(len(rows) for rows in self._drawn.values()), n), dtype)
        self._stack()
        at = 0
        for name, rows in self._drawn.items():
            setattr(self, name, self.all[at : at + len(rows)])
            at += len(rows)
        self.latency = self.latency.reshape(self.slots, 4, n)

    def restart(self, index: NDArray[np.intp]) -> tuple[Array, Array]:
        """New episodes for some environments; their start states (18, k) and rotor speeds (4, k)."""
        k = len(index)
        if self._next + k > self._batch:
            self._drawn, self._states = self._draw(self._batch)
            self._stack()
            self._next = 0
        columns = slice(self._next, self._next + k)
        self._next += k
        self.all[:, index] = self._bank[:, columns]
        return self._states[:18, columns], self._states[18:, columns]

    def references(self, steps: int) -> tuple[Array, Array]:
        """Velocity and acceleration of the references, each (steps, 3, n), from the window's start on."""
        time = (np.arange(steps) * DT).astype(self.dtype)[:, None, None]
        velocity = np.zeros((steps, 3, self.n), self.dtype)
        acceleration = np.zeros_like(velocity)
        for wave in range(WAVES):
            rows = slice(3 * wave, 3 * wave + 3)
            amplitude, frequency = self.velocity_amplitude[rows], self.frequency[rows]
            angle = time * frequency + self.phase[rows]
            velocity += amplitude * np.cos(angle)
            acceleration -= (amplitude * frequency) * np.sin(angle)
        return velocity, acceleration

    def advance_references(self, seconds: float) -> None:
        """Move the window's start."""
        self.phase += self.frequency * self.dtype(seconds)
        np.mod(self.phase, self.dtype(2 * np.pi), out=self.phase)

    def _stack(self) -> None:
        self._bank = np.concatenate(list(self._drawn.values())).astype(self.dtype)

    def _draw(self, k: int) -> tuple[dict[str, Array], Array]:
        """k episodes: named rows, and start states with rotor speeds (22, k)."""
        rng, task = self._rng, self.task
        p: Population = task.population.sample(rng, k)
        fall, rise = 1 - np.exp(-DT / p.fall_s), 1 - np.exp(-DT / p.rise_s)
        c0, c1, c2 = p.curve  # of u = (r + 1) / 2 = (r + r' + 2) / 4 at the mean speed
        torque = rng.standard_normal((3, k))
        pushed = np.concatenate([np.zeros((3, k)), DT * torque * p.weight * task.wind.torque_m])
        force = rng.standard_normal((3, k)) * task.wind.force
        scale = DT * np.stack([p.thrust] * 3 + [*p.torque])
        together = np.array([(1, 1, 1, 1)] * 3 + [*task.population.layout]) @ p.strength
        latency, delay = self._latency(k)
        waves = _waves(rng, k, task.paths) if task.paths else np.zeros((27, k))
        hover = p.hover_action
        rows = {
            "fall": _four(fall),
            "rise_more": _four(rise - fall),
            "curve_2": c2 / 16 * p.strength,
            "curve_1": (c2 / 4 + c1 / 4) * p.strength,
            "scale": scale,
            "offset": scale * together * (c2 / 4 + c1 / 2 + c0) + pushed,
            "spin": _four(p.spin_s / (2 * DT)),
            "drag": DT * np.stack([p.drag] * 3),
            "keep": 1 - DT * np.stack([p.drag] * 3),
            "gyro": DT * p.gyro,
            "force": DT * GRAVITY_M_S2 * force,
            "gust": np.full((3, k), DT * GRAVITY_M_S2 * task.wind.gust),
            "torque": torque,
            "imbalance": p.strength - 1,
            "bias": self._bias(k),
            "latency": np.repeat(latency, 4, axis=0),
            "hover_action": _four(hover),
            "privileged": np.stack(
                [
                    np.ones(k),
                    4 * (hover - task.contract.hover_action),
                    np.log(p.thrust / 5.5),
                    np.log(p.torque[0] / 500),
                    np.log(p.torque[2] / 60),
                    10 * (p.rise_s - 0.1),
                    10 * (p.fall_s - 0.15),
                    2 * p.drag,
                    delay,
                ]
            ),
            "velocity_amplitude": waves[0:9],
            "frequency": waves[9:18],
            "phase": waves[18:27],
        }
        return rows, self._starts(k)

    def _starts(self, k: int) -> Array:
        """Each of the task's kinds of start gets its share."""
        rng, kinds = self._rng, self.task.starts
        shares = np.array([share for share, _ in kinds])
        kind = rng.choice(len(kinds), k, p=shares / shares.sum())
        x = np.empty((17, k))
        for i, (_, start) in enumerate(kinds):
            chosen = kind == i
            x[:, chosen] = start.draw(rng, int(chosen.sum()))
        rotation = rotation_matrices(x[QUATERNION]).transpose(1, 0, 2).reshape(9, k)  # column by column
        rotor = 2 * x[ROTOR_SPEED] - 1
        return np.concatenate([x[ANGULAR_VELOCITY], x[POSITION], x[VELOCITY], rotation, rotor]).astype(
            self.dtype
        )

    def _latency(self, k: int) -> tuple[Array, Array]:
        """(slots, k) weights, and the delays in steps."""
        delay = self._rng.uniform(0, self.task.latency_s / DT, k)
        whole, columns, weight = np.floor(delay).astype(int), np.arange(k), np.zeros((self.slots + 1, k))
        weight[whole, columns] = 1 - (delay - whole)
        weight[whole + 1, columns] = delay - whole
        return weight[self.slots - 1 :: -1], delay

    def _bias(self, k: int) -> Array:
        """Errors of the state estimate that stay: rates, velocities, a small tilt of the rotation matrix."""
        rng, noise, bias = self._rng, self.task.noise, np.zeros((18, k))
        bias[0:3] = rng.standard_normal((3, k)) * noise.rate_bias_rad_s
        bias[6:9] = rng.standard_normal((3, k)) * noise.velocity_bias_m_s
        roll, pitch = rng.standard_normal((2, k)) * noise.tilt_bias_rad
        column_0, column_1, column_2 = bias[9:12], bias[12:15], bias[15:18]  # of I + [roll, pitch, 0] x
        column_0[2], column_1[2], column_2[0], column_2[1] = -pitch, roll, pitch, -roll
        return bias


def rotation_matrices(q: Array) -> Array:
    """(4, n) unit quaternions wxyz -> (3, 3, n) rotation matrices, body to world."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _waves(rng: np.random.Generator, k: int, paths: Paths) -> Array:
    """(27, k): velocity amplitude, frequency and phase of each sinusoid of k random references.

    Sums of sinusoids have exact velocities and accelerations, now and ahead. None is a figure-eight; a policy
    that follows these follows that.
    """
    w = 2 * np.pi / _log_uniform(rng, paths.period_s, (WAVES, 3, k))
    a = rng.standard_normal((WAVES, 3, k))
    a[:, 2] *= 0.4  # real paths climb less than they travel
    rms_acceleration = np.sqrt(((a * w * w) ** 2).sum((0, 1)) / 2)
    rms_position = np.sqrt((a * a).sum((0, 1)) / 2)
    wanted = rng.uniform(0, paths.acceleration_m_s2, k)
    size = np.minimum(wanted / rms_acceleration, paths.extent_m / rms_position) * (
        rng.random(k) < paths.moving
    )
    phase = rng.uniform(0, 2 * np.pi, (WAVES, 3, k))
    return np.concatenate([(a * w * size).reshape(9, k), w.reshape(9, k), phase.reshape(9, k)])


def _log_uniform(rng, bounds, shape):
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), shape))


def _four(x: Array) -> Array:
    """(n,) -> (4, n)"""
    return np.stack([x] * 4)
