"""The programs outside Python that tinyfly runs: found, or named with the command that installs them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tinyfly.errors import UserError


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, what it is for, and how to get it."""

    program: str
    purpose: str
    apt: str
    brew: str
    required: bool = True
    pip: str = ""  # a Python program: the same everywhere

    @property
    def install(self) -> str:
        """The command that installs it here."""
        if self.pip:
            return f"pip install {self.pip}"
        return (
            f"brew install {self.brew}"
            if platform.system() == "Darwin"
            else f"sudo apt-get install {self.apt}"
        )

    def find(self) -> str | None:
        """Path of the program, or None."""
        return shutil.which(self.program)


_PROVE = "clang clang-tidy libclang-rt-14-dev"
_TOOLS = (
    Tool(
        "arm-none-eabi-gcc",
        "compiles the firmware",
        "gcc-arm-none-eabi libnewlib-arm-none-eabi",
        "--cask gcc-arm-embedded",
    ),
    Tool("qemu-system-arm", "emulates the microcontroller", "qemu-system-arm", "qemu"),
    Tool("cc", "compiles the host target", "gcc libc6-dev", "gcc"),
    Tool("cppcheck", "static analysis: pio check", "cppcheck", "cppcheck", required=False),
    Tool("openocd", "flash --port, through an ST-Link", "openocd", "openocd", required=False),
    Tool("cfloader", "flash --radio, over the air", "", "", required=False, pip="cfclient"),
    Tool("clang", "fuzzing and a second compiler: make prove", _PROVE, "llvm", required=False),
)
TOOLS = {tool.program: tool for tool in _TOOLS}


def require(program: str) -> str:
    """Path of a program; UserError with the install command when it is missing or unusable."""
    tool = TOOLS[program]
    path = tool.find()
    if path is None:
        raise UserError(f"{program} is missing ({tool.purpose}): {tool.install}")
    if program == "arm-none-eabi-gcc" and not has_newlib(path):
        raise UserError(f"newlib for arm-none-eabi-gcc is missing (the firmware's C library): {tool.install}")
    return path


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_newlib(gcc: str) -> bool:
    """Whether the ARM compiler has a C library: Debian packs it apart."""
    found = subprocess.run(
        [gcc, "-print-file-name=libc.a"], capture_output=True, text=True, check=False
    ).stdout
    return Path(found.strip()).is_absolute()
