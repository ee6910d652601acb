"""Real time: the chip on its own clock, the simulator on the wall's, and a deadline every period.

Lock-step, which everything else here uses, says what the chip computes; this says whether it computes it in
time. A state goes out every period whatever has come back; the rotors turn as the newest answer says. An
answer that comes after its period is a missed deadline. The chip counts its own: ``stats`` in
docs/protocol.md.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfly_hil.protocol import ENUMS, name_of
from tinyfly_hil.target import Target, TargetError, open_target, step_values
from tinyfly_hil.world import Scenario, World

RATE_HZ = 500
SETTLED = 1 << ENUMS["flag"]["settled"]
STRAGGLERS_S = 0.1  # answers still under way at the end
LOST_M = 0.5  # a hover farther off than this is none
PATIENCE_S = 10.0  # to arm and warm up: the chip wants half a second without a gap for each


@dataclass(frozen=True, slots=True)
class Punctuality:
    """What a flight in real time counted."""

    state: str  # of the chip, at the end
    hover_error_m: float  # mean over the second half
    states: int  # sent in flight
    missed: int  # answers that came after their period, or never
    late_sends: int  # states that this program itself sent more than half a period late
    answer_ms_median: float
    answer_ms_max: float
    chip_late_steps: int  # by the chip's clock: control steps that came a whole period (2 ms) late
    chip_late_us_max: int
    chip_deadline_misses: int  # by the chip's clock: states that came later than the policy's rate allows

    @property
    def lost(self) -> bool:
        """Whether it flies no more, or not where it should."""
        return self.state != "flying" or not self.hover_error_m < LOST_M


class _Wall:
    """Sends a state each period and keeps the newest answer."""

    def __init__(self, target: Target, rate_hz: int):
        self.target, self.period_s = target, 1 / rate_hz
        self.start_s = time.monotonic()
        self.control: Any = None
        self.missed = self.late_sends = self.sent = 0
        self.answer_s: list[float] = []

    def period(self, sensed: Any) -> None:
        """One period: a state at its beginning, whatever comes until its end."""
        begin_s = self.start_s + self.sent * self.period_s
        self.late_sends += time.monotonic() - begin_s > self.period_s / 2
        self.sent += 1
        now_us = round((begin_s - self.start_s) * 1e6)
        number = self.target.link.send("step", **step_values(now_us, sensed))
        answered = False
        for frame, at_s in self.target.link.arrivals(begin_s + self.period_s):
            if frame.name == "control":
                self.control = frame.body
            if frame.sequence == number:
                answered = True
                self.answer_s.append(at_s - begin_s)
        self.missed += not answered

    def count_anew(self) -> None:
        """Forget what was counted, not what time it is."""
        self.missed = self.late_sends = 0
        self.answer_s.clear()


def fly_free(target: Target, scenario: Scenario) -> Punctuality:
    """Fly a scenario in real time, at its rate, on a freshly started chip; it is stopped at the end."""
    world = World(scenario, target.airframe)
    target.free_run()
    target.setpoint(scenario.kind, scenario.values)
    wall = _Wall(target, scenario.rate_hz)
    held = world.sense()
    _take_off(wall, held)
    wall.count_anew()
    error_m = []
    for _ in range(scenario.steps):
        wall.period(world.sense())
        world.advance(wall.control.motors)
        error_m.append(float(np.linalg.norm(world.position)))
    state = name_of("state", wall.control.state)
    list(target.link.arrivals(time.monotonic() + STRAGGLERS_S))
    target.stop()
    stats = target.stats()
    return Punctuality(
        state=state,
        hover_error_m=float(np.mean(error_m[len(error_m) // 2 :])),
        states=scenario.steps,
        missed=wall.missed,
        late_sends=wall.late_sends,
        answer_ms_median=1e3 * float(np.median(wall.answer_s or [np.nan])),
        answer_ms_max=1e3 * max(wall.answer_s, default=np.nan),
        chip_late_steps=stats.late_steps,
        chip_late_us_max=stats.late_us_max,
        chip_deadline_misses=stats.deadline_misses,
    )


def _take_off(wall: _Wall, held: Any) -> None:
    """States until the chip is settled; arm; states until it flies."""
    end_s, armed = time.monotonic() + PATIENCE_S, False
    while time.monotonic() < end_s:
        wall.period(held)
        if wall.control is None:
            continue
        if name_of("state", wall.control.state) == "flying":
            return
        if not armed and wall.control.flags & SETTLED:
            wall.target.arm()
            armed = True
    raise TargetError("the chip does not take off in real time", wall.target.link.transcript)


def measure(policy: Path, port: str, seconds: float, rate_hz: int = RATE_HZ) -> dict[str, Any]:
    """A hover of ``seconds``: what `tinyfly hil --free-run` does."""
    with open_target(port, policy) as target:
        found = fly_free(target, Scenario("free-running", seconds, noise=1.0, rate_hz=rate_hz))
        failed = found.missed + found.lost
        return {"target": target.identity.target, "rate_hz": rate_hz, **asdict(found), "failed": failed}
