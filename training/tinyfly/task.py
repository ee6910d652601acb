"""Tasks: what is flown, how widely it is randomised, what is asked of it, and the recipe that trains it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tinyfly.airframe import Airframe
from tinyfly.contract import AngularAcceleration, Channel, Contract, Integral, SpecificForce, paper_contract
from tinyfly.disturbance import Noise, Wind
from tinyfly.errors import UserError
from tinyfly.population import Fixed, Ranges
from tinyfly.start import Start

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Paths:
    """Random references."""

    moving: float = 1.0  # share of environments whose reference moves
    period_s: Range = (1.8, 8.0)
    acceleration_m_s2: float = 9.0
    extent_m: float = 1.2


@dataclass(frozen=True, slots=True)
class Loss:
    """Weights of the squares summed at every step.

    Attitude's is on sin^2(angle / 2) from the attitude whose thrust balances wind, drag and the reference's
    acceleration: level, when nothing pushes.
    """

    position: float = 20.0
    attitude: float = 1.0
    velocity: float = 0.2
    rate: float = 0.01
    action: float = 0.05  # deviation from hover
    change: float = 2.0  # action minus previous action
    linear_m: float = 100.0  # position errors beyond this (each axis) cost linearly, not squared


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast. Horizons grow from the first to the second over `grow` of the updates."""

    updates: int = 110
    environments: int = 64
    horizon: tuple[int, int] = (30, 60)
    grow: float = 0.6
    rate: float = 0.04
    rate_end: float = 0.001
    average: float = 0.0  # the last share of the updates, over which the weights' mean is the result
    momentum: float = 0.85
    reset: float = 0.35  # share of environments that start afresh at every update; the others fly on
    adjoint_limit: float = 450.0  # times 1 / (environments * horizon)
    influence: float | None = None  # of an environment on the gradient, times the median one's, at most
    decay: float = 0.0  # of the weights, times the rate
    critic: bool = True
    critic_features: int = 64  # random ones, besides the plain
    width: int = 64
    initial_size: float = 1.0  # of the weights, times the usual (`weights.initial_weights`)
    mirrors: bool = True  # the policy shares the airframe's mirror symmetries (`symmetry`)


@dataclass(frozen=True, slots=True)
class Task:
    """Everything the trainer needs to know."""

    name: str
    contract: Contract
    population: Fixed | Ranges
    starts: tuple[tuple[float, Start], ...] = ((1.0, Start()),)  # share and kind
    lost_m: float = 2.0  # an environment farther than this from its reference starts afresh
    wind: Wind = field(default_factory=Wind)
    noise: Noise = field(default_factory=Noise)
    latency_s: float = 0.0  # uniform from none to this
    paths: Paths | None = None
    loss: Loss = field(default_factory=Loss)
    recipe: Recipe = field(default_factory=Recipe)


# About one over what a channel's values are in flight. Small inputs would be learnt slowly, by large weights,
# and eight bits for the weights would be spent on those.
SCALES = {
    "position_error": 4.0,
    "position_integral": 4.0,  # training adds it to the position
    "rotation": 2.0,
    "angular_acceleration": 0.02,
    "reference_acceleration": 0.2,
    "acceleration_preview": 0.2,
}
WILD = Start(angle_deg=180.0, velocity_m_s=3.0, rate_rad_s=10.0, level=0.0)  # to recover from anything


def paper(airframe: Airframe, budget_s: float | None = None) -> Task:
    """The task of *Learning to Fly in Seconds*: hover its model from its start states, its 146 inputs.

    ``budget_s`` scales the number of updates, about a second's work for each second on a fast core; little
    time is best spent on short windows. Unlike the paper's, ours trains with 0..22 ms of latency: it costs
    2 mm of hover, and without it every vehicle is lost at 20 ms.
    """
    budget_s = 1.0 if budget_s is None else budget_s
    if not 0.3 <= budget_s <= 60:
        raise UserError(f"--budget {budget_s:g} s: expected 0.3 to 60 s")
    recipe = Recipe(updates=round(84 * budget_s), environments=40, initial_size=2.0)
    if budget_s < 0.75:
        recipe = replace(
            recipe,
            updates=round(108 * budget_s),
            environments=24,
            horizon=(20, 38),
            adjoint_limit=300.0,
            decay=0.2,
        )
    contract = _scaled(paper_contract(hover_action=airframe.hover_action, thrust_curve=airframe.thrust_curve))
    loss = Loss(position=100.0, linear_m=0.1, attitude=2.0, velocity=0.5)
    return Task("paper", contract, Fixed(airframe), latency_s=0.022, loss=loss, recipe=recipe)


