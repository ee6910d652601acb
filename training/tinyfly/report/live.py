"""A flight of the simulator in the terminal, at the speed at which it happens."""

from __future__ import annotations

import sys
from time import monotonic, sleep

from tinyfly.airframe import Airframe
from tinyfly.evaluate import SCENARIOS
from tinyfly.flight import Conditions, Controller
from tinyfly.report.flights import fly_episodes
from tinyfly.watch import watch


def watch_flight(controller: Controller, airframe: Airframe, label: str) -> None:
    """Fly the paper's figure-eight, 10 ms late, and show it. Does nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        return
    flown = fly_episodes(controller, airframe, SCENARIOS["figure-eight 5.5 s"], 1, Conditions(latency_s=0.01))
    assert flown.flight.states is not None
    start = monotonic()
    with watch(label) as view:
        for k, state in enumerate(flown.flight.states[:, :, 0]):
            time_s = (k + 1) * flown.flight.dt_s
            sleep(max(0.0, start + time_s - monotonic()))
            view(time_s, state, flown.reference[k + 1], (flown.actions[k, :, 0] + 1) / 2)
