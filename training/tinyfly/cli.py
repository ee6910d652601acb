"""The command line. It sits on top of everything and imports late; nothing imports it.

Each command is a frozen dataclass: its fields are the flags, its docstrings are the help, ``run`` does the
work and returns the JSON result, ``show`` prints that result for people.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

# One thread: the matrices are tiny, and a second BLAS thread only spins. Must be set before NumPy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tyro

from tinyfly.console import Report as Progress
from tinyfly.console import print_json, progress, say, show_table
from tinyfly.errors import UserError

if TYPE_CHECKING:
    from tinyfly.policy import Policy

PolicyFile = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY", help="policy file")]
Airframe = Annotated[
    str, tyro.conf.arg(metavar="NAME|FILE.toml", help="a known airframe, or a TOML file of your own")
]
Json = Annotated[bool, tyro.conf.arg(help="print one JSON object on stdout, everything else on stderr")]
Task = Literal["crazyflie", "paper", "tracking"]
Algorithm = Literal["gradient", "td3"]
To = Literal["c", "onnx", "tflite", "torch", "all"]
Result = dict[str, Any]


@dataclass(frozen=True)
class Train:
    """Train a policy and save it (about a second to a few seconds on one core)."""

    task: Task = "crazyflie"
    """crazyflie: hold and track on any Crazyflie; paper: the paper's task; tracking: one airframe, tight"""
    airframe: Airframe = "crazyflie"
    seed: int = 0
    """random seed; the same seed on the same machine gives the same file"""
    out: Path = Path("runs")
    """policy file to write, or a folder to name it in"""
    budget: float = 0.0
    """seconds to spend, for --task paper: 0.5 for the quick recipe; 0: the recipe's own"""
    algorithm: Algorithm = "gradient"
    """gradient: through the simulator, with a costate critic; td3: the paper's own (needs torch, minutes)"""
    json: Json = False

    def run(self) -> Result:
        start = time.perf_counter()
        path = _policy_path(self)
        with progress("train") as report:
            policy = self._train(report)
        policy.save(path)
        return {
            "policy": str(path),
            "task": self.task,
            "airframe": self.airframe,
            "seed": self.seed,
            "wall_s": round(time.perf_counter() - start, 4),
            "env_steps": policy.provenance["env_steps"],
        }

    def _train(self, report: Progress) -> Policy:
        if self.algorithm == "td3":
            from tinyfly import td3

            if self.task != "paper":
                raise UserError("--algorithm td3 learns --task paper")
            return td3.train(td3.Settings(airframe=self.airframe, seed=self.seed), report)
        from tinyfly.trainer import Settings, train

        return train(Settings(self.task, self.airframe, self.seed, self.budget or None), report)

    @staticmethod
    def show(r: Result) -> None:
        print(f"trained {r['policy']} in {r['wall_s']:.2f} s ({r['env_steps'] / 1e6:.2f} M steps)")


