"""A window of flight: the actor in the loop with the physics, forwards and backwards.

Environments fly on from one window to the next; some start afresh each time. A moving reference needs no
coordinates of its own: the state is relative to it, and its acceleration is one more push.
"""

from __future__ import annotations

import numpy as np
from numpy import add, maximum, minimum, multiply
from numpy.typing import NDArray

from tinyfly.actor import Actor, Weights
from tinyfly.airframe import GRAVITY_M_S2
from tinyfly.episodes import DT, Episodes
from tinyfly.physics import POSITION, RATE, ROTATION, ROWS, VELOCITY, Adjoint, Physics
from tinyfly.task import Task

Array = NDArray[np.floating]

CLIPPED = slice(POSITION.start, VELOCITY.stop)  # rows that the contract clips
DIAGONAL = [9, 13, 17]  # rows of R's diagonal
BANK = 512  # steps of observation noise and gusts, drawn once: drawing takes longer than flying
LIMIT_EVERY = 4  # steps between two looks at the adjoint's size
DIVERGED_M, DIVERGED_RAD_S = 6.0, 80.0  # such an environment teaches nothing in this window
LOST_RAD_S = 25.0  # and such a one starts afresh in the next


class Rollout:
    """n environments of a task, up to ``steps`` steps at a time."""

    def __init__(
        self, task: Task, n: int, steps: int, rng: np.random.Generator, dtype: type[np.floating] = np.float32
    ):
        self.task, self.n, self.rng, self.dtype = task, n, rng, dtype
        self.cost = task.loss  # the trainer turns its weights up as it goes
        c = task.contract
        channels = {channel.name: channel for channel in c.channels}
        self.integral = c.integral
        self.differentiable = ROWS + (3 if c.integral else 0)
        self.previews = [0] * ("reference_acceleration" in channels) + [round(s / DT) for s in c.preview_s]
        self.acceleration_scale = channels["reference_acceleration"].scale if self.previews else 0.0
        inputs = self.differentiable + 1 + 3 * len(self.previews)
        self.episodes = Episodes(task, n, rng, dtype)
        self.physics = Physics(self.episodes, steps)
        self.actor = Actor(n, steps, c.history_length, inputs, self.differentiable, task.recipe.width, dtype)
        self.actor.input[:, self.differentiable] = 1
        self.noise_bank, self.gust_bank = _noise(task, rng, n, dtype), _gusts(task, rng, n, dtype)
        self.noise = np.zeros((steps, ROWS, n), dtype)
        self.adjoint = Adjoint(n, self.differentiable - ROWS, dtype)  # extra: of the integral
        self.pull = np.zeros(
            (steps, ROWS, n), dtype
        )  # derivative of each step's cost by the state it leads to
        self.unclipped = np.zeros((steps, 6, n), dtype)
        self.integrates = np.zeros((steps, 3, n), dtype)
        self._command, self._three = np.zeros((4, n), dtype), np.zeros((3, n), dtype)
        self._delayed = np.zeros_like(self.episodes.latency)
        limits = [channels["position_error"].limit] * 3 + [channels["velocity_error"].limit] * 3
        self._limits = np.repeat(np.array(limits, dtype)[:, None], n, axis=1)
        if c.integral:
            self._error_limit = np.full((3, n), c.integral.error_limit_m, dtype)
            self._gain = np.full((3, n), c.integral.gain_per_s * DT, dtype)
        self._views = [self._view(t) for t in range(steps)]
        self.steps = 0
        self.restart(np.arange(n))

    def _view(self, t: int) -> tuple[Array, ...]:
        x, last, late = self.actor.input, self.actor.slots + t + 1, self.episodes.slots
        return (
            self.physics.state[t],
            self.noise[t],
            x[t, :ROWS],
            x[t, CLIPPED],
            x[t, POSITION],
            x[t, ROWS : ROWS + 3],
            x[t + 1, ROWS : ROWS + 3],
            self.actor.actions[last - 1],
            self.actor.actions[last - late : last],
            self.actor.action_adjoint[last - late : last],
        )

    def advance(self, share: float) -> None:
        """Fly on from the end of the last window; a share of the environments, and the lost, start afresh."""
        h, slots = self.steps, self.actor.slots
        x = self.physics.state[h]
        with np.errstate(invalid="ignore"):
            lost = ~(np.abs(x[POSITION]).max(0) < self.task.lost_m)
            lost |= ~(np.abs(x[RATE]).max(0) < LOST_RAD_S)
        self.physics.carry(h)
        self.actor.actions[:slots] = self.actor.actions[h : h + slots].copy()
        self.actor.input[0, ROWS : self.differentiable] = self.actor.input[h, ROWS : self.differentiable]
        if self.task.paths:
            self.episodes.advance_references(h * DT)
        self.restart(np.nonzero(lost | (self.rng.random(self.n) < share))[0])

    def restart(self, index: NDArray[np.intp]) -> None:
        """Fresh episodes for some environments."""
        if len(index):
            self.physics.start(index, *self.episodes.restart(index))
            self.actor.actions[: self.actor.slots, :, index] = 0
            self.actor.input[0, ROWS : self.differentiable][:, index] = 0

    def forward(self, weights: Weights, steps: int) -> None:
        """Fly ``steps`` steps."""
        self.steps = steps
        actor, physics, latency, delayed = self.actor, self.physics, self.episodes.latency, self._delayed
        self._prepare(steps)
        actor.use(weights)
        high, low, three = self._limits, -self._limits, self._three
        if self.integral:
            error_high, error_low, gain = self._error_limit, -self._error_limit, self._gain
        for t in range(steps):
            state, noise, seen, clipped, position, integral, integral_next, command, recent, _ = self._views[
                t
            ]
            add(state, noise, out=seen)
            minimum(clipped, high, out=clipped)
            maximum(clipped, low, out=clipped)
            if self.integral:
                minimum(position, error_high, out=three)
                maximum(three, error_low, out=three)
                multiply(three, gain, out=three)
                add(integral, three, out=integral_next)
            actor.forward(t)
            if len(latency) > 1:
                multiply(recent, latency, out=delayed)
                command = add.reduce(delayed, axis=0, out=self._command)
            physics.forward(t, command)

    def reverse(
        self, steps: int, terminal: Array | None = None, record: Array | None = None, every: int = 1
    ) -> Weights:
        """Gradient of the mean loss by the weights.

        ``terminal`` (rows, n; see `Adjoint`) is the adjoint of the last state. ``record`` (k, rows, n)
        receives the adjoints of the states at 0, every, 2 every ...
        """
        actor, physics, a, command = self.actor, self.physics, self.adjoint, self._command
        latency, delayed, three = self.episodes.latency, self._delayed, self._three
        self._prepare_reverse(steps)
        a.all[:] = 0 if terminal is None else terminal
        back_state, back_integral = actor.back[:ROWS], actor.back[ROWS:]
        back_position, back_clipped = actor.back[POSITION], actor.back[CLIPPED]
        limit = self.task.recipe.adjoint_limit / (self.n * steps)
        for t in range(steps - 1, -1, -1):
            add(a.state, self.pull[t], out=a.state)
            if t % LIMIT_EVERY == 0:
                _limit_columns(a.all, limit)
            physics.reverse(t, a, command)
            recent = self._views[t][-1]
            if len(latency) > 1:
                multiply(command, latency, out=delayed)
                add(recent, delayed, out=recent)
            else:
                add(recent[0], command, out=recent[0])
            actor.reverse(t)
            if self.integral:
                multiply(a.extra, self.integrates[t], out=three)
                add(a.extra, back_integral, out=a.extra)
                add(back_position, three, out=back_position)
            multiply(back_clipped, self.unclipped[t], out=back_clipped)
            add(a.state, back_state, out=a.state)
            if record is not None and t % every == 0 and t // every < len(record):
                record[t // every] = a.all
        lost = ~np.isfinite(add.reduce(a.all, axis=0))
        if lost.any():
            for adjoint in actor.adjoint:
                adjoint[:steps, :, lost] = 0
            if record is not None:
                record[:, :, lost] = 0
        return actor.gradient(steps)

    def drop_diverged(self, steps: int) -> int:
        """Replace environments that left the world, forwards, by a copy of one that did not; how many."""
        x = self.physics.state[steps]
        good = (np.abs(x[RATE]).max(0) < DIVERGED_RAD_S) & (np.abs(x[POSITION]).max(0) < DIVERGED_M)
        bad, donor = np.nonzero(~good)[0], int(np.argmax(good))
        if len(bad) and good.any():
            p, a = self.physics, self.actor
            for tape in (
                p.tape,
                p.rotor,
                p.rotor_sum,
                p.lead,
                p.wrench,
                p.half_angle,
                a.actions,
                a.input,
                *a.hidden,
            ):
                tape[..., bad] = tape[..., donor, None]
        return len(bad)

    def loss(self, steps: int) -> float:
        """Mean over steps and environments of the loss that ``reverse`` differentiates."""
        w, x, slots = self.cost, self.physics.state[1 : steps + 1], self.actor.slots
        a = self.actor.actions
        far = np.abs(x[:, POSITION])
        near = minimum(far, w.linear_m)
        total = w.position * (near * (2 * far - near)).sum() + w.velocity * np.square(x[:, VELOCITY]).sum()
        total += w.rate * np.square(x[:, RATE]).sum() + w.attitude * ((3 - x[:, DIAGONAL].sum(1)) / 4).sum()
        total += w.action * np.square(a[slots : slots + steps] - self.episodes.hover_action).sum()
        total += w.change * np.square(np.diff(a[slots - 1 : slots + steps], axis=0)).sum()
        return float(total / (self.n * steps))

    def _prepare(self, steps: int) -> None:
        """Noise, pushes and reference inputs of the whole window."""
        e, push = self.episodes, self.physics.push[:steps]
        first = self.rng.integers(0, BANK - steps)
        add(self.noise_bank[first : first + steps], e.bias, out=self.noise[:steps])
        gravity = np.array([[0], [0], [DT * GRAVITY_M_S2]], self.dtype)
        push[:] = e.force - gravity
        if self.task.wind.gust:
            push += e.gust * self.gust_bank[first : first + steps]
        if self.task.paths:
            velocity, acceleration = e.references(steps + 2 + max(self.previews, default=0))
            push -= np.diff(velocity[: steps + 1], axis=0)
            push -= velocity[:steps] * (1 - e.keep)
            for k, ahead in enumerate(self.previews):
                row = self.differentiable + 1 + 3 * k
                seen = acceleration[ahead : ahead + steps + 1] * self.acceleration_scale
                self.actor.input[: steps + 1, row : row + 3] = seen

    def _prepare_reverse(self, steps: int) -> None:
        """Everything about the reverse pass that does not have to wait for the step after it."""
        self.physics.prepare_reverse(steps)
        w, mean, slots = self.cost, 2 / (self.n * steps), self.actor.slots
        weight = np.zeros((ROWS, self.n), self.dtype)
        weight[RATE], weight[POSITION], weight[VELOCITY] = w.rate * mean, w.position * mean, w.velocity * mean
        multiply(self.physics.state[1 : steps + 1], weight, out=self.pull[:steps])
        most = w.position * mean * w.linear_m
        pull = self.pull[:steps, POSITION]
        maximum(minimum(pull, most, out=pull), -most, out=pull)
        self.pull[:steps, DIAGONAL] = -w.attitude * mean / 8
        a, action_adjoint = self.actor.actions, self.actor.action_adjoint[: slots + steps]
        action_adjoint[:slots] = 0
        multiply(
            a[slots : slots + steps] - self.episodes.hover_action, w.action * mean, out=action_adjoint[slots:]
        )
        change = np.diff(a[slots - 1 : slots + steps], axis=0) * (w.change * mean)
        action_adjoint[slots:] += change
        action_adjoint[slots - 1 : -1] -= change
        x = self.actor.input[:steps]
        np.less(np.abs(x[:, CLIPPED]), self._limits, out=self.unclipped[:steps], casting="unsafe")
        if self.integral:
            inside = np.abs(x[:, POSITION]) < self._error_limit
            multiply(inside, self._gain, out=self.integrates[:steps], casting="unsafe")


def _limit_columns(x: Array, limit: float) -> None:
    """Shrink each column to at most this norm."""
    size = np.einsum("ij,ij->j", x, x)
    multiply(size, 1 / limit**2, out=size)
    maximum(size, 1, out=size)
    np.sqrt(size, out=size)
    np.divide(x, size, out=x)


def _noise(task: Task, rng: np.random.Generator, n: int, dtype: type[np.floating]) -> Array:
    """(BANK, 18, n) white observation noise. A quaternion's noise counts twice in a rotation matrix."""
    std = np.empty((ROWS, 1))
    std[RATE], std[POSITION] = task.noise.rate_rad_s, task.noise.position_m
    std[VELOCITY], std[ROTATION] = task.noise.velocity_m_s, 2 * task.noise.attitude
    return (rng.standard_normal((BANK, ROWS, n), np.float32) * std).astype(dtype)


def _gusts(task: Task, rng: np.random.Generator, n: int, dtype: type[np.floating]) -> Array:
    """(BANK, 3, n) of an Ornstein-Uhlenbeck process with variance 1."""
    keep = np.exp(-DT / task.wind.gust_s)
    gusts = rng.standard_normal((BANK, 3, n), np.float32).astype(dtype)
    for now, before in zip(gusts[1:], gusts[:-1], strict=True):
        now *= np.sqrt(1 - keep * keep)
        now += keep * before
    return gusts
