"""What must hold in every flight, whatever goes wrong: a model of the supervisor, and limits on the motors.

The model is written from the specification, in a few lines of Python, and is fed what reached the chip. After
every step the chip's state and reason must be the model's, and its motors must be what that state allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfly_hil.protocol import Decoder, Frame, name_of

STALE_US, LOST_US = 100_000, 500_000  # without a good state: level and descend; motors off
TOO_SLOW_US = 250_000  # every good state late for so long: the same as none
LATE_PERIODS = 2.5  # of the policy's rate, since the one before
BAD_WINDOW_US, BAD_COUNT = 100_000, 3  # so many bad states within the window: degraded
DESCENT_US = 5_000_000  # degraded for so long: motors off
MOTORS_ON = ("armed", "flying", "degraded")
# A plausible state: m, 1, m/s, rad/s by row; and | |q|^2 - 1 |.
LIMIT = np.repeat([100.0, np.inf, 30.0, 60.0], [3, 4, 3, 3])
NORM_ERROR = 0.1


def verdict(body: Any) -> str:
    """What a chip must think of a step frame's state: none, non_finite_state or implausible_state."""
    s = np.concatenate([body.position, body.quaternion, body.velocity, body.angular_velocity]).astype(float)
    if not np.isfinite(s).all():
        return "non_finite_state"
    with np.errstate(over="ignore"):
        norm2 = (s[3:7] ** 2).sum()
    return "none" if (np.abs(s) <= LIMIT).all() and abs(norm2 - 1) <= NORM_ERROR else "implausible_state"


class Watch:
    """Follows one flight from take-off."""

    def __init__(self, rate_hz: float) -> None:
        """``rate_hz``: the policy's."""
        self.state, self.reason = "disarmed", "none"
        self._gap_us = int(LATE_PERIODS * 1e6 / rate_hz)
        self._decoder = Decoder()
        self._sequence: int | None = None  # of the last frame that counted

    def took_off(self, now_us: int) -> None:
        """The chip flies, on a good state of this moment."""
        self.state, self.reason = "flying", "none"
        self._good_us = self._since_us = now_us
        self._late_us = 0
        self._bad_us: list[int] = []
        self._latched = ""

    def restarted(self) -> None:
        """The chip has lost its memory: nothing may turn until it is armed again."""
        self.state, self.reason = "disarmed", "none"
        self._decoder, self._sequence = Decoder(), None

    @property
    def motors_on(self) -> bool:
        """Whether motors may turn."""
        return self.state in MOTORS_ON

    def sent(self, wire: bytes) -> None:
        """These bytes went to the chip."""
        for frame in self._decoder.feed(wire):
            if frame.name == "step" and self._newer(frame):
                self._step(frame.body.time_us, verdict(frame.body))

    def check(self, control: Any, sequence: int) -> list[str]:
        """The answer to the tick with this number: what is wrong with it, one line each."""
        self._sequence = sequence  # whatever state is late now is old
        self._step(control.time_us, "")
        state, reason = name_of("state", control.state), name_of("reason", control.reason)
        wrong = []
        if (state, reason) != (self.state, self.reason):
            wrong.append(f"state {state} ({reason}), expected {self.state} ({self.reason})")
        motors = np.asarray(control.motors)
        if not (np.isfinite(motors).all() and (motors >= 0).all() and (motors <= 1).all()):
            wrong.append(f"motors {motors} are not all in 0..1")
        if not self.motors_on and motors.any():
            wrong.append(f"motors {motors} turn in state {self.state}")
        return [f"at {control.time_us} us: {text}" for text in wrong]

    def _newer(self, frame: Frame) -> bool:
        ahead = 1 if self._sequence is None else (frame.sequence - self._sequence) & 0xFFFF
        if not 0 < ahead < 0x8000:
            return False
        self._sequence = frame.sequence
        return True

    def _step(self, now_us: int, found: str) -> None:
        """One control step: ``found`` is the verdict on its state, empty when none came."""
        if not self.motors_on:
            return
        if found not in ("", "none"):
            self._bad_us = [t for t in self._bad_us if now_us - t <= BAD_WINDOW_US] + [now_us]
            if len(self._bad_us) >= BAD_COUNT:
                self._latched = found
        age_us = now_us - self._good_us
        if age_us >= LOST_US:
            of_late = [t for t in self._bad_us if now_us - t <= BAD_WINDOW_US]
            self._go("failsafe", "guard_refused" if len(of_late) > 1 else "link_lost", now_us)
        elif self.state == "degraded":
            if now_us - self._since_us >= DESCENT_US:
                self._go("failsafe", "descent_over", now_us)
        elif age_us >= STALE_US or self._late_us >= TOO_SLOW_US:
            self._go("degraded", "stale_state", now_us)
        elif self._latched:
            self._go("degraded", self._latched, now_us)
        if found == "none":
            self._late_us = self._late_us + age_us if age_us >= self._gap_us else 0
            self._good_us = now_us

    def _go(self, state: str, reason: str, now_us: int) -> None:
        self.state, self.reason, self._since_us = state, reason, now_us
