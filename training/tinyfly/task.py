"""Tasks: what is flown, how widely it is randomised, what is asked of it, and the recipe that trains it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from tinyfly.airframe import Airframe
from tinyfly.contract import Channel, Contract, Integral, paper_contract
from tinyfly.disturbance import Noise, Wind
from tinyfly.errors import UserError
from tinyfly.population import Fixed, Ranges
from tinyfly.start import Start

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Paths:
    """Random references."""

    moving: float = 1.0  # share of environments whose reference moves
    period_s: Range = (1.3, 8.0)
    acceleration_m_s2: float = 6.5
    extent_m: float = 1.2


@dataclass(frozen=True, slots=True)
class Loss:
    """Weights of the squares summed at every step; attitude's is on (3 - tr R) / 4 = sin^2(angle / 2)."""

    position: float = 20.0
    attitude: float = 1.0
    velocity: float = 0.2
    rate: float = 0.01
    action: float = 0.05  # deviation from hover
    change: float = 2.0  # action minus previous action
    linear_m: float = 100.0  # position errors beyond this (each axis) cost linearly, not squared

    def between(self, other: Loss, share: float) -> Loss:
        """Geometrically between this and another, 0..1."""
        return Loss(
            *(getattr(self, f.name) ** (1 - share) * getattr(other, f.name) ** share for f in fields(Loss))
        )


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast. Horizons grow from the first to the second over `grow` of the updates."""

    updates: int = 110
    environments: int = 64
    horizon: tuple[int, int] = (30, 60)
    grow: float = 0.6
    harden: Range = (0.3, 0.8)
    rate: float = 0.04
    rate_end: float = 0.001
    momentum: float = 0.85
    reset: float = 0.35  # share of environments that start afresh at every update; the others fly on
    adjoint_limit: float = 450.0  # times 1 / (environments * horizon)
    critic: bool = True
    width: int = 64


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
    final_loss: Loss | None = None  # what the loss becomes from the first to the second of `recipe.harden`
    recipe: Recipe = field(default_factory=Recipe)


WILD = Start(angle_deg=180.0, velocity_m_s=3.0, rate_rad_s=10.0, level=0.0)  # to recover from anything

# Where the airframe has to be found out first, whole manoeuvres from fresh starts measured better than short
# windows with a critic (docs/training.md).
LONG_WINDOWS = Recipe(
    updates=200, horizon=(30, 150), rate=0.03, reset=1.0, adjoint_limit=2000.0, critic=False
)


def paper(airframe: Airframe, budget_s: float | None = None) -> Task:
    """The task of *Learning to Fly in Seconds*: hover its model from its start states, its 146 inputs.

    ``budget_s`` scales the number of updates, about a second's work for each second on a fast core; little
    time is best spent on short windows. Unlike the paper's, ours trains with 0..20 ms of latency: it costs
    2 mm of hover, and without it every vehicle is lost at 20 ms.
    """
    budget_s = 1.0 if budget_s is None else budget_s
    if not 0.3 <= budget_s <= 60:
        raise UserError(f"--budget {budget_s:g} s: expected 0.3 to 60 s")
    if budget_s < 0.75:
        recipe = Recipe(updates=round(150 * budget_s), horizon=(20, 38), adjoint_limit=300.0)
    else:
        recipe = Recipe(updates=round(130 * budget_s))
    contract = paper_contract(hover_action=airframe.hover_action, thrust_curve=airframe.thrust_curve)
    return Task("paper", contract, Fixed(airframe), latency_s=0.02, recipe=recipe)


def crazyflie(airframe: Airframe) -> Task:
    """Hold position and follow references with any Crazyflie, whatever its mass, battery and delays."""
    return Task(
        "crazyflie",
        _tracking_contract(airframe),
        Ranges(),
        starts=((0.85, Start()), (0.15, WILD)),
        noise=Noise(tilt_bias_rad=0.005, velocity_bias_m_s=0.005, rate_bias_rad_s=0.01),
        wind=Wind(gust=0.03),
        latency_s=0.022,
        paths=Paths(),
        loss=Loss(position=60.0, attitude=20.0),
        recipe=replace(LONG_WINDOWS, environments=96, horizon=(30, 130)),
    )


def tracking(airframe: Airframe) -> Task:
    """Follow references with one airframe as closely as it can."""
    return Task(
        "tracking",
        _tracking_contract(airframe),
        Fixed(airframe),
        latency_s=0.022,
        paths=Paths(acceleration_m_s2=10.0),
        loss=Loss(position=200.0, change=0.5, velocity=0.1),
        recipe=LONG_WINDOWS,
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
    return Contract(
        channels=(
            Channel("action_history", 4 * 32),
            Channel("position_error", 3, limit=2.0),
            Channel("rotation", 9),
            Channel("velocity_error", 3, limit=4.0),
            Channel("angular_velocity", 3),
            Channel("position_integral", 3),
            Channel("reference_acceleration", 3, scale=0.1),
            Channel("acceleration_preview", 3 * len(previews), scale=0.1),
        ),
        integral=Integral(gain_per_s=2.0, error_limit_m=0.2, limit_m=2.0),
        preview_s=previews,
        hover_action=airframe.hover_action,
        thrust_curve=airframe.thrust_curve,
    )


def with_recipe(task: Task, **changes) -> Task:
    """The same task, trained otherwise (benchmarks use it)."""
    return replace(task, recipe=replace(task.recipe, **changes))
