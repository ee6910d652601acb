"""Watch the chip fly: one figure-eight in the loop, shown in the terminal while it happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinyfly.watch import watch
from tinyfly_hil.flight import Chip, fly
from tinyfly_hil.setpoint import path
from tinyfly_hil.target import open_target
from tinyfly_hil.world import Scenario, World

EIGHT = Scenario("figure-eight", 13.0, "figure_eight", (0, 0, 0, 1, 1, 5.5, 2))  # as in the paper, two rounds


def watch_flight(policy: Path, port: str = "qemu", scenario: Scenario = EIGHT) -> dict[str, Any]:
    """Fly ``scenario`` on the chip at ``port``, as fast as chip and line allow; its target and error (m).

    Raises UserError when the port cannot be opened, or runs another policy.
    """
    times = np.arange(scenario.steps) / scenario.rate_hz
    with open_target(port, policy) as target, watch(f"{target.identity.target} ({port})") as view:
        chip = Chip(target)
        reference = path(scenario.kind, scenario.values, np.array(scenario.start[:3])).at(times)[0].T

        def note(k: int, world: World) -> None:
            view(float(times[k]), world.state[:, 0], reference[k], chip.controls[-1].motors)

        flight = fly(scenario, chip, note)
        return {"target": target.identity.target, "rmse_m": flight.rmse_m}