@dataclass(frozen=True)
class Evaluate:
    """Fly a policy in the simulator: survival, hover error (m) and figure-eight error (m) by latency (ms)."""

    policy: PolicyFile
    airframe: Airframe = "crazyflie"
    episodes: int = 1000
    """episodes for each latency"""
    seed: int = 0
    """which held-out episodes: none of them is ever trained on"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.airframe import Airframe
        from tinyfly.evaluate import evaluate
        from tinyfly.policy import Policy

        policy, airframe = Policy.load(self.policy), Airframe.load(self.airframe)
        evaluation = evaluate(policy, airframe, episodes=self.episodes, seed=self.seed)
        return {"policy": str(self.policy), "airframe": self.airframe, **evaluation.to_json()}

    @staticmethod
    def show(r: Result) -> None:
        rows = (
            (
                f"{row['latency_ms']:g} ms",
                f"{row['survival']:.1%}",
                f"{1e3 * row['hover_error_m']:.1f} mm",
                f"{1e3 * row['figure_eight_rmse_m']:.1f} mm",
            )
            for row in r["results"]
        )
        title = f"{r['policy']} on {r['airframe']}, {r['episodes']} episodes each"
        show_table(title, ("latency", "survival", "hover error", "figure-eight 5.5 s"), rows)


@dataclass(frozen=True)
class Export:
    """Write a policy as C arrays and more, each checked against the policy before it is kept."""

    policy: PolicyFile
    to: To = "c"
    """c: a bundle of policy.h and policy.c; onnx; tflite (float32 and int8); torch; or all of them"""
    out: Path = Path("build/export")
    """folder to write to: each format gets a folder in it"""
    json: Json = False

    def run(self) -> Result:
        from dataclasses import asdict

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
            (p["format"], p["runtime"], str(p["vectors"]), f"{p['max_error']:.2g}", f"{p['bound']:.2g}")
            for p in r["proofs"]
        )
        title = "largest difference from the policy on its golden vectors"
        show_table(title, ("format", "run by", "vectors", "difference", "bound"), rows)
        for path in r["files"]:
            print(path)


@dataclass(frozen=True)
class Build:
    """Compile a policy into firmware with PlatformIO; nothing is downloaded."""

    policy: PolicyFile
    target: str = "emulated"
    """emulated (STM32F405 for QEMU), host, or another environment of platformio.ini"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly_hil.build import build

        b = build(self.policy, self.target)
        return {"target": b.target, "elf": str(b.elf), "flash_bytes": b.flash_bytes, "ram_bytes": b.ram_bytes}

    @staticmethod
    def show(r: Result) -> None:
        print(f"{r['elf']}: {r['flash_bytes']} bytes of flash, {r['ram_bytes']} bytes of RAM ({r['target']})")


@dataclass(frozen=True)
class Hil:
    """Test the very binary: the simulator flies the chip over a serial port."""

    policy: PolicyFile
    port: str = "qemu"
    """qemu, host, auto, a device such as /dev/ttyUSB0, or socket://HOST:PORT"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly_hil.suite import run

        with progress("hil") as report:
            return run(self.policy, self.port, progress=report)

    @staticmethod
    def show(r: Result) -> None:
        show_table(f"hardware in the loop: {r['target']}", ("what", "figure"), _hil_rows(r))


@dataclass(frozen=True)
class Report:
    """Write a flight report: one HTML file with replays, errors, robustness and costs; needs no network."""

    policy: PolicyFile
    out: Path = Path("runs")
    """HTML file to write, or a folder to name it in"""
    compare: tuple[Path, ...] = ()
    """up to three more policies to fly beside it"""
    hil: Path | None = None
    """log, or saved `tinyfly hil --json`, of a run in the loop"""
    figures: Path | None = None
    """also write every figure as PNG and SVG into this folder (needs matplotlib)"""
    airframe: str = ""
    """airframe to fly; the policy's own when empty"""
    episodes: int = 1000
    """thrown episodes to show"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.report import write_report

        out = self.out if self.out.suffix else self.out / f"{self.policy.stem}.html"
        with progress("report") as report:
            path = write_report(
                self.policy,
                out,
                compare=self.compare,
                hil=self.hil,
                figures=self.figures,
                airframe=self.airframe or None,
                episodes=self.episodes,
                progress=report,
            )
        return {"policy": str(self.policy), "report": str(path)}

    @staticmethod
    def show(r: Result) -> None:
        print(r["report"])


@dataclass(frozen=True)
class Fly:
    """Train, evaluate, export, build, boot the emulated STM32F405 and fly it over serial: all in a row."""

    policy: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[POLICY]")] = None
    """policy file to fly; trains a new one when none is given"""
    json: Json = False

    def run(self) -> Result:
        result: Result = {}
        policy = self.policy
        if policy is None:
            say("training a policy for the Crazyflie")
            result["train"] = Train().run()
            policy = Path(result["train"]["policy"])
        say("flying it in the simulator")
        result["evaluate"] = Evaluate(policy, episodes=300).run()
        say("compiling it for the STM32F405")
        result["build"] = Build(policy).run()
        say("flying the emulated chip over serial")
        result["hil"] = Hil(policy).run()
        return {"policy": str(policy), **result, "failed": result["hil"]["failed"]}

    @staticmethod
    def show(r: Result) -> None:
        rows = []
        if "train" in r:
            rows.append(("training", f"{r['train']['wall_s']:.2f} s"))
        worst = max(r["evaluate"]["results"], key=lambda row: row["latency_ms"])
        rows.append((f"survival in simulation, {worst['latency_ms']:g} ms late", f"{worst['survival']:.1%}"))
        rows += _hil_rows(r["hil"])
        rows.append(("policy file", r["policy"]))
        show_table("flown by the chip, in the loop", ("what", "figure"), rows)


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, what is missing, and how to get it."""

    json: Json = False

    def run(self) -> Result:
        from dataclasses import asdict

        from tinyfly.doctor import examine

        findings = examine()
        missing = [f.what for f in findings if f.required and f.found is None]
        return {"findings": [asdict(f) for f in findings], "missing": missing, "failed": len(missing)}

    @staticmethod
    def show(r: Result) -> None:
        rows = (
            (f["what"], f["found"] or ("MISSING" if f["required"] else "not installed"), f["purpose"],
             "" if f["found"] else f["install"])
            for f in r["findings"]
        )  # fmt: skip
        show_table("tinyfly doctor", ("what", "found", "needed for", "get it"), rows)


