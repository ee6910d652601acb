"""A chip that flies, wherever it is: in QEMU, as a native program, or on the desk behind a serial port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinyfly.airframe import Airframe
from tinyfly.errors import UserError
from tinyfly.evaluate import airframe_of
from tinyfly.policy import Policy
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, VELOCITY
from tinyfly_hil import emulator
from tinyfly_hil.bridge import serial_line
from tinyfly_hil.emulator import Emulator
from tinyfly_hil.link import ANSWER_S, Link, Restarted, TargetError, usb_ports
from tinyfly_hil.protocol import ENUMS, Frame, name_of, reply_of

if TYPE_CHECKING:
    from tinyfly_hil.build import Build

SETPOINT_VALUES = 18
STOP_AGAIN_S = (
    0.1,
    0.2,
    0.4,
)  # without an answer for so long a stop is sent again; then it has link.answer_s


class Refused(TargetError):
    """The chip said no; ``reason`` is its word for why, ``state`` where its supervisor is."""

    def __init__(self, what: str, reason: str, state: str, transcript: list[str]):
        super().__init__(f"the chip refuses {what}: {reason} (state {state})", transcript)
        self.reason, self.state = reason, state


class Target:
    """An identified chip. Every method waits for its answer, at most ``link.answer_s``, then TargetError.

    Replies are named tuples with the fields of docs/protocol.md.
    """

    def __init__(
        self,
        link: Link,
        identity: Any,
        port: str,
        airframe: Airframe,
        build: Build | None = None,
        source: Source | None = None,
    ):
        self.link = link
        self.identity = identity
        self.port = port
        self.airframe = airframe  # that the policy was trained to fly
        self.build = build  # what runs here, when we built it
        self._source = source

    @property
    def cost_unit(self) -> str:
        """What ``cost`` counts here: instructions, cycles or nanoseconds."""
        return name_of("cost_unit", self.identity.cost_unit)

    @property
    def pid(self) -> int | None:
        """The emulator's process, when there is one."""
        return self._source.pid if self._source else None

    def with_image(self, image: Path) -> str:
        """The port of a chip like this one that runs another image (emulators only)."""
        line, name = ("line:" if self.port.startswith("line:") else ""), self.port.removeprefix("line:")
        return f"{line}{name.partition(':')[0]}:{image}"

    def identify(self) -> Any:
        """Who are you? Returns the identity, and keeps it (a restarted chip has another nonce)."""
        self.identity = self._ask("hello")
        return self.identity

    def self_test(self) -> Any:
        """Run the self-test again: every golden vector, bit for bit."""
        return self._ask("run_self_test")

    def arm(self, **other: int) -> Any:
        """Allow motors; Refused says why not. The chip's own identity, but for the fields in ``other``."""
        mine = {name: getattr(self.identity, name) for name in ("boot_nonce", "policy_crc", "contract_hash")}
        return self._ask("arm", **(mine | other))

    def lock_step(self) -> Any:
        """Make the chip's clock follow the time_us of step and tick: simulated time waits for the chip."""
        return self._ask("set_clock", clock=ENUMS["clock"]["link"])

    def free_run(self) -> Any:
        """Give the chip its own clock back: time passes for it whether or not it hears anything."""
        return self._ask("set_clock", clock=ENUMS["clock"]["own"])

    def step(self, time_us: int, sensed: ArrayLike) -> Any:
        """A state estimate (13,) as in tinyfly.state -> the motor commands for it."""
        return self._ask("step", **step_values(time_us, sensed))

    def tick(self, time_us: int) -> Any:
        """Time has passed and no state came -> the motor commands that follow from that."""
        return self._ask("tick", time_us=time_us)

    def setpoint(self, kind: str, values: Sequence[float] = (), flags: int = 0) -> Any:
        """What to fly; kinds and values as in docs/protocol.md."""
        padded = np.zeros(SETPOINT_VALUES, np.float32)
        padded[: len(values)] = values
        return self._ask("setpoint", kind=ENUMS["setpoint"][kind], flags=flags, reserved=0, values=padded)

    def stop(self) -> Any:
        """Motors off now. A stop that the line may have lost is sent again: it can do no harm twice."""
        numbers = [self.link.send("stop")]
        for patience_s in STOP_AGAIN_S:
            try:
                frame = self.link.wait(lambda f: f.sequence in numbers, "stop", patience_s)
                break
            except Restarted:
                raise
            except TargetError:
                numbers.append(self.link.send("stop"))
        else:
            frame = self.link.wait(lambda f: f.sequence in numbers, "stop")
        return self.accept(frame, "stop")

    def compensate(self, factor: float) -> Any:
        """Battery: rotor speed commands in flight times this (nominal voltage / measured), 0.8..1.25."""
        return self._ask("compensate", factor=factor)

    def disarm(self) -> Any:
        """Leave stopped or failsafe for disarmed."""
        return self._ask("disarm")

    def infer(self, observation: ArrayLike) -> Any:
        """(inputs,) -> the bare network's action (4,) and its cost; only while the motors are off."""
        return self._ask("infer", observation=np.asarray(observation, np.float32))

    def stats(self) -> Any:
        """Counters since boot."""
        return self._ask("get_stats")

    def restart(self) -> Any:
        """Motors off, then reboot the chip by its reset message; returns the new identity."""
        self._reset()
        return self.identify()

    def ask_for_a_reset(self) -> bool:
        """Whether the chip has restarted; with motors on it refuses."""
        number = self.link.send("reset")
        answer = self.link.wait(lambda f: f.name == "boot" or f.sequence == number, "reset")
        if answer.name != "boot":
            return False
        self.link.start_over()
        return True

    def _reset(self) -> None:
        self.stop()  # a reset is refused while motors turn
        self._ask("hello")  # with motors off it begins a new numbering, whatever the chip has heard before
        if not self.ask_for_a_reset():
            raise TargetError("the chip refuses a reset with its motors off", self.link.transcript)

    def power_cycle(self) -> Any:
        """Take the power away and give it back where we can (an emulator); elsewhere, reset."""
        self.power_up()
        return self.identify()

    def power_up(self) -> None:
        """A power cycle up to the boot frame."""
        if self._source is None:
            self._reset()
            return
        self.link.reopen(self._source.start())
        self.link.wait(lambda f: f.name == "boot", "power-up")
        self.link.start_over()

    def _ask(self, name: str, **values: Any) -> Any:
        frame = self.link.request(name, **values)
        return self.accept(frame, name)

    def accept(self, frame: Frame, name: str) -> Any:
        """The body of the answer to ``name``; Refused when it is a status with a reason."""
        body = frame.body
        if frame.name == "status" and (body.reason or reply_of(name) != "status"):
            reason, state = name_of("reason", body.reason), name_of("state", body.state)
            raise Refused(name, reason, state, self.link.transcript)
        if frame.name != reply_of(name):
            raise TargetError(f"the chip answered {name} with {frame.name}", self.link.transcript)
        return body


