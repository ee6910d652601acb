"""A policy file in, a firmware image out: PlatformIO does the work, unchanged input is not built twice."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinyfly.errors import UserError
from tinyfly.policy import Policy, write_atomically
from tinyfly_export.kernels import known
from tinyfly_hil.elf import reading
from tinyfly_hil.tools import require

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "firmware" / "platformio" / "boards"
KEPT = ROOT / ".pio" / "images"  # finished images, by fingerprint
BUILDING = ROOT / ".pio" / "building"  # not .pio/build: a bare `pio run` may be at work there
SOURCES = ("platformio.ini", "firmware/core", "firmware/ports", "firmware/protocol", "firmware/platformio")
EXPORTER, SIMULATOR = ("export/tinyfly_export", "training/tinyfly/modal.py"), ("training/tinyfly",)
_CAUSES = (  # best first; before an undefined reference ld says in which function, which is no cause
    r"^(?!collect2: ).*(?:[Ee]rror: |: undefined reference to |\bld: (?!warning: |.*: in function )).*$",
    r"^.*\bld: warning: .*$",  # fatal, as the firmware is linked
    r"^.*[Ee]rror.*$",
)
IMAGES_MAX = 64  # kept; about 0.5 MB each
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Build:
    """A finished image: ``flash_bytes`` and ``ram_bytes`` (with the stack's reserve) are what it occupies.

    ``kernel`` is the arithmetic of its network (``tinyfly_export.kernels``).
    """

    target: str
    elf: Path
    flash_bytes: int
    ram_bytes: int
    kernel: str = "float32"


def targets() -> list[str]:
    """Names of the boards that a policy can be built for."""
    return sorted(p.stem for p in BOARDS.glob("*.json"))


def board(target: str) -> dict[str, Any]:
    """A board's file; UserError when there is no such board."""
    if target not in targets():
        raise UserError(f"unknown target {target!r}; known: {', '.join(targets())}")
    return dict(json.loads((BOARDS / f"{target}.json").read_text()))


def build(
    policy_path: str | Path,
    target: str = "emulated",
    out: str | Path | None = None,
    kernel: str | None = None,
) -> Build:
    """Build the firmware that carries a policy.

    Args:
        policy_path: the policy file.
        target: a board in firmware/platformio/boards (``targets()``).
        out: also copy the image here.
        kernel: the network's arithmetic; None: what the board's file names.

    Raises:
        UserError: the policy does not read, the board is unknown, a compiler is missing, the build fails.
    """
    policy = Policy.load(policy_path)
    described = board(target)["build"]
    compiler = require("arm-none-eabi-gcc" if described["compiler"] else "cc")
    kernel = known(kernel or described.get("kernel", "float32"))
    kept = KEPT / f"{target}-{_fingerprint(policy, target, kernel, compiler)}"
    if not (kept / "build.json").exists():
        with lock():
            if not (kept / "build.json").exists():  # another process may have built it meanwhile
                _keep(pio(Path(policy_path), target, kernel=kernel), kept)
    return _finished(kept, target, kernel, out)


def given(elf: Path, target: str) -> Build:
    """An image that somebody else has built, to be run as ``target``; UserError when it is not one for it."""
    machine = "ARM" if board(target)["build"]["compiler"] else platform.machine()
    with reading(elf):
        found = _machine(elf)
        _has_app(elf)  # or its symbols are damaged, and the suite, which wants them, would find out late
    sizes = occupied(elf)
    if found != machine:
        raise UserError(f"image {elf} is for {found}, and {target} runs {machine}: build it for {target}")
    return Build(target, elf.resolve(), *sizes)


def is_ours(elf: Path) -> bool:
    """Whether an image's firmware is the serial app of this project, not a Crazyflie's."""
    try:
        with reading(elf):
            return _has_app(elf)
    except UserError:
        return False  # whoever opens it says why


def _has_app(elf: Path) -> bool:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with elf.open("rb") as f:
        tables = [s for s in ELFFile(f).iter_sections() if isinstance(s, SymbolTableSection)]
        return any(table.get_symbol_by_name("tf_app_init") for table in tables)


def _machine(elf: Path) -> str:
    """The processor an ELF is for, by the name that ``platform.machine`` has for it."""
    from elftools.elf.elffile import ELFFile

    with elf.open("rb") as f:
        name = ELFFile(f).get_machine_arch()
    return {"x64": "x86_64", "AArch64": "aarch64"}.get(name, str(name))


def occupied(elf: Path) -> tuple[int, int]:
    """(bytes of flash, bytes of RAM) that an ELF's sections occupy; UserError when it does not read."""
    from elftools.elf.elffile import ELFFile

    flash = ram = 0
    with reading(elf), elf.open("rb") as f:
        for section in ELFFile(f).iter_sections():
            allocated, writable = section["sh_flags"] & 2, section["sh_flags"] & 1
            if allocated:
                flash += section["sh_size"] if section["sh_type"] != "SHT_NOBITS" else 0
                ram += section["sh_size"] if writable else 0
    return flash, ram


def _finished(kept: Path, target: str, kernel: str, out: str | Path | None) -> Build:
    sizes = json.loads((kept / "build.json").read_text())
    elf = kept / sizes["elf"]
    if out is not None:
        write_atomically(out, elf.read_bytes())
        elf = Path(out)
        elf.chmod(0o755)
    return Build(target, elf, sizes["flash_bytes"], sizes["ram_bytes"], kernel)


def _keep(elf: Path, kept: Path) -> None:
    """Copy an image to where it stays; build.json comes last and says that all is there."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    shutil.copy2(elf, kept / elf.name)
    flash, ram = occupied(elf)
    record = {"elf": elf.name, "flash_bytes": flash, "ram_bytes": ram}
    write_atomically(kept / "build.json", json.dumps(record).encode())
    by_age = sorted(KEPT.glob("*/build.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in by_age[IMAGES_MAX:]:
        shutil.rmtree(old.parent, ignore_errors=True)


def pio(
    policy_path: Path, target: str, *arguments: str, kernel: str | None = None, firmware: Path | None = None
) -> Path:
    """Run ``pio run`` for a policy; returns the image in its build folder. One at a time: see ``lock``.

    ``firmware``: another folder with core/ and ports/ than ours (the prover builds mutants).
    """
    environment = os.environ | {
        "TINYFLY_POLICY": str(policy_path.resolve()),
        "TINYFLY_KERNEL": kernel or "",
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_BUILD_DIR": str(BUILDING),
        "PLATFORMIO_SRC_DIR": str(firmware or ROOT / "firmware"),
    }
    command = [sys.executable, "-m", "platformio", "run", "--silent", "-e", target, *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"building {target} took more than {TIMEOUT_S:g} s; try `pio run -v -e {target}`"
        ) from None
    if done.returncode != 0:
        raise UserError(f"building {target} failed: {_cause(done.stderr + done.stdout)}")
    folder = BUILDING / target
    return folder / ("firmware.elf" if board(target)["build"]["compiler"] else "firmware")


def _cause(output: str) -> str:
    """The line of a failed build that says why: the compiler's or linker's first, not `ld returned 1`."""
    for wanted in _CAUSES:
        if found := re.search(wanted, output, re.MULTILINE):
            return found[0].strip()
    return output.strip()[-200:].replace("\n", " ") or "it did not say why"


def _fingerprint(policy: Policy, target: str, kernel: str, compiler: str) -> str:
    """Of everything an image depends on: policy and its golden vectors, sources, exporter, compiler.

    Integers choose their scales on simulated flights: to them the simulator is a source as well.
    """
    h = hashlib.sha256(f"{target} {kernel} {policy.crc32()} {policy.airframe.get('name')} ".encode())
    h.update(policy.golden_observation.tobytes() + policy.golden_action.tobytes())
    h.update(_compiler_version(compiler).encode())
    for top in (*SOURCES, *EXPORTER, *(SIMULATOR if kernel != "float32" else ())):
        for path in sorted((ROOT / top).rglob("*")) if (ROOT / top).is_dir() else [ROOT / top]:
            if path.is_file() and "__pycache__" not in path.parts:
                h.update(f"{path.relative_to(ROOT)} ".encode() + path.read_bytes())
    return h.hexdigest()[:16]


@cache
def _compiler_version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """One build at a time: PlatformIO's folders are shared. UserError when this user may not write them."""
    try:
        for folder in (KEPT, BUILDING):
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        f = (KEPT / ".lock").open("w")
    except OSError as e:
        raise UserError(
            f"nothing can be built in {KEPT.parent} ({e.strerror}): take a checkout of your own"
        ) from None
    with f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
