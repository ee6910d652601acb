"""Programs that stand in for a chip: QEMU with the real image, or the host build. They never outlive us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tinyfly.errors import UserError
from tinyfly_hil.tools import require

# Generous: a loaded machine is slow, and a program that dies is noticed at once.
START_S = ANSWER_S = 30.0

# Kills the program when our end of its standard input closes: on close(), and when this process dies.
_GUARD = '"$@" </dev/null & child=$!; cat >/dev/null; kill -9 $child 2>/dev/null'

_QEMU = (
    *("-nodefaults", "-display", "none", "-icount", "shift=0"),
    *("-semihosting-config", "enable=on,target=native", "-serial", "chardev:uart"),
    *("-chardev", "socket,id=uart,host=127.0.0.1,port=0,server=on,wait=on,nodelay=on"),
)


class Emulator:
    """A running stand-in for a chip; ``url`` is where its serial line answers."""

    def __init__(self, command: list[str], announcement: str):
        """Start it and wait for the line that names its TCP port."""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except OSError as e:
            raise UserError(f"{command[0]} does not start: {e.strerror}") from None
        try:
            self.url = f"socket://127.0.0.1:{self._await(announcement)}"
        except BaseException:
            self.close()
            raise

    def _await(self, announcement: str) -> int:
        assert self._process.stdout is not None
        fd, said, deadline = self._process.stdout.fileno(), b"", time.monotonic() + START_S
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([fd], [], [], left)[0]:
                break
            data = os.read(fd, 4096)
            said += data
            if match := re.search(announcement, said.decode(errors="replace")):
                return int(match[1])
            if not data:
                break
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise UserError(f"the emulator did not come up; it said: {last[0]}")

    @property
    def pid(self) -> int:
        """The process, or the shell that guards it."""
        return self._process.pid

    def close(self) -> None:
        """End it, now."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def qemu(elf: Path, machine: str = "netduinoplus2") -> Emulator:
    """Boot an image in QEMU's STM32F405, or in another machine that a board file of ours names.

    One timer tick is one instruction: the wall clock plays no part.
    """
    command = [require("qemu-system-arm"), "-M", machine, *_QEMU, "-kernel", str(elf)]
    with _one_core():
        return Emulator(
            ["sh", "-c", _GUARD, "sh", *command],
            r"waiting for connection on:.*:(\d+)",
        )


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """What starts here keeps to the core we are on, where the system knows of cores (Linux).

    QEMU's two threads hand every byte to and fro and never work at once: on a busy machine, a flight on one
    core takes half the time of one on two.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    here = ctypes.CDLL(None).sched_getcpu()
    os.sched_setaffinity(0, {here} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def host(executable: Path) -> Emulator:
    """Run the host build: the same core behind TCP. It ends when its standard input closes."""
    return Emulator([str(executable)], r"listening 127\.0\.0\.1:(\d+)")
