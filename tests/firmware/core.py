"""The core's modules with Python faces: the tests call these and read like sentences."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfly_hil.protocol import ENUMS, Decoder, Frame, encode, name_of

MS = 1000  # microseconds
LEVEL = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # at rest in the origin
STATES = list(ENUMS["state"])
FLAG = {name: 1 << bit for name, bit in ENUMS["flag"].items()}
EVENTS = [
    *("stop", "disarm", "test_begins", "test_passed", "test_weights", "test_contract", "test_golden"),
    *("arm", "arm_stale", "arm_unsettled", "state_refused", "state_lost", "setpoint_lost", "state_stale"),
    *(
        "state_non_finite",
        "state_implausible",
        "action_non_finite",
        "setpoint_stale",
        "descent_over",
        "ready",
    ),
]
FIRST_CONDITION = EVENTS.index("state_refused")


class SupervisorData(ctypes.Structure):
    """tf_supervisor_t"""

    _fields_ = (("state", ctypes.c_uint8), ("reason", ctypes.c_uint8), ("time_us", ctypes.c_uint32))


class GuardData(ctypes.Structure):
    """tf_guard_t"""

    _fields_ = (
        ("state_age_us", ctypes.c_uint32),
        ("good_us", ctypes.c_uint32),
        ("late_us", ctypes.c_uint32),
        ("bad_age_us", ctypes.c_uint32 * 2),
        ("latched", ctypes.c_uint8),
        ("safe", ctypes.c_float * 4),
    )


class CounterData(ctypes.Structure):
    """tf_counters_t"""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in ("steps", "guard_state", "guard_action", "stale", "deadline_misses")
    )


def reason(body: Any) -> str:
    """The name of an answer's reason."""
    return name_of("reason", body.reason)


def state(body: Any) -> str:
    """The name of an answer's state."""
    return name_of("state", body.state)


def floats(values: Sequence[float] | np.ndarray) -> Any:
    """A C array of floats with these very bits."""
    data = np.ascontiguousarray(values, np.float32)
    return (ctypes.c_float * data.size).from_buffer_copy(data.tobytes())


def moved(**fields: Sequence[float]) -> tuple[float, ...]:
    """A level state at rest with some of its fields replaced."""
    at = {"position": 0, "quaternion": 3, "velocity": 7, "angular_velocity": 10}
    state = list(LEVEL)
    for name, values in fields.items():
        state[at[name] : at[name] + len(values)] = values
    return tuple(state)


