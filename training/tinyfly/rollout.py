"""A window of flight: the actor in the loop with the physics, forwards and backwards.

Environments fly on from one window to the next; some start afresh each time. A moving reference needs no
coordinates of its own: the state is relative to it, and its acceleration is one more push.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import add, maximum, minimum, multiply, subtract
from numpy.typing import NDArray

from tinyfly.actor import Actor
from tinyfly.airframe import GRAVITY_M_S2
from tinyfly.banks import BANK, gust_bank, noise_bank
from tinyfly.columns import ACCELERATION_UNIT, kept_rows
from tinyfly.contract import Contract
from tinyfly.cost import Cost
from tinyfly.episodes import DT, Episodes
from tinyfly.errors import UserError
from tinyfly.felt import ROWS as FELT_ROWS
from tinyfly.felt import Felt
from tinyfly.history import History
from tinyfly.mirror import mirrors
from tinyfly.physics import POSITION, RATE, ROWS, VELOCITY, Adjoint, Physics
from tinyfly.statistics import upper_median
from tinyfly.symmetry import Symmetry
from tinyfly.task import Task
from tinyfly.turning import ROWS as TURNING_ROWS
from tinyfly.turning import Turning
from tinyfly.weights import Weights

Array = NDArray[np.floating]

CLIPPED = slice(POSITION.start, VELOCITY.stop)  # rows that the contract clips
SEEN_Z = [11, 14, 17]  # the world's z along each axis of the body
LIMIT_EVERY = 4  # steps between two looks at the adjoint's size
DIVERGED_M, DIVERGED_RAD_S = 6.0, 80.0  # such an environment teaches nothing in this window
LOST_RAD_S = 25.0  # and such a one starts afresh in the next


@dataclass(frozen=True, slots=True)
class _Views:
    """One step's windows on the tapes."""

    state: Array
    noise: Array
    seen: Array  # the actor's input: state with noise, clipped, the integral added to the position
    clipped: Array  # of these, what the contract clips
    position: Array
    integral: Array
    integral_next: Array
    command: Array
    recent: Array  # the actions that the latency mixes
    recent_adjoint: Array


