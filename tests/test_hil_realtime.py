"""Deadlines in real time, on a clock and a chip that the test holds."""

from dataclasses import replace

import numpy as np
import pytest

from tinyfly.airframe import Airframe
from tinyfly_hil import realtime
from tinyfly_hil.protocol import ENUMS, Frame, make_body
from tinyfly_hil.world import Scenario

PERIOD_S = 0.002
STATE = ENUMS["state"]


class PunctualChip:
    """Answers every state ``delays[k]`` seconds after it was sent; settled at once, flying once armed."""

    airframe = Airframe.load("crazyflie")

    def __init__(self, delays, monkeypatch):
        self.link, self.now_s, self.delays = self, 100.0, list(delays)
        self.state, self.number, self.coming = "disarmed", 0, []
        self.transcript = []
        monkeypatch.setattr(realtime.time, "monotonic", lambda: self.now_s)

    def send(self, name, **values):
        assert name == "step"
        self.number += 1
        delay_s = 0.001 if self.state == "disarmed" or not self.delays else self.delays.pop(0)
        flags = realtime.SETTLED if self.state == "disarmed" else 0
        body = {"motors": np.full(4, 0.5, np.float32), "state": STATE[self.state], "flags": flags, "cost": 0}
        control = make_body("control", {"time_us": 0, "reason": 0} | body)
        self.coming.append((self.now_s + delay_s, Frame("control", self.number, control)))
        return self.number

    def arrivals(self, until_s):
        while due := [c for c in self.coming if c[0] <= until_s]:
            self.coming.remove(due[0])
            self.now_s = max(self.now_s, due[0][0])
            yield due[0][1], self.now_s
        self.now_s = max(self.now_s, until_s)

    def arm(self):
        self.state, self.armed_at = "flying", self.number

    def stats(self):
        names = ("late_steps", "late_us_max", "deadline_misses")
        return type("Stats", (), dict(zip(names, (1, 2, 3), strict=True)))

    def free_run(self):
        pass

    stop = free_run

    def setpoint(self, kind, values):
        pass


def flown(delays, monkeypatch):
    chip = PunctualChip([0.001, *delays], monkeypatch)  # the first answer after the arm: take-off
    scenario = Scenario("real time", len(delays) * PERIOD_S, rate_hz=500)
    return realtime.fly_free(chip, scenario)


def test_every_answer_within_its_period_is_no_missed_deadline(monkeypatch):
    found = flown([0.001] * 20, monkeypatch)
    assert (found.states, found.missed, found.late_sends, found.state) == (20, 0, 0, "flying")
    assert (found.answer_ms_median, found.answer_ms_max) == pytest.approx((1.0, 1.0))
    assert (found.chip_late_steps, found.chip_late_us_max, found.chip_deadline_misses) == (1, 2, 3)
    assert not found.lost


@pytest.mark.parametrize("end", [{"state": "failsafe"}, {"hover_error_m": 9.9}, {"hover_error_m": np.nan}])
def test_a_punctual_flight_that_ends_elsewhere_is_lost(monkeypatch, end):
    assert replace(flown([0.001] * 20, monkeypatch), **end).lost


def test_an_answer_after_its_period_and_one_that_never_comes_are_missed(monkeypatch):
    found = flown([0.001, 0.003, 0.001, np.inf, 0.001], monkeypatch)
    assert (found.missed, found.late_sends) == (2, 0)


def test_a_chip_that_never_flies_is_reported(monkeypatch):
    chip = PunctualChip([], monkeypatch)
    chip.arm = lambda: None
    with pytest.raises(realtime.TargetError, match="does not take off in real time"):
        realtime.fly_free(chip, Scenario("real time", 0.1, rate_hz=500))