class Controller:
    """tf_controller_t, self-tested, at a time of the test's choosing."""

    def __init__(self, library: ctypes.CDLL, now_us: int = 0, address: int | None = None):
        self.c, self.now_us = library, now_us
        self._buffer = ctypes.create_string_buffer(library.bridge_controller_size())
        self.handle = ctypes.c_void_p(address or ctypes.addressof(self._buffer))
        for name, kind in (("supervisor", SupervisorData), ("guard", GuardData), ("counters", CounterData)):
            getattr(library, f"bridge_{name}").restype = ctypes.POINTER(kind)
        library.bridge_input.restype = ctypes.POINTER(ctypes.c_float)
        if address is None:
            library.tf_controller_init(self.handle, ctypes.c_uint32(now_us))
            library.tf_controller_self_test(self.handle)

    supervisor = property(lambda self: self.c.bridge_supervisor(self.handle).contents)
    guard = property(lambda self: self.c.bridge_guard(self.handle).contents)
    counters = property(lambda self: self.c.bridge_counters(self.handle).contents)
    state = property(lambda self: name_of("state", self.supervisor.state))
    reason = property(lambda self: name_of("reason", self.supervisor.reason))
    step_reason = property(lambda self: name_of("reason", self.c.bridge_reason(self.handle)))

    def has(self, flag: str) -> bool:
        return bool(self.c.bridge_flags(self.handle) & FLAG[flag])

    def step(self, dt_us: int, state: Sequence[float] | None = LEVEL) -> np.ndarray:
        """Time passes, then a control step with this state or none; the motor commands."""
        self.now_us = (self.now_us + dt_us) % 2**32
        motors = floats([np.nan] * 4)
        data = None if state is None else floats(state)
        self.c.tf_controller_step(self.handle, ctypes.c_uint32(self.now_us), data, motors)
        return np.array(motors, np.float32)

    def run(
        self, duration_us: int, dt_us: int = 10 * MS, state: Sequence[float] | None = LEVEL
    ) -> np.ndarray:
        """Steps until the duration is over; the last motor commands."""
        for _ in range(duration_us // dt_us):
            motors = self.step(dt_us, state)
        return motors

    def setpoint(self, kind: str, values: Sequence[float] = (), streamed: bool = False) -> str:
        padded = floats([*values, *[0.0] * (18 - len(values))])
        number = ENUMS["setpoint"].get(kind, 99)
        return name_of("reason", self.c.tf_controller_setpoint(self.handle, number, int(streamed), padded))

    def arm(self) -> str:
        return name_of("reason", self.c.tf_controller_arm(self.handle))

    def disarm(self) -> str:
        return name_of("reason", self.c.tf_controller_disarm(self.handle))

    def stop(self) -> str:
        return name_of("reason", self.c.tf_controller_stop(self.handle))

    def take_off(self, dt_us: int = 10 * MS, kind: str = "hover", values: Sequence[float] = ()) -> Controller:
        """Settled, armed, warm and flying."""
        self.run(520 * MS, dt_us)
        assert self.arm() == "none"
        for _ in range(600 * MS // dt_us):
            self.setpoint(kind, values)
            self.step(dt_us)
            if self.state == "flying":
                break
        assert self.state == "flying"
        return self


@dataclass
class App:
    """tf_app_t behind a port whose clock and wire the test holds."""

    c: ctypes.CDLL
    nonce: int = 0x1234

    def __post_init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(self.c.bridge_app_size() + 64)
        self.handle = ctypes.c_void_p((ctypes.addressof(self._buffer) + 63) & ~63)
        self._out = ctypes.create_string_buffer(1 << 16)
        self.decoder = Decoder()
        self.sequence = 0
        self.start()

    def start(self, now_us: int = 0) -> None:
        self.c.bridge_app_init(self.handle, self.nonce, ctypes.c_uint32(now_us))
        self.c.bridge_app_controller.restype = ctypes.c_void_p
        self.controller = Controller(self.c, address=self.c.bridge_app_controller(self.handle))
        self.boot = self.sent()

    def sent(self) -> list[Frame]:
        """Frames sent since the last look."""
        n = self.c.bridge_sent(self._out)
        return self.decoder.feed(self._out.raw[:n])

    def wire(self, data: bytes) -> list[Frame]:
        """Bytes arrive, the app polls until idle; what it sends."""
        for at in range(0, len(data), 1024):
            piece = data[at : at + 1024]
            self.c.bridge_receive(self.handle, piece, len(piece))
            self.poll()
        return self.sent()

    def poll(self, now_us: int | None = None) -> bool:
        if now_us is not None:
            self.c.bridge_set_time(ctypes.c_uint32(now_us % 2**32))
        return bool(self.c.tf_app_poll(self.handle))

    def ask(self, name: str, sequence: int | None = None, **values: Any) -> Any:
        """One request, numbered by itself unless told otherwise; the body of its one answer."""
        if sequence is None:
            self.sequence = sequence = (self.sequence + 1) % 2**16
        answers = self.wire(encode(name, sequence, **values))
        answers = [f for f in answers if (f.name, f.sequence) != ("control", 0) or not sequence]  # unasked
        assert len(answers) == 1, answers
        assert answers[0].sequence == sequence
        return answers[0].body

    def step(self, time_us: int, state: Sequence[float] = LEVEL, sequence: int | None = None) -> Any:
        fields = {"position": state[:3], "quaternion": state[3:7], "velocity": state[7:10]}
        return self.ask("step", sequence, time_us=time_us % 2**32, **fields, angular_velocity=state[10:])

    def setpoint(self, kind: str = "hover", values: Sequence[float] = (), sequence: int | None = None) -> Any:
        padded = [*values, *[0.0] * (18 - len(values))]
        number = ENUMS["setpoint"][kind]
        return self.ask("setpoint", sequence, kind=number, flags=0, reserved=0, values=padded)

    def arm(self, sequence: int | None = None, **changes: int) -> Any:
        who = self.ask("hello")
        fields = {name: getattr(who, name) for name in ("boot_nonce", "policy_crc", "contract_hash")}
        return self.ask("arm", sequence, **(fields | changes))

    def take_off(self) -> int:
        """Lock-step, settled, armed, warm, flying; the time of the last step."""
        self.ask("set_clock", clock=ENUMS["clock"]["link"])
        self.setpoint()
        now = 0
        for now in range(0, 520 * MS, 10 * MS):
            self.step(now)
        assert self.arm().reason == 0
        while self.controller.state != "flying":
            now += 10 * MS
            self.step(now)
        return now
