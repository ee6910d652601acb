"""The hand-written reverse pass is the rollout's exact derivative, and the rollout is the true physics."""

from dataclasses import replace

import numpy as np
import pytest

from tinyfly import task as tasks
from tinyfly.airframe import Airframe
from tinyfly.columns import input_scale
from tinyfly.contract import Integral
from tinyfly.disturbance import Noise, Wind
from tinyfly.dynamics import Dynamics
from tinyfly.episodes import DT, rotation_matrices
from tinyfly.felt import FORCE_UNIT
from tinyfly.physics import POSITION, RATE, ROTATION, VELOCITY, Physics
from tinyfly.population import Fixed
from tinyfly.rollout import Rollout
from tinyfly.start import Start
from tinyfly.task import with_history
from tinyfly.turning import TURNING_UNIT
from tinyfly.weights import Weights, initial_weights

STEPS, ENVIRONMENTS = 30, 6
EXACT = {"adjoint_limit": 1e9, "influence": None, "width": 16}  # the gradient as it is, whatever its size


def crazyflie_task():
    """Everything that has a derivative at once; limits tight enough that some inputs are clipped."""
    task = tasks.with_recipe(tasks.crazyflie(Airframe.load("crazyflie")), **EXACT)
    channels = tuple(
        replace(c, limit={"position_error": 0.15, "velocity_error": 0.9}.get(c.name, c.limit))
        for c in task.contract.channels
    )
    return replace(
        task,
        contract=replace(task.contract, channels=channels, integral=Integral(2.0, 0.1, 2.0)),
        starts=((1.0, Start(rate_rad_s=8.0)),),
        latency_s=0.022,
        wind=Wind(gust=0.05),
        noise=Noise(tilt_bias_rad=0.02, rate_bias_rad_s=0.05),
    )


def slow_history_task():
    """The history advances with every second step, in slots of two actions' mean."""
    return with_history(crazyflie_task(), 10, 50.0)


def paper_task():
    return tasks.with_recipe(tasks.paper(Airframe.load("crazyflie")), **EXACT)


def half_turn_task():
    """Rotors on the axes: the half turn is the only image, and every mode has two motors."""
    airframe = replace(USUAL, rotor_position_m=PLUS)
    return replace(crazyflie_task(), population=Fixed(airframe))


def left_right_task():
    """Front rotors spread wider, in another order, turning the other way."""
    wide = [(x, y * (1.3 if x > 0 else 1), z) for x, y, z in USUAL.rotor_position_m]
    order = [2, 0, 3, 1]
    airframe = replace(
        USUAL,
        rotor_position_m=tuple(wide[i] for i in order),
        rotor_torque_sign=tuple(-USUAL.rotor_torque_sign[i] for i in order),
    )
    return replace(slow_history_task(), population=Fixed(airframe))


def no_mirrors_task():
    return tasks.with_recipe(slow_history_task(), mirrors=False)


def no_past_task():
    """Neither history nor latency."""
    return replace(with_history(crazyflie_task(), 0), latency_s=0.0)


MAKE_TASKS = [
    paper_task,
    crazyflie_task,
    slow_history_task,
    half_turn_task,
    left_right_task,
    no_mirrors_task,
    no_past_task,
]


def flown(task):
    """A rollout in float64, weights large enough to act, and a function that flies it again."""
    rollout = Rollout(task, ENVIRONMENTS, STEPS, np.random.default_rng(1), np.float64)
    rng, inputs = np.random.default_rng(0), np.ones(len(input_scale(task.contract)))
    history, width = rollout.symmetry.history, task.recipe.width
    size = rollout.symmetry.order**0.5
    whole = initial_weights(rng, history, inputs, width, 0.3, size, np.float64)
    weights = rollout.symmetry.modes(whole)
    weights.last[..., :-1] *= 10

    def fly():
        rollout.rng = np.random.default_rng(5)
        rollout.forward(weights, STEPS)
        return rollout.loss(STEPS)

    fly()
    return rollout, weights, fly


@pytest.mark.parametrize("make_task", MAKE_TASKS)
def test_gradient_equals_finite_differences(make_task):
    rollout, weights, fly = flown(make_task())
    gradient = rollout.reverse(STEPS)
    rng = np.random.default_rng(3)
    for w, g in zip(weights, gradient, strict=True):
        for _ in range(4):
            direction = rng.standard_normal(w.shape)
            start, h = w.copy(), 1e-6
            w[:] = start + h * direction
            above = fly()
            w[:] = start - h * direction
            below = fly()
            w[:] = start
            assert np.vdot(g, direction) == pytest.approx((above - below) / (2 * h), rel=2e-5, abs=1e-7)