class Rollout:
    """n environments of a task, up to ``steps`` steps at a time."""

    def __init__(
        self, task: Task, n: int, steps: int, rng: np.random.Generator, dtype: type[np.floating] = np.float32
    ):
        self.task, self.n, self.rng, self.dtype = task, n, rng, dtype
        c = task.contract
        channels = {channel.name: channel for channel in c.channels}
        self.integral = c.integral
        self.kept_rows = kept_rows(c)
        self.differentiable = ROWS + 3 * len(self.kept_rows)
        # Rows of what the policy keeps: of the integral, the specific force, the angular acceleration.
        integral, felt = 3 * bool(c.integral), FELT_ROWS * bool(c.specific_force)
        turning = TURNING_ROWS * bool(c.angular_acceleration)
        self.previews = [0] * ("reference_acceleration" in channels) + [round(s / DT) for s in c.preview_s]
        inputs = self.differentiable + 1 + 3 * len(self.previews)
        self.episodes = Episodes(task, n, rng, dtype)
        self.physics = Physics(self.episodes, steps, feels=bool(c.specific_force))
        found = mirrors(task.population.layout) if task.recipe.mirrors else []
        self.symmetry = Symmetry(found, c, task.recipe.width)
        slots = self.episodes.slots  # actions that the latency may ask for; the change asks for one
        past = History(n, steps, c.history_length, _stride(c), slots, self.symmetry.fold_motors, dtype)
        self.actor = Actor(n, steps, past, inputs, self.differentiable, self.symmetry, dtype)
        self.actor.input[:, self.differentiable] = 1
        self.noise_bank, self.gust_bank = noise_bank(task, rng, n, dtype), gust_bank(task, rng, n, dtype)
        self.noise = np.zeros((steps, ROWS, n), dtype)
        self.adjoint = Adjoint(n, integral + felt + turning, dtype)
        self.integrated = np.zeros((steps + 1, 3, n), dtype)
        self.cost = Cost(task.loss, steps, n, self.episodes.hover_action, dtype)
        self.unclipped = np.zeros((steps, 6, n), dtype)
        self.integrates = np.zeros((steps, 3, n), dtype)
        self._command, self._three = (np.zeros((rows, n), dtype) for rows in (4, 3))
        self._delayed = np.zeros_like(self.episodes.latency)
        limits = [channels["position_error"].limit] * 3 + [channels["velocity_error"].limit] * 3
        self._limits = np.repeat(np.array(limits, dtype)[:, None], n, axis=1)
        if c.integral:
            self._error_limit = np.full((3, n), c.integral.error_limit_m, dtype)
            self._gain = np.full((3, n), c.integral.gain_per_s * DT, dtype)
        self.felt, self.turning = None, None
        if c.specific_force:
            seen = self.actor.input[:, self.kept_rows["specific_force"]]
            adjoint = self.adjoint.extra[integral : integral + felt]
            force_adjoint = self.physics.reverse_scratch.felt
            self.felt = Felt(c.specific_force, n, steps, seen, adjoint, force_adjoint, dtype)
        if c.angular_acceleration:
            seen = self.actor.input[:, self.kept_rows["angular_acceleration"]]
            adjoint = self.adjoint.extra[integral + felt :]
            self.turning = Turning(c.angular_acceleration, self.physics.state[:, RATE], seen, adjoint)
        self._keepers = [keeper for keeper in (self.felt, self.turning) if keeper]
        self._views = [self._view(t) for t in range(steps)]
        self.steps = 0
        self._dropped = np.zeros(n, bool)  # of the last window
        self.restart(np.arange(n))

    def _view(self, t: int) -> _Views:
        x, last, late = self.actor.input, self.actor.slots + t + 1, self.episodes.slots
        return _Views(
            self.physics.state[t],
            self.noise[t],
            x[t, :ROWS],
            x[t, CLIPPED],
            x[t, POSITION],
            self.integrated[t],
            self.integrated[t + 1],
            self.actor.actions[last - 1],
            self.actor.actions[last - late : last],
            self.actor.action_adjoint[last - late : last],
        )

    def advance(self, share: float) -> None:
        """Fly on from the end of the last window; a share of the environments, and the lost, start afresh."""
        h = self.steps
        x = self.physics.state[h]
        with np.errstate(invalid="ignore"):
            lost = ~(np.abs(x[POSITION]).max(0) < self.task.lost_m)
            lost |= ~(np.abs(x[RATE]).max(0) < LOST_RAD_S)
        self.physics.carry(h)
        self.actor.past.carry(h)
        self.integrated[0] = self.integrated[h]
        for keeper in self._keepers:
            keeper.carry(h)
        if self.task.paths:
            self.episodes.advance_references(h * DT)
        self.restart(np.nonzero(lost | (self.rng.random(self.n) < share))[0])

    def restart(self, index: NDArray[np.intp]) -> None:
        """Fresh episodes for some environments."""
        if len(index):
            self.physics.start(index, *self.episodes.restart(index))
            self.actor.past.restart(index)
            self.integrated[0][:, index] = 0
            for keeper in self._keepers:
                keeper.restart(index)

    def forward(self, weights: Weights, steps: int) -> None:
        """Fly ``steps`` steps."""
        self.steps = steps
        actor, physics, latency, delayed = self.actor, self.physics, self.episodes.latency, self._delayed
        self._prepare(steps)
        self._dropped[:] = False
        actor.use(weights)
        high, low, three = self._limits, -self._limits, self._three
        if self.integral:
            error_high, error_low, gain = self._error_limit, -self._error_limit, self._gain
        for t in range(steps):
            s = self._views[t]
            add(s.state, s.noise, out=s.seen)
            minimum(s.clipped, high, out=s.clipped)
            maximum(s.clipped, low, out=s.clipped)
            if self.integral:
                minimum(s.position, error_high, out=three)
                maximum(three, error_low, out=three)
                multiply(three, gain, out=three)
                add(s.integral, three, out=s.integral_next)
                add(s.position, s.integral, out=s.position)
            actor.forward(t)
            command = s.command
            if len(latency) > 1:
                multiply(s.recent, latency, out=delayed)
                command = add.reduce(delayed, axis=0, out=self._command)
            physics.forward(t, command)
            if self.felt:
                self.felt.forward(t, physics.felt[t])
            if self.turning:
                self.turning.forward(t)

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
        back_state, a_integral = actor.back[:ROWS], a.extra[:3]
        back_felt, back_turning = (
            actor.back[self.kept_rows.get(name, slice(0, 0))]
            for name in ("specific_force", "angular_acceleration")
        )
        back_position, back_clipped = actor.back[POSITION], actor.back[CLIPPED]
        limit = self.task.recipe.adjoint_limit / (self.n * steps)
        for t in range(steps - 1, -1, -1):
            add(a.state, self.cost.pull[t], out=a.state)
            if t % LIMIT_EVERY == 0:
                _limit_columns(a.all, limit)
            if self.felt:
                self.felt.reverse()
            if self.turning:
                self.turning.reverse(a.rate)
            physics.reverse(t, a, command)
            if self.turning:
                self.turning.reverse_before(a.rate)
            recent = self._views[t].recent_adjoint
            if len(latency) > 1:
                multiply(command, latency, out=delayed)
                add(recent, delayed, out=recent)
            else:
                add(recent[0], command, out=recent[0])
            actor.reverse(t)
            if self.felt:
                self.felt.reverse_seen(t, back_felt)
            if self.turning:
                self.turning.reverse_seen(back_turning)
            if self.integral:
                multiply(a_integral, self.integrates[t], out=three)
                add(a_integral, back_position, out=a_integral)
            multiply(back_clipped, self.unclipped[t], out=back_clipped)
            if self.integral:
                add(back_position, three, out=back_position)
            add(a.state, back_state, out=a.state)
            if record is not None and t % every == 0 and t // every < len(record):
                record[t // every] = a.all
        lost = ~np.isfinite(add.reduce(a.all, axis=0)) | self._dropped
        if lost.any():
            for adjoint in actor.adjoint:
                adjoint[:steps, ..., lost] = 0
            if record is not None:
                record[:, :, lost] = 0
        if self.task.recipe.influence is not None:
            self._limit_influence(steps, self.task.recipe.influence)
        return actor.gradient(steps)

    def _limit_influence(self, steps: int, most: float) -> None:
        """Let no environment count for more than ``most`` times the median one.

        A vehicle thrown far has a gradient thirty times that of one which hovers, by its actions' adjoints:
        one of them, and what the others of this window had to say is drowned. Unlike `_limit_columns`, which
        forgets what is far ahead, this leaves every environment's gradient its direction.
        """
        last = self.actor.adjoint[-1][:steps]
        size = np.sqrt(np.einsum("tin,tin->n", last, last))
        share = minimum(1, most * upper_median(size) / maximum(size, np.finfo(self.dtype).tiny))
        for adjoint in self.actor.adjoint:
            adjoint[:steps] *= share

    def drop_diverged(self, steps: int) -> int:
        """Environments that left the world, forwards, teach nothing in this window; how many.

        A copy of one that did not leave it takes their place, so that what follows stays finite.
        """
        x = self.physics.state[steps]
        good = (np.abs(x[RATE]).max(0) < DIVERGED_RAD_S) & (np.abs(x[POSITION]).max(0) < DIVERGED_M)
        bad, donor = np.nonzero(~good)[0], int(np.argmax(good))
        self._dropped = ~good
        if len(bad) and good.any():
            p = self.physics
            for tape in (
                p.tape,
                p.rotor,
                p.rotor_sum,
                p.lead,
                p.wrench,
                p.half_angle,
                p.air,
                self.integrated,
                *([self.felt.state] if self.felt else []),
                *self.actor.tapes,
            ):
                tape[..., bad] = tape[..., donor, None]
        return len(bad)

    def loss(self, steps: int) -> float:
        """Mean over steps and environments of the loss that ``reverse`` differentiates."""
        return float(self.costs(steps).mean())

    def costs(self, steps: int) -> Array:
        """(steps, n) of the window."""
        slots = self.actor.slots
        return self.cost.each(
            self.physics.state[1 : steps + 1], self.actor.actions[slots - 1 : slots + steps]
        )

    def _prepare(self, steps: int) -> None:
        """Noise, pushes and reference inputs of the whole window."""
        e, push, wind = self.episodes, self.physics.push[:steps], self.physics.wind[:steps]
        first = self.rng.integers(0, BANK - steps)
        noise = self.noise_bank[first : first + steps + 1]
        add(noise[:steps], e.bias, out=self.noise[:steps])
        gravity = np.array([[0], [0], [DT * GRAVITY_M_S2]], self.dtype)
        wind[:] = e.force
        if self.task.wind.gust:
            wind += e.gust * self.gust_bank[first : first + steps]
        if self.felt:  # the velocity's noise, and gravity seen along axes that are a little off
            off = DT * GRAVITY_M_S2 * e.bias[SEEN_Z] - gravity
            self.felt.disturb(np.diff(noise[:, VELOCITY], axis=0) + off)
        if self.turning:
            self.turning.disturb(np.diff(noise[:, RATE], axis=0))
        if self.task.paths:
            velocity, acceleration = e.references(steps + 2 + max(self.previews, default=0))
            wind -= velocity[:steps] * e.drag
            subtract(wind, np.diff(velocity[: steps + 1], axis=0), out=push)
            push -= gravity
            for k, ahead in enumerate(self.previews):
                row = self.differentiable + 1 + 3 * k
                seen = acceleration[ahead : ahead + steps + 1] * ACCELERATION_UNIT
                self.actor.input[: steps + 1, row : row + 3] = seen
        else:
            subtract(wind, gravity, out=push)
        self.cost.aim(push)

    def _prepare_reverse(self, steps: int) -> None:
        """Everything about the reverse pass that does not have to wait for the step after it."""
        self.physics.prepare_reverse(steps)
        if self.felt:
            self.felt.prepare_reverse(steps)
        a, last = self.actor, self.actor.slots + steps
        a.past.clear_adjoint()
        now = slice(a.slots - 1, last)
        self.cost.differentiate(self.physics.state[1 : steps + 1], a.actions[now], a.action_adjoint[now])
        seen = np.abs(self.physics.state[:steps, CLIPPED] + self.noise[:steps, CLIPPED])
        np.less(seen, self._limits, out=self.unclipped[:steps], casting="unsafe")
        if self.integral:  # the position comes first of these
            inside = seen[:, : len(self._error_limit)] < self._error_limit
            multiply(inside, self._gain, out=self.integrates[:steps], casting="unsafe")


def _stride(c: Contract) -> int:
    """Steps between two advances of the history."""
    stride = round(c.rate_hz / c.history_rate_hz)
    if c.rate_hz != 1 / DT or abs(stride * c.history_rate_hz - c.rate_hz) > 1e-6:
        raise UserError(
            f"training steps at {1 / DT:g} Hz: history_rate_hz {c.history_rate_hz:g} does not divide it, "
            f"or rate_hz {c.rate_hz:g} differs"
        )
    return stride


def _limit_columns(x: Array, limit: float) -> None:
    """Shrink each column to at most this norm."""
    size = np.einsum("ij,ij->j", x, x)
    multiply(size, 1 / limit**2, out=size)
    maximum(size, 1, out=size)
    np.sqrt(size, out=size)
    np.divide(x, size, out=x)