def crazyflie(airframe: Airframe) -> Task:
    """Hold position and follow references with any Crazyflie, whatever its mass, battery and delays."""
    return Task(
        "crazyflie",
        _tracking_contract(airframe),
        Ranges.around(airframe),
        starts=((0.64, Start()), (0.36, WILD)),
        noise=Noise(tilt_bias_rad=0.005, velocity_bias_m_s=0.005, rate_bias_rad_s=0.01),
        wind=Wind(gust=0.03),
        latency_s=0.03,
        paths=Paths(),
        lost_m=5.0,
        loss=Loss(position=1500.0, linear_m=0.02, attitude=40.0, velocity=2.0, rate=0.04, change=1.0),
        recipe=Recipe(
            updates=330,
            environments=144,
            horizon=(30, 70),
            rate=0.02,
            rate_end=0.002,
            average=0.3,
            adjoint_limit=3000.0,
            influence=2.0,
            decay=0.25,
            critic_features=192,
            width=48,
        ),
    )


def tracking(airframe: Airframe) -> Task:
    """Follow references with one airframe as closely as it can."""
    return Task(
        "tracking",
        _tracking_contract(airframe),
        Fixed(airframe, mass=(0.75, 1.25), centre=(-0.05, 0.05)),
        starts=((0.95, Start()), (0.05, WILD)),
        lost_m=4.0,
        latency_s=0.022,
        paths=Paths(period_s=(1.3, 8.0), acceleration_m_s2=12.0),
        loss=Loss(position=500.0, linear_m=0.1, velocity=0.1, change=0.5),
        recipe=Recipe(
            updates=300,
            environments=64,
            horizon=(30, 70),
            rate=0.03,
            rate_end=0.005,
            average=0.25,
            reset=0.3,
            adjoint_limit=2000.0,
            decay=0.3,
            critic=False,
            width=48,
        ),
    )


TASKS = {"paper": paper, "crazyflie": crazyflie, "tracking": tracking}


def make_task(name: str, airframe: Airframe, budget_s: float | None = None) -> Task:
    """A task by name; raises UserError."""
    if name not in TASKS:
        raise UserError(f"no task {name!r}: expected one of {', '.join(TASKS)}")
    if budget_s is not None and name != "paper":
        raise UserError("--budget goes with --task paper")
    return paper(airframe, budget_s) if name == "paper" else TASKS[name](airframe)


def _tracking_contract(airframe: Airframe) -> Contract:
    previews = (0.08, 0.16)
    contract = Contract(
        channels=(
            Channel("action_history", 4 * 32),
            Channel("position_error", 3, limit=2.0),
            Channel("rotation", 9),
            Channel("velocity_error", 3, limit=8.0),
            Channel("angular_velocity", 3),
            Channel("position_integral", 3),
            Channel("specific_force", 3),
            Channel("angular_acceleration", 3),
            Channel("reference_acceleration", 3),
            Channel("acceleration_preview", 3 * len(previews)),
        ),
        integral=Integral(gain_per_s=0.7, error_limit_m=0.07, limit_m=0.3),
        specific_force=SpecificForce(
            time_constant_s=0.1, trend_s=0.2, lead_s=0.22, quiet_m_s2=0.04, limit_m_s2=6.0
        ),
        angular_acceleration=AngularAcceleration(),
        preview_s=previews,
        hover_action=airframe.hover_action,
        thrust_curve=airframe.thrust_curve,
    )
    return _scaled(contract)


def _scaled(contract: Contract) -> Contract:
    """The contract with inputs of about one."""
    channels = (replace(c, scale=SCALES.get(c.name, 1.0)) for c in contract.channels)
    return replace(contract, channels=tuple(channels))


def with_history(task: Task, length: int, rate_hz: float = 100.0) -> Task:
    """The same task with another action history; none when the length is 0 (benchmarks use it)."""
    c = task.contract
    channels = tuple(
        replace(x, size=4 * length) if x.name == "action_history" else x
        for x in c.channels
        if length or x.name != "action_history"
    )
    return replace(
        task, contract=replace(c, channels=channels, history_length=length, history_rate_hz=rate_hz)
    )


def with_recipe(task: Task, **changes) -> Task:
    """The same task, trained otherwise (benchmarks use it)."""
    return replace(task, recipe=replace(task.recipe, **changes))