def test_the_case_exercises_every_branch():
    rollout, _, _ = flown(crazyflie_task())
    rollout.reverse(STEPS)
    lead = rollout.physics.lead[:STEPS]
    assert (lead > 0).any() and (lead < 0).any(), "rotors speed up and slow down"
    assert (rollout.episodes.rise_more != 0).any(), "at different rates"
    assert (rollout.episodes.spin > 0).any(), "and turn the body by it"
    assert (rollout.episodes.keep < 1).any() and np.ptp(rollout.episodes.latency[-1]) > 0
    assert np.abs(rollout.physics.state[:, RATE]).max() > 5, "gyroscopic terms matter"
    for mask in (rollout.unclipped, rollout.integrates):
        assert (mask[:STEPS] == 0).any() and (mask[:STEPS] != 0).any(), (
            "some inputs are clipped, some are not"
        )


def test_what_the_critic_learns_are_derivatives_by_the_state():
    """Of the window's mean loss, by a state on the way: flown again from there, a little off."""
    rollout, _, fly = flown(replace(crazyflie_task(), latency_s=0.0))
    record = np.empty((2, len(rollout.adjoint.all), ENVIRONMENTS))
    rollout.physics.rotor[0] += 0.05  # away from where rise and fall meet
    fly()
    rollout.reverse(STEPS, None, record, 7)
    first = rollout.physics.state[0], rollout.physics.rotor[0], rollout.integrated[0]
    start = np.concatenate(first)
    direction = np.random.default_rng(4).standard_normal(start.shape)

    def moved(h):
        state, rotor, integral = np.split(start + h * direction, [18, 22])
        rollout.physics.start(np.arange(ENVIRONMENTS), state, rotor)
        rollout.integrated[0] = integral
        return fly()

    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    assert np.vdot(record[0, :25], direction) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("make_task", [paper_task, crazyflie_task, half_turn_task])
def test_gradient_equals_torch_autograd(make_task):
    torch = pytest.importorskip("torch")
    task = make_task()
    rollout, weights, fly = flown(task)
    gradient = rollout.reverse(STEPS)
    whole = rollout.symmetry.whole(weights)
    parameters = [torch.tensor(w, requires_grad=True) for w in whole]
    loss = torch_loss(torch, task, rollout, parameters)
    assert loss.item() == pytest.approx(fly(), rel=1e-9)
    loss.backward()
    theirs = rollout.symmetry.modes(Weights(*(p.grad.numpy() for p in parameters)))
    for found, g in zip(theirs, gradient, strict=True):
        np.testing.assert_allclose(g, found, rtol=1e-6, atol=1e-9 * np.abs(g).max())


