"""The Crazyflie's firmware with a policy in it, built from the user's own checkout of the stock firmware.

python -m tinyfly_hil.crazyflie POLICY FOLDER [KERNEL]     stages the app (firmware/ports/crazyflie)

The app may take 64 KiB of the firmware's flash. A network that does not fit in float32 goes in as int16, one
that does not fit so either as int8; what was chosen is said, logged by the aircraft, and may be asked for.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tinyfly.airframe import Airframe
from tinyfly.errors import UserError
from tinyfly.evaluate import airframe_of
from tinyfly.policy import Policy, write_atomically
from tinyfly_hil.build import ROOT, Build, occupied
from tinyfly_hil.tools import require

APP = ROOT / "firmware" / "ports" / "crazyflie"
CORE = ROOT / "firmware" / "core"
STAGE = ROOT / ".pio" / "crazyflie"
GOLDEN = 2  # vectors for the self-test, of which each takes 650 bytes of flash
TIMEOUT_S = 900.0
BUDGET_BYTES = 64 << 10
CODE_BYTES = 14 << 10  # of the app without its network's constants and golden vectors, rounded up


def kernel_that_fits(policy: Policy) -> str:
    """The most exact arithmetic whose constants leave room for the code; UserError when none does."""
    from tinyfly_export.kernels import KERNELS, flash_bytes

    room = BUDGET_BYTES - CODE_BYTES - GOLDEN * 4 * (policy.contract.size + 4)
    for name in KERNELS:
        if flash_bytes(policy, name) <= room:
            return name
    raise UserError(
        f"{policy.multiply_adds} weights do not fit in the {BUDGET_BYTES >> 10} KiB beside the Crazyflie's "
        "firmware, not even as int8: train a smaller network"
    )


def stage(policy: Policy, folder: Path, kernel_name: str) -> None:
    """Lay out the app, the core and the policy as C in ``folder``; files that are the same stay untouched.

    Raises:
        UserError: the policy's motors are not where a Crazyflie has them, or turn the other way.
    """
    airframe = airframe_of(policy)
    if _turning(airframe) != _turning(Airframe.load("crazyflie")):
        raise UserError(
            f"airframe {airframe.name} has its motors in another order than a Crazyflie, or turning the "
            f"other way: fly this policy on its own vehicle, and train one for the Crazyflie"
        )
    from tinyfly_export.c import export_c
    from tinyfly_export.kernels import kernel

    source = folder / "src"
    source.mkdir(parents=True, exist_ok=True)
    for path in (APP / "Kbuild", APP / "app-config"):
        _copy(path, folder / path.name)
    for path in (*(APP / "src").iterdir(), *CORE.glob("tf_*.[ch]")):
        _copy(path, source / path.name)
    fresh = folder / "fresh"
    chosen = kernel(policy, kernel_name)
    export_c(policy, fresh, golden=GOLDEN, kernel=chosen)
    objects = " ".join(name.replace(".c", ".o") for name in chosen.sources)
    write_atomically(fresh / "kernel.mk", f"tf_kernel := {objects}\n".encode())
    write_atomically(fresh / "tf_airframe.h", _airframe_header(airframe).encode())
    generator = ROOT / "firmware" / "protocol" / "generate.py"
    subprocess.run([sys.executable, str(generator), str(fresh)], check=True, stdout=subprocess.DEVNULL)
    for path in fresh.iterdir():
        _copy(path, source / path.name)


def build(
    policy_path: str | Path, base: str | Path, out: str | Path | None = None, kernel: str | None = None
) -> Build:
    """Build cf2.elf and cf2.bin (beside it) against the checkout ``base``; about a minute the first time.

    ``kernel``: the network's arithmetic; None: ``kernel_that_fits``.

    Raises:
        UserError: the policy does not read or fit, ``base`` is no checkout of the firmware, the build fails.
    """
    policy, base = Policy.load(policy_path), Path(base).expanduser().resolve()
    require("arm-none-eabi-gcc")
    if not (base / "tools" / "make" / "oot.mk").is_file():
        raise UserError(
            f"{base} is not a checkout of crazyflie-firmware: clone it with --recursive, and name that"
        )
    if not (base / "vendor" / "FreeRTOS" / "tasks.c").is_file():
        raise UserError(f"{base} lacks its submodules: git -C {base} submodule update --init --recursive")
    kernel = kernel or kernel_that_fits(policy)
    stage(policy, STAGE, kernel)
    command = ["make", "-f", str(APP / "Makefile"), "all", f"CRAZYFLIE_BASE={base}", f"OOT={STAGE}"]
    jobs = f"-j{os.cpu_count() or 1}"
    try:
        done = subprocess.run(
            [*command, jobs], cwd=STAGE, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise UserError("make is missing: sudo apt-get install make") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"building the Crazyflie firmware took more than {TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        said = [x for x in (done.stderr + done.stdout).splitlines() if "error" in x.lower()]
        raise UserError(f"building the Crazyflie firmware failed: {said[0] if said else done.stderr[-200:]}")
    elf = STAGE / "build" / "cf2.elf"
    if out is not None:
        write_atomically(Path(out).with_suffix(".bin"), elf.with_suffix(".bin").read_bytes())
        elf = write_atomically(out, elf.read_bytes())
    return Build("crazyflie", elf, *occupied(elf), kernel)


def footprint() -> tuple[int, int]:
    """(bytes of flash, bytes of RAM) of tinyfly itself in the last image, before the linker drops any."""
    return occupied(STAGE / "src" / "built-in.o")


def _turning(airframe: Airframe) -> list[list[bool]]:
    """Which way each motor turns the body, axis by axis."""
    return [[share > 0 for share in axis] for axis in airframe.layout]


def _airframe_header(airframe: Airframe) -> str:
    """What the stock firmware needs beyond the contract: it wants thrust in newton."""
    full_n = math.fsum(airframe.thrust_n)
    return (
        "#ifndef TF_AIRFRAME_H\n#define TF_AIRFRAME_H\n\n"
        f"#define TF_FULL_THRUST_N {full_n.hex()}f /* {full_n:.4f} N, one rotor at full speed */\n\n#endif\n"
    )


def _copy(source: Path, target: Path) -> None:
    data = source.read_bytes()
    if not target.is_file() or target.read_bytes() != data:
        shutil.copyfile(source, target)


def _main() -> None:
    try:
        policy = Policy.load(sys.argv[1])
        stage(policy, Path(sys.argv[2]), sys.argv[3] if sys.argv[3:] else kernel_that_fits(policy))
    except UserError as e:
        raise SystemExit(f"Error: {e}") from None


if __name__ == "__main__":
    _main()
