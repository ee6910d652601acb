"""Plants: what a policy can be flown in, by name. Ours, and dynamics that others wrote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any, Protocol

from numpy.typing import NDArray

from tinyfly.airframe import Airframe
from tinyfly.dynamics import Dynamics
from tinyfly.errors import UserError

Array = NDArray[Any]

# Name -> module and class; imported when asked for, because each needs a package of its own.
FOREIGN = {
    "drone-models": ("drone_models", "DroneModels"),
    "mujoco": ("mujoco", "MuJoCo"),
    "crazyflow": ("crazyflow", "Crazyflow"),
    "l2f": ("l2f", "L2F"),
}
NAMES = ("rk4", *FOREIGN)


class Plant(Protocol):
    """Advances n vehicles by one control step, as `dynamics.Dynamics.step` does."""

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None: ...


class Abreast:
    """Several airframes in one plant: each has an equal run of the columns."""

    def __init__(self, name: str, airframes: Sequence[Airframe], n: int, dt_s: float) -> None:
        each, rest = divmod(n, len(airframes))
        if rest:
            raise ValueError(f"{n} vehicles cannot be divided among {len(airframes)} airframes")
        self._plants = [
            (slice(i * each, (i + 1) * each), make_plant(name, airframe, each, dt_s))
            for i, airframe in enumerate(airframes)
        ]

    def step(
        self, state: Array, command: Array, push: Array | None = None, mass_scale: Array | None = None
    ) -> None:
        """Advance ``state`` (17, n) in place; arguments as `dynamics.Dynamics.step`."""
        for columns, plant in self._plants:
            own = (None if x is None else x[:, columns] for x in (push, mass_scale))
            plant.step(state[:, columns], command[:, columns], *own)


def make_plant(name: str, airframe: Airframe, n: int, dt_s: float) -> Plant:
    """A plant by name; raises UserError."""
    if name == "rk4":
        return Dynamics(airframe, n, dt_s)
    if name not in FOREIGN:
        raise UserError(f"no plant {name!r}: expected one of {', '.join(NAMES)}")
    module, kind = FOREIGN[name]
    with redirect_stdout(sys.stderr):  # what its packages print when they are imported is no result
        plant: Plant = getattr(import_module(f"tinyfly.plants.{module}"), kind)(airframe, n, dt_s)
    return plant
