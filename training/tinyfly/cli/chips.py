"""Commands that bring a policy to a chip and prove it there: export, build, hil, flash."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinyfly.cli.options import Json, PolicyFile, Result, count, millimetres
from tinyfly.console import progress, say, show_table
from tinyfly.errors import UserError

if TYPE_CHECKING:
    from tinyfly_hil.build import Build as Image

To = Literal["c", "c-int16", "onnx", "tflite", "torch", "all"]


@dataclass(frozen=True)
class Export:
    """Write a policy as C arrays and more, each checked against the policy before it is kept."""

    policy: PolicyFile
    to: To = "c"
    """c and c-int16: policy.h and policy.c; onnx; tflite (float32 and int8); torch; or all of them"""
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
    crazyflie_base: Path | None = None
    """for --target crazyflie: your checkout of crazyflie-firmware"""
    json: Json = False

    def run(self) -> Result:
        image = self._image()
        return {
            "target": image.target,
            "elf": str(image.elf),
            "flash_bytes": image.flash_bytes,
            "ram_bytes": image.ram_bytes,
        }

    def _image(self) -> Image:
        from tinyfly_hil import build, crazyflie

        if self.target != "crazyflie":
            return build.build(self.policy, self.target)
        if self.crazyflie_base is None:
            raise UserError(
                "--target crazyflie needs --crazyflie-base DIR, your checkout of crazyflie-firmware"
            )
        return crazyflie.build(self.policy, self.crazyflie_base)

    @staticmethod
    def show(r: Result) -> None:
        sizes = f"{count(r['flash_bytes'])} bytes of flash, {count(r['ram_bytes'])} bytes of RAM"
        print(f"{r['elf']}: {sizes} ({r['target']})")


@dataclass(frozen=True)
class Hil:
    """Test the very binary: the simulator flies the chip over a serial port."""

    policy: PolicyFile
    port: str = "qemu"
    """qemu, host, line:qemu, auto, a device such as /dev/ttyUSB0, or socket://HOST:PORT"""
    image: Path | None = None
    """fly a complete Crazyflie image (cf2.elf) in an ARM emulator instead; needs no port"""
    thorough: bool = False
    """also the tests with many flights: minutes instead of seconds"""
    select: str = ""
    """only tests whose names match, as pytest's -k"""
    junit: Path | None = None
    """write JUnit XML to this file"""
    log: Path | None = None
    """write a log of every test (with --faults: of the flight) into this folder"""
    faults: str = ""
    """fly once with these faults, such as drop=0.05,delay=30ms,nan=0.1@1s..2s"""
    campaign: int = 0
    """fly this many random fault sequences; a failure is shrunk and its command printed"""
    seed: int = 0
    """random seed of --faults and --campaign"""
    replay: Path | None = None
    """send a log again and name the first answer that differs in a bit"""
    watch: bool = False
    """show one figure-eight in the terminal while the chip flies it"""
    json: Json = False

    def run(self) -> Result:
        modes = {
            "--image": (self.image, self._fly_image),
            "--faults": (self.faults, self._fly_faults),
            "--campaign": (self.campaign, self._fly_campaign),
            "--replay": (self.replay, self._replay),
            "--watch": (self.watch, self._watch),
        }
        chosen = {flag: run for flag, (value, run) in modes.items() if value}
        if len(chosen) > 1:
            raise UserError(f"{' and '.join(chosen)} do not go together: choose one")
        return next(iter(chosen.values()), self._run_suite)()

    def _run_suite(self) -> Result:
        from tinyfly_hil import suite

        with progress("hil") as report:
            return suite.run(
                self.policy,
                self.port,
                thorough=self.thorough,
                junit=self.junit,
                log=self.log,
                select=self.select,
                progress=report,
            )

    def _fly_image(self) -> Result:
        from tinyfly.policy import Policy
        from tinyfly_hil import image

        assert self.image is not None
        return image.check(self.image, Policy.load(self.policy))

    def _fly_faults(self) -> Result:
        from tinyfly_hil import campaign, faults

        log = self.log / "faults.npz" if self.log else None
        outcome = campaign.once(self.policy, self.port, faults.parse(self.faults), self.seed, log)
        return {"target": self.port, "faults": self.faults, **asdict(outcome), "failed": len(outcome.broken)}

    def _fly_campaign(self) -> Result:
        from tinyfly_hil import campaign

        with progress("campaign") as report:
            found = campaign.run(self.policy, self.port, self.campaign, self.seed, report).to_json()
        return {"target": self.port, **found, "failed": len(found["failures"])}

    def _replay(self) -> Result:
        from tinyfly_hil import log

        assert self.replay is not None
        different = log.play(self.replay, self.policy, self.port)
        result = {"target": self.port, "replay": str(self.replay), "failed": int(different is not None)}
        return result | {"difference": asdict(different) if different else None}

    def _watch(self) -> Result:
        from tinyfly_hil.live import watch_flight

        return watch_flight(self.policy, self.port)

    @staticmethod
    def show(r: Result) -> None:
        if "passed" in r:
            show_table(f"hardware in the loop: {r['target']}", ("what", "figure"), hil_rows(r))
            for check, held in r.get("checks", {}).items():
                print(f"{'ok    ' if held else 'FAILED'} {check}")
            return
        for name, value in r.items():
            print(f"{name}: {value}")


@dataclass(frozen=True)
class Flash:
    """Flash a board or a Crazyflie, and verify over the link what runs there. PROPS OFF."""

    policy: PolicyFile
    port: str | None = None
    """the board's serial port, such as /dev/ttyUSB0; never guessed"""
    radio: str | None = None
    """the Crazyflie's URI, such as radio://0/80/2M (needs cflib)"""
    crazyflie_base: Path | None = None
    """with --radio: your checkout of crazyflie-firmware"""
    target: str = "stm32f405"
    """with --port: the board, an environment of platformio.ini"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly_hil.flash import flash

        return flash(self.policy, self.port, self.radio, self.crazyflie_base, self.target, say)

    @staticmethod
    def show(r: Result) -> None:
        print(f"{r['where']} runs {r['policy']} (crc {r['policy_crc']:08x})")


def hil_rows(r: Result) -> list[tuple[str, str]]:
    """A suite's figures for people; what the target cannot give is left out."""
    rows = [
        ("hover error", r["hover_error_m"], millimetres),
        ("figure-eight error", r["figure_eight_rmse_m"], millimetres),
        ("instructions per control step", r["instructions_per_step"], count),
        ("flash, bytes", r["flash_bytes"], count),
        ("RAM, bytes", r["ram_bytes"], count),
        ("worst serial round trip", r["round_trip_ms_max"], "{:.1f} ms".format),
    ]
    shown = [(what, form(value)) for what, value, form in rows if value is not None]
    return [*shown, ("checks passed, failed", f"{r['passed']}, {r['failed']}")]


def _others(proof: Result) -> str:
    if not proof["others"]:
        return "-"
    return "NaN" if proof["others_max_error"] is None else f"{proof['others_max_error']:.2g}"
