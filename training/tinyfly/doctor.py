"""`tinyfly doctor`: what is installed, what is missing, and the command that gets it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    what: str
    purpose: str
    found: str | None
    install: str
    required: bool = True


PACKAGES = (
    ("numpy", "simulator and trainer", None),
    ("safetensors", "policy file", None),
    ("tyro", "the command line", None),
    ("rich", "tables and progress", None),
    ("platformio", "firmware build", None),
    ("scons", "firmware build", None),
    ("pyelftools", "an image's sizes and symbols: build, hil", None),
    ("plotly", "report", None),
    ("pyserial", "the link to the chip", None),
    ("cobs", "the link to the chip", None),
    ("pytest", "hil, the test suites", None),
    ("pytest-xdist", "hil on several cores", None),
    ("hypothesis", "the test suites", "dev"),
    ("onnx", "export --to onnx", "onnx"),
    ("onnxruntime", "export --to onnx", "onnx"),
    ("tflite-micro", "export --to tflite", "tflite"),
    ("torch", "export --to torch, --algorithm td3", "torch"),
    ("unicorn", "hil --image", "image"),
    ("matplotlib", "report --figures", "report"),
    ("tensorboardX", "train --log-dir", "tensorboard"),
    ("rerun-sdk", "--watch in a window", "rerun"),
    ("gymnasium", "tinyfly.gym", "gym"),
    ("drone-models", "evaluate --plant drone-models", "plants"),
    ("mujoco", "evaluate --plant mujoco", "plants"),
    ("crazyflow", "evaluate --plant crazyflow", "crazyflow"),
    ("l2f", "evaluate --plant l2f", "l2f"),
)


def examine() -> list[Finding]:
    """Look for every program and package that some command needs."""
    from tinyfly_hil.tools import TOOLS, has_newlib

    findings = [Finding("python", "everything", platform.python_version(), "")]
    for name, purpose, extra in PACKAGES:
        where = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
        findings.append(Finding(name, purpose, _version(name), where, required=extra is None))
    for tool in TOOLS.values():
        findings.append(Finding(tool.program, tool.purpose, tool.find(), tool.install, tool.required))
    gcc = TOOLS["arm-none-eabi-gcc"]
    path = gcc.find()
    newlib = "yes" if path and has_newlib(path) else None
    findings.append(Finding("newlib", "the firmware's C library", newlib, gcc.install))
    findings += [_port(p) for p in _usb_ports()] or [
        Finding("board", "hil --port", None, "plug one in", False)
    ]
    return findings


def _usb_ports() -> list[Any]:
    """The USB serial ports that are plugged in, as pyserial's ListPortInfo."""
    from serial.tools import list_ports

    return sorted((p for p in list_ports.comports() if p.vid is not None), key=lambda p: p.device)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _port(port: Any) -> Finding:
    """``port`` is pyserial's ListPortInfo: what the board calls itself, and whether this user may open it."""
    name = f"{port.description} ({port.vid:04x}:{port.pid:04x})"
    if os.access(port.device, os.R_OK | os.W_OK):
        return Finding(port.device, name, "ready", "")
    return Finding(
        port.device, name, None, f"sudo usermod -aG {_group(port.device)} $USER, then log in again"
    )


def _group(device: str) -> str:
    """The group that may open a device: dialout on Debian, uucp on Arch."""
    try:
        return Path(device).group()
    except (OSError, KeyError):
        return "dialout"
