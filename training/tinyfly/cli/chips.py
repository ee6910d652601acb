"""Commands that bring a policy to a chip: export, build, flash."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinyfly.cli.options import Json, OptionalPath, OptionalText, PolicyFile, Result, count
from tinyfly.console import say, show_table
from tinyfly.errors import UserError

if TYPE_CHECKING:
    from tinyfly_hil.build import Build as Image

To = Literal["c", "c-int16", "c-int8", "onnx", "tflite", "torch", "all"]


@dataclass(frozen=True)
class Export:
    """Write a policy as C arrays and more, each checked against the policy before it is kept."""

    policy: PolicyFile
    to: To = "c"
    """c, c-int16, c-int8: policy.h and policy.c; onnx; tflite (float32 and int8); torch; or all of them"""
    out: Path = Path("build/export")
    """folder to write to: each format gets a folder in it"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.policy import Policy
        from tinyfly_export.formats import export

        exports = export(Policy.load(self.policy), self.to, self.out)
        return {
            "policy": str(self.policy),
            "files": [str(path) for e in exports for path in e.files],
            "proofs": [asdict(proof) for e in exports for proof in e.proofs],
        }

    @staticmethod
    def show(r: Result) -> None:
        rows = (
            (
                p["format"],
                p["runtime"],
                str(p["vectors"]),
                f"{p['max_error']:.2g}",
                f"{p['bound']:.2g}",
                _others(p),
            )
            for p in r["proofs"]
        )
        title = "largest difference from the policy on its golden vectors; beyond: absurd inputs, up to 3e38"
        show_table(title, ("format", "run by", "vectors", "difference", "bound", "beyond"), rows)
        for path in r["files"]:
            print(path)


@dataclass(frozen=True)
class Build:
    """Compile a policy into firmware with PlatformIO; nothing is downloaded."""

    policy: PolicyFile
    target: str = "emulated"
    """emulated (STM32F405 for QEMU), host, crazyflie, or another environment of platformio.ini"""
    crazyflie_base: OptionalPath = None
    """for --target crazyflie: your checkout of crazyflie-firmware"""
    kernel: Literal["auto", "float32", "int16", "int8"] = "auto"
    """the network's arithmetic; auto: the board's own (crazyflie: the first that fits)"""
    json: Json = False

    def run(self) -> Result:
        image = self._image()
        return {
            "target": image.target,
            "kernel": image.kernel,
            "elf": str(image.elf),
            "flash_bytes": image.flash_bytes,
            "ram_bytes": image.ram_bytes,
        }

    def _image(self) -> Image:
        from tinyfly_hil import build, crazyflie

        kernel = None if self.kernel == "auto" else self.kernel
        if self.target != "crazyflie":
            if self.crazyflie_base:
                raise UserError(f"--crazyflie-base is for --target crazyflie, not for {self.target}")
            return build.build(self.policy, self.target, kernel=kernel)
        if self.crazyflie_base is None:
            raise UserError(
                "--target crazyflie needs --crazyflie-base DIR, your checkout of crazyflie-firmware"
            )
        return crazyflie.build(self.policy, self.crazyflie_base, kernel=kernel)

    @staticmethod
    def show(r: Result) -> None:
        sizes = f"{count(r['flash_bytes'])} bytes of flash, {count(r['ram_bytes'])} bytes of RAM"
        print(f"{r['elf']}: {sizes} ({r['target']}, {r['kernel']})")


@dataclass(frozen=True)
class Flash:
    """Flash a board or a Crazyflie, and verify over the link what runs there. PROPS OFF."""

    policy: PolicyFile
    port: OptionalText = None
    """the board's serial port, such as /dev/ttyUSB0; never guessed"""
    radio: OptionalText = None
    """the Crazyflie's URI, such as radio://0/80/2M (needs cflib)"""
    crazyflie_base: OptionalPath = None
    """with --radio: your checkout of crazyflie-firmware"""
    target: str = "stm32f405"
    """with --port: the board, an environment of platformio.ini"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly_hil.flash import flash

        if self.port and self.crazyflie_base:
            raise UserError("--crazyflie-base is for --radio, not for --port")
        if self.radio and self.target != Flash.target:
            raise UserError("--target is for --port: over --radio there is a Crazyflie")
        return flash(self.policy, self.port, self.radio, self.crazyflie_base, self.target, say)

    @staticmethod
    def show(r: Result) -> None:
        print(f"{r['where']} runs {r['policy']} (crc {r['policy_crc']:08x})")


def _others(proof: Result) -> str:
    if not proof["others"]:
        return "-"
    return "NaN" if proof["others_max_error"] is None else f"{proof['others_max_error']:.2g}"