def step_values(time_us: int, sensed: ArrayLike) -> dict[str, Any]:
    """The fields of a step frame from the 13 rows of a sensed state."""
    s = np.asarray(sensed, np.float32)
    return {
        "time_us": time_us & 0xFFFFFFFF,
        "position": s[POSITION],
        "quaternion": s[QUATERNION],
        "velocity": s[VELOCITY],
        "angular_velocity": s[ANGULAR_VELOCITY],
    }


# Port: what to build for it, and how to start that.
EMULATORS: dict[str, tuple[str, Callable[[Path], Emulator]]] = {
    "qemu": ("emulated", emulator.qemu),
    "host": ("host", emulator.host),
}


def built_for(port: str, policy: Path) -> Build | None:
    """What runs behind an emulator's port: the image it names, or one built if need be.

    None for a port that is not ours to start.
    """
    name, _, image = port.removeprefix("line:").partition(":")
    if name not in EMULATORS:
        return None
    from tinyfly_hil import build

    target = EMULATORS[name][0]
    return build.given(Path(image), target) if image else build.build(policy, target)


class Source:
    """Starts an emulator, ends the one before; ``line:`` puts an imitated serial line in between."""

    def __init__(self, port: str, build: Build, stack: ExitStack):
        self._name = port.removeprefix("line:").partition(":")[0]
        self._slow = port.startswith("line:")
        self._build, self._stack = build, stack

    def start(self) -> str:
        """The URL of a freshly booted one."""
        self._stack.close()
        launch = EMULATORS[self._name][1]
        running = self._stack.enter_context(launch(self._build.elf))
        self.pid = running.pid
        return self._stack.enter_context(serial_line(running.url)) if self._slow else running.url