COMMANDS: dict[str, Any] = {
    "fly": Fly,
    "train": Train,
    "evaluate": Evaluate,
    "export": Export,
    "build": Build,
    "hil": Hil,
    "report": Report,
    "doctor": Doctor,
}


def main(argv: list[str] | None = None) -> None:
    """Run one command. Exit code 0: done; 1: a test or check failed; 2: bad input; 130: interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill cleans up as Ctrl-C does
    try:
        command = _parse(sys.argv[1:] if argv is None else argv)
        result = command.run()
        if command.json:
            print_json(result)
        else:
            command.show(result)
    except UserError as e:
        say(f"tinyfly: {e}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("tinyfly: interrupted")
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)  # the reader has seen enough: `tinyfly … | head`
    if result.get("failed"):
        sys.exit(1)


def _parse(args: list[str]) -> Any:
    config = (tyro.conf.FlagCreatePairsOff,)
    if args and args[0] in COMMANDS:  # one command's parser alone: a tenth of the start-up of all of them
        return tyro.cli(COMMANDS[args[0]], prog=f"tinyfly {args[0]}", args=args[1:], config=config)
    about = "Teach a quadrotor to fly in about a second, and prove the policy in the chip that will fly it."
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="tinyfly", description=about, args=args, config=config
    )


def _policy_path(t: Train) -> Path:
    if t.out.suffix:
        return t.out
    airframe = "" if t.airframe == "crazyflie" else f"-{Path(t.airframe).stem}"
    return t.out / f"{t.task}{airframe}-{t.seed}.policy"


def _hil_rows(r: Result) -> list[tuple[str, str]]:
    return [
        ("hover error", f"{1e3 * r['hover_error_m']:.1f} mm"),
        ("figure-eight error", f"{1e3 * r['figure_eight_rmse_m']:.1f} mm"),
        ("instructions per control step", _count(r["instructions_per_step"])),
        ("flash", f"{_count(r['flash_bytes'])} bytes"),
        ("RAM", f"{_count(r['ram_bytes'])} bytes"),
        ("worst serial round trip", f"{r['round_trip_ms_max']:.1f} ms"),
        ("checks passed, failed", f"{r['passed']}, {r['failed']}"),
    ]


def _count(n: float | None) -> str:
    return "-" if n is None else f"{n:,.0f}"


if __name__ == "__main__":
    main()
