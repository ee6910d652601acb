"""Commands about everything: fly, doctor."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinyfly.cli.chips import Build
from tinyfly.cli.hil import Hil, hil_rows
from tinyfly.cli.options import Json, OptionalPath, Result, require_writable
from tinyfly.cli.policies import Evaluate, Train
from tinyfly.console import progress, say, show_table

EPISODES = 200


@dataclass(frozen=True)
class Fly:
    """Train, evaluate, export, build, boot the emulated STM32F405 and fly it over serial: all in a row."""

    policy: Annotated[OptionalPath, tyro.conf.Positional, tyro.conf.arg(metavar="[POLICY]")] = None
    """policy file to fly; trains a new one when none is given"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.policy import write_atomically
        from tinyfly.report import write_report

        result: Result = {}
        policy = self.policy
        if policy is None:
            say("training a policy for the Crazyflie")
            result["train"] = Train().run()
            policy = Path(result["train"]["policy"])
        for result_file in (".hil.json", ".html"):
            require_writable(policy.with_suffix(result_file))
        say("flying it in the simulator")
        result["evaluate"] = Evaluate(policy, episodes=EPISODES).run()
        say("compiling it for the STM32F405")
        result["build"] = Build(policy).run()
        say("flying the emulated chip over serial: the quick tests (tinyfly hil --thorough runs all)")
        result["hil"] = Hil(policy).run()
        say("writing the flight report")
        summary = write_atomically(policy.with_suffix(".hil.json"), json.dumps(result["hil"]).encode())
        with progress("report") as told:
            report = write_report(
                policy,
                hil=summary,
                episodes=EPISODES,
                evaluation=result["evaluate"]["results"],
                progress=told,
            )
        return {"policy": str(policy), **result, "report": str(report), "failed": result["hil"]["failed"]}

    @staticmethod
    def show(r: Result) -> None:
        rows = []
        if "train" in r:
            rows.append(("training", f"{r['train']['wall_s']:.2f} s"))
        worst = max(r["evaluate"]["results"], key=lambda row: row["latency_ms"])
        rows.append((f"survival in simulation, {worst['latency_ms']:g} ms late", f"{worst['survival']:.1%}"))
        rows += [*hil_rows(r["hil"]), ("policy file", r["policy"]), ("flight report", r["report"])]
        show_table("flown by the chip, in the loop", ("what", "figure"), rows)


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, what is missing, and how to get it."""

    json: Json = False

    def run(self) -> Result:
        from tinyfly.doctor import examine

        findings = examine()
        missing = [f.what for f in findings if f.required and f.found is None]
        return {"findings": [asdict(f) for f in findings], "missing": missing, "failed": len(missing)}

    @staticmethod
    def show(r: Result) -> None:
        rows = []
        for f in r["findings"]:
            absent = "MISSING" if f["required"] else "not installed"
            rows.append((f["what"], f["purpose"], f["found"] or f"{absent}: {f['install']}"))
        show_table("tinyfly doctor", ("what", "needed for", "found"), rows, justify="left")