def test_no_environment_counts_for_more_than_its_share_and_each_keeps_its_direction():
    rollout, _, _ = flown(crazyflie_task())

    def adjoints(influence):
        rollout.task = tasks.with_recipe(rollout.task, influence=influence)
        rollout.reverse(STEPS)
        return [a.copy() for a in rollout.actor.adjoint]

    exact, limited = adjoints(None), adjoints(0.8)
    size = np.sqrt(np.square(exact[-1]).sum((0, 1)))
    share = np.minimum(1, 0.8 * np.sort(size)[ENVIRONMENTS // 2] / size)
    assert 0 < (share < 1).sum() < ENVIRONMENTS
    for a, b in zip(exact, limited, strict=True):
        np.testing.assert_allclose(b, a * share, rtol=1e-12)


def torch_loss(torch, task, rollout, parameters):
    """The same flight, written plainly: matrices per environment, no tapes, no windows."""
    e, t64 = rollout.episodes, lambda x: torch.tensor(np.ascontiguousarray(x), dtype=torch.float64)
    first, second, last = parameters
    x0 = t64(rollout.physics.state[0].T)  # (n, 18)
    w, p, v = x0[:, RATE], x0[:, POSITION], x0[:, VELOCITY]
    rotation = x0[:, ROTATION].reshape(-1, 3, 3).transpose(1, 2)
    # all of these episodes begin without a past
    rotor, actions = t64(rollout.physics.rotor[0].T), [torch.zeros(ENVIRONMENTS, 4, dtype=torch.float64)] * 32
    noise, push, extra = t64(rollout.noise), t64(rollout.physics.push), t64(rollout.actor.input)
    limits = t64(rollout._limits.T)
    integral, wind = t64(rollout.integrated[0].T), t64(rollout.physics.wind)
    force, slow, turns = torch.zeros(
        3, ENVIRONMENTS, 3, dtype=torch.float64
    )  # as all of these episodes begin
    if rollout.felt:
        k = rollout.felt.settings
        lead = k.lead_s / k.trend_s
        force_noise = t64(rollout.felt.noise / FORCE_UNIT)
    mixer = torch.tensor([[1.0] * 4, *task.population.layout], dtype=torch.float64)
    scale, offset = t64(e.scale.T[:, 2:]), t64(e.offset.T[:, 2:])
    rise, fall = t64((e.fall + e.rise_more).T), t64(e.fall.T)
    loss, cost, one = 0.0, task.loss, torch.ones(ENVIRONMENTS, 1, dtype=torch.float64)
    for t in range(STEPS):
        seen = torch.cat([w, p, v, rotation.transpose(1, 2).reshape(-1, 9)], 1) + noise[t].T
        clipped = torch.maximum(torch.minimum(seen[:, 3:9], limits), -limits)
        seen = torch.cat([seen[:, :3], clipped, seen[:, 9:]], 1)
        aimed = torch.cat([seen[:, :3], seen[:, 3:6] + integral, seen[:, 6:]], 1)
        trend = force - slow
        loud = trend - trend.clamp(-k.quiet_m_s2, k.quiet_m_s2) if rollout.felt else trend
        sensed = [FORCE_UNIT * (force + lead * loud)] if rollout.felt else []
        sensed += [TURNING_UNIT * turns] if rollout.turning else []
        inputs = torch.cat([*actions[-32:], aimed, *sensed, extra[t, rollout.differentiable :].T], 1)
        if rollout.integral:
            i = rollout.integral
            integral = integral + i.gain_per_s * DT * seen[:, 3:6].clamp(-i.error_limit_m, i.error_limit_m)
        h = torch.tanh(inputs @ first.T)
        h = torch.tanh(torch.cat([h, one], 1) @ second.T)
        actions.append(torch.tanh(torch.cat([h, one], 1) @ last.T))
        late = len(e.latency)
        command = sum(t64(e.latency[i].T) * actions[len(actions) - late + i] for i in range(late))
        behind = command - rotor
        after = rotor + torch.where(behind > 0, rise, fall) * behind
        both = rotor + after
        thrusts, spun = both * (t64(e.curve_2.T) * both + t64(e.curve_1.T)), t64(e.spin.T) * (after - rotor)
        turning = torch.cat([torch.zeros(ENVIRONMENTS, 3), spun @ mixer[3:].T], 1)
        wrench = (thrusts @ mixer.T + turning) * scale + offset
        gyro = t64(e.gyro.T) * torch.stack([w[:, 1] * w[:, 2], w[:, 2] * w[:, 0], w[:, 0] * w[:, 1]], 1)
        w_after = w + wrench[:, 1:] - gyro
        if rollout.turning:
            lag = task.contract.angular_acceleration.time_constant_s
            turns = turns + (w_after - w - DT * turns) / lag + t64(rollout.turning.noise[t] / TURNING_UNIT).T
        half = (w + w_after) * DT / 4
        middle = rotation + torch.linalg.cross(rotation, half[:, None].expand_as(rotation), dim=2)
        turn = 2 * torch.linalg.cross(middle, half[:, None].expand_as(rotation), dim=2)
        if rollout.felt:
            air = wind[t].T - t64(e.drag.T) * v
            felt = (middle.transpose(1, 2) @ air[:, :, None])[:, :, 0]
            felt = torch.cat([felt[:, :2], felt[:, 2:] + wrench[:, :1]], 1)
            slow = slow + DT * (force - slow) / k.trend_s
            force = force + (felt - DT * force) / k.time_constant_s + force_noise[t].T
        v_after = v * t64(e.keep.T) + middle[:, :, 2] * wrench[:, :1] + push[t].T
        p = p + (v + v_after) * DT / 2
        rotation, rotor, w, v = rotation + turn, after, w_after, v_after
        change = actions[-1] - actions[-2]
        trace = (rotation.transpose(1, 2).reshape(-1, 9) * t64(rollout.cost.upright[t].T)).sum(1)
        near = p.abs().clamp(max=cost.linear_m)
        loss = loss + cost.position * (near * (2 * p.abs() - near)).sum()
        loss = loss + cost.velocity * (v**2).sum() + cost.rate * (w**2).sum()
        loss = loss + cost.attitude * ((3 - trace) / 4).sum() + cost.change * (change**2).sum()
        loss = loss + cost.action * ((actions[-1] - t64(e.hover_action.T)) ** 2).sum()
    return loss / (STEPS * ENVIRONMENTS)


USUAL = Airframe.load("crazyflie")
X, Y = 0.03, 0.02
CROSSED = ((X, Y, 0), (-X, -Y, 0), (X, -Y, 0), (-X, Y, 0))
PLUS = ((X, 0, 0), (0, -Y, 0), (-X, 0, 0), (0, Y, 0))
LAYOUTS = {
    "as it is": USUAL,
    "the other way": replace(USUAL, rotor_torque_sign=(1, -1, 1, -1)),
    "another order": replace(USUAL, rotor_position_m=CROSSED, rotor_torque_sign=(1, 1, -1, -1)),
    "plus": replace(USUAL, rotor_position_m=PLUS),
    "propellers with inertia": replace(USUAL, rotor_inertia_kg_m2=1e-8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_integrator_follows_rk4_through_half_a_second(layout):
    follows_rk4(Fixed(LAYOUTS[layout]), LAYOUTS[layout])


@pytest.mark.parametrize("layout", ["as it is", "another order", "plus"])
def test_a_centre_of_mass_off_its_place_is_two_rotors_that_are_stronger(layout):
    airframe, forward, left = LAYOUTS[layout], 6e-5, -3e-5
    x, y, _ = np.array(airframe.rotor_position_m).T
    strength = 1 - np.sign(y) * left / np.abs(y).mean() - np.sign(x) * forward / np.abs(x).mean()

    class Off(Fixed):
        def sample(self, rng, n):
            return replace(super().sample(rng, n), strength=np.outer(strength, np.ones(n)))

    follows_rk4(Off(airframe), airframe.varied(centre_m=(forward, left)))


def follows_rk4(population, airframe):
    task = replace(paper_task(), population=population, wind=Wind(force=0, torque_m=0))
    rollout = Rollout(task, 64, 50, np.random.default_rng(2), np.float64)
    physics, truth = rollout.physics, Dynamics(airframe, 64, DT, np.float64)
    physics.push[:] = np.array([[0], [0], [-9.81 * DT]])
    state = true_states(rollout)
    rng = np.random.default_rng(0)
    command = 0.5 + 0.01 * rng.standard_normal((4, 64))  # held
    for t in range(50):
        physics.forward(t, command)
        truth.step(state, (command + 1) / 2)
    ours = physics.state[50]
    travelled = np.abs(state[0:3] - physics.state[0, POSITION]).max()
    assert np.abs(ours[POSITION] - state[0:3]).max() < 0.01 * travelled
    rotation = rotation_matrices(state[3:7]).transpose(1, 0, 2).reshape(9, 64)
    assert np.abs(ours[ROTATION] - rotation).max() < 0.02


def test_training_integrator_is_second_order():
    """Halving the angle turned per step quarters the error of a free rotation."""

    def error(rate):
        task = replace(paper_task(), wind=Wind(force=0, torque_m=0))
        rollout = Rollout(task, 2, 2, np.random.default_rng(0), np.float64)
        p: Physics = rollout.physics
        start = np.zeros((18, 2))
        start[RATE] = np.array([[0.3], [0.5], [0.8]]) * rate
        start[ROTATION] = np.eye(3).reshape(9, 1)
        p.start(np.arange(2), start, np.full((4, 2), 0.3))
        rollout.episodes.gyro[:] = 0
        p.forward(0, np.full((4, 2), 0.3))
        angle = start[RATE, 0] * DT
        size = np.linalg.norm(angle)
        k = np.cross(np.eye(3), angle / size)
        true = np.eye(3) + np.sin(size) * k + (1 - np.cos(size)) * k @ k
        return np.abs(p.state[1, ROTATION, 0].reshape(3, 3).T - true).max()

    assert error(10) / error(5) == pytest.approx(8, rel=0.1)  # per step: third order


def true_states(rollout):
    """The rollout's start states as `dynamics` wants them: (17, n)."""
    x = rollout.physics.state[0]
    columns = x[ROTATION].reshape(3, 3, -1)  # [column, row]
    r = columns.transpose(1, 0, 2)
    w = np.sqrt(np.maximum(0, 1 + r[0, 0] + r[1, 1] + r[2, 2])) / 2
    q = np.stack(
        [w, (r[2, 1] - r[1, 2]) / (4 * w), (r[0, 2] - r[2, 0]) / (4 * w), (r[1, 0] - r[0, 1]) / (4 * w)]
    )
    rotor = (rollout.physics.rotor[0] + 1) / 2
    return np.concatenate([x[POSITION], q, x[VELOCITY], x[RATE], rotor])