@contextmanager
def open_target(port: str, policy: Path) -> Iterator[Target]:
    """Open a port, make sure that this policy runs there, and give a freshly started, disarmed chip.

    Args:
        port: ``qemu`` or ``host`` (built and started here, ended on exit), ``line:qemu`` or ``line:host``
            (the same behind an imitated serial line), any of these with an image that is there already
            (``qemu:firmware.elf``), ``auto`` (the only USB serial port), a device, or ``socket://HOST:PORT``.
        policy: the policy file that must be on the chip.

    Raises:
        UserError: the port is missing, silent, foreign, or runs another policy; within 3 s, but of a silent
            emulator, which a busy machine may slow down, after ``emulator.ANSWER_S``.
    """
    expected = Policy.load(policy)
    airframe = airframe_of(expected)
    built = built_for(port, policy)
    with ExitStack() as stack:
        if built is not None:
            source = Source(port, built, stack.enter_context(ExitStack()))
            link = Link(source.start(), emulator.ANSWER_S, ours=True)
            stack.callback(link.close)
            link.wait(lambda f: f.name == "boot", "the boot frame")
            target = Target(link, None, port, airframe, built, source)
            _check(target.identify(), expected, policy, port)
        else:
            link = Link(only_port() if port == "auto" else port)
            stack.callback(link.close)
            target = Target(link, _first_hello(link), port, airframe)
            _check(target.identity, expected, policy, port)
            target.restart()
        yield target


def only_port() -> str:
    """The USB serial port, when there is exactly one."""
    ports = usb_ports()
    if len(ports) != 1:
        found = ", ".join(ports) or "none"
        raise UserError(f"--port auto needs exactly one USB serial port, found {found}: name it with --port")
    return ports[0]


def _first_hello(link: Link, attempts: int = 5) -> Any:
    """The identity of whatever is there; a chip that is just waking up is asked again."""
    link.write(b"\0")  # ends whatever half frame the chip may hold
    for attempt in range(attempts):
        try:
            answer = link.request("hello", ANSWER_S / attempts)
        except Restarted:
            continue
        except TargetError:
            if attempt == attempts - 1:
                raise
            continue
        if answer.name != "identity":
            raise TargetError(
                f"{link.url} answers hello with {answer.name}: an echo, or not tinyfly's firmware",
                link.transcript,
            )
        return answer.body
    raise TargetError(f"{link.url} keeps restarting", link.transcript)


def _check(identity: Any, expected: Policy, path: Path, port: str) -> None:
    """Refuse, by name, a chip that was built for something else: nothing is armed before this."""
    remedy = f"build and flash {path} first"
    if identity.contract_hash != expected.contract.hash():
        raise UserError(
            f"{port} runs policy {identity.policy!r} with another contract ({identity.inputs} inputs, hash "
            f"{identity.contract_hash:016x}) than {path} ({expected.contract.size} inputs, hash "
            f"{expected.contract.hash():016x}): {remedy}"
        )
    if identity.policy_crc != expected.crc32():
        raise UserError(
            f"{port} runs policy {identity.policy!r} (crc {identity.policy_crc:08x}), not {path} "
            f"(crc {expected.crc32():08x}): {remedy}"
        )
