"""The command that proves a policy on its chip: hil, in all its modes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from tinyfly.cli.options import (
    Json,
    OptionalCount,
    OptionalPath,
    OptionalSeconds,
    OptionalText,
    PolicyFile,
    Result,
    count,
    millimetres,
    require_folder,
    require_seed,
    require_writable,
)
from tinyfly.console import progress, say, show_table
from tinyfly.errors import UserError

# What else counts in a mode; any other flag would be forgotten without a word, and so it is refused.
_SUITE = ("--thorough", "--select", "--junit", "--log")
_PLAYS_A_PART = {"--faults": ("--log", "--seed"), "--campaign": ("--seed",), "the suite": _SUITE}


@dataclass(frozen=True)
class Hil:
    """Test the very binary: the simulator flies the chip over a serial port."""

    policy: PolicyFile
    port: str = "qemu"
    """qemu, host, line:qemu, auto, a device such as /dev/ttyUSB0, or socket://HOST:PORT"""
    image: OptionalPath = None
    """test this firmware.elf, or fly a complete Crazyflie image (cf2.elf) in an ARM emulator (no port)"""
    thorough: bool = False
    """the whole suite, minutes: before propellers go on a changed firmware, port, compiler or contract"""
    select: str = ""
    """only tests whose names match, as pytest's -k"""
    junit: OptionalPath = None
    """write JUnit XML to this file"""
    log: OptionalPath = None
    """write a log of every test (with --faults: of the flight) into this folder"""
    faults: OptionalText = None
    """fly once with these faults, such as drop=0.05,delay=30ms,nan=0.1@1s..2s"""
    campaign: OptionalCount = None
    """fly this many random fault sequences; a failure is shrunk and its command printed"""
    free_run: OptionalSeconds = None
    """hover so many seconds on the chip's own clock; answers late at 500 Hz or a flight lost are failures"""
    seed: int = 0
    """random seed of --faults and --campaign"""
    replay: OptionalPath = None
    """send a log again and name the first answer that differs in a bit"""
    watch: bool = False
    """show one figure-eight while the chip flies it, in the terminal or in rerun's viewer"""
    json: Json = False

    def run(self) -> Result:
        self._check()
        modes = {
            "--image": (self.image, self._fly_image),
            "--faults": (self.faults, self._fly_faults),
            "--campaign": (self.campaign, self._fly_campaign),
            "--free-run": (self.free_run, self._free_run),
            "--replay": (self.replay, self._replay),
            "--watch": (self.watch, self._watch),
        }
        chosen = {flag: run for flag, (value, run) in modes.items() if value not in (None, False)}
        if len(chosen) > 1:
            raise UserError(f"{' and '.join(chosen)} do not go together: choose one")
        mode, run = next(iter(chosen.items()), ("the suite", self._run_suite))
        if self.image and self._is_our_image():
            mode = "the suite"
        self._check_flags(mode)
        return run()

    def _check(self) -> None:
        require_seed(self.seed)
        if self.campaign is not None and not 1 <= self.campaign <= 1_000_000:
            raise UserError(f"--campaign {self.campaign}: expected 1 to 1000000 flights")
        if self.free_run is not None and not 1 <= self.free_run <= 3600:
            raise UserError(f"--free-run {self.free_run:g}: expected 1 to 3600 s")
        if self.faults is not None and not self.faults.strip(", "):
            raise UserError(
                f"--faults {self.faults!r}: no fault in it, expected such as drop=0.05,delay=30ms"
            )
        if self.junit:
            require_writable(self.junit)
        if self.log:
            require_folder(self.log)

    def _check_flags(self, mode: str) -> None:
        given = {
            "--thorough": self.thorough,
            "--select": self.select,
            "--junit": self.junit,
            "--log": self.log,
            "--seed": self.seed,
        }
        for flag, value in given.items():
            if value and flag not in _PLAYS_A_PART.get(mode, ()):
                where = " and ".join(m for m, flags in _PLAYS_A_PART.items() if flag in flags)
                raise UserError(f"{flag} has no meaning with {mode}: it is for {where}")

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

    def _is_our_image(self) -> bool:
        from tinyfly_hil import build

        return self.image is not None and build.is_ours(self.image)

    def _fly_image(self) -> Result:
        from tinyfly.policy import Policy
        from tinyfly_hil import image

        assert self.image is not None
        if self._is_our_image():
            return replace(self, port=f"{self.port}:{self.image}", image=None).run()
        return image.check(self.image, Policy.load(self.policy))

    def _fly_faults(self) -> Result:
        from tinyfly_hil import campaign, faults

        assert self.faults is not None
        log = self.log / "faults.npz" if self.log else None
        outcome = campaign.once(self.policy, self.port, faults.parse(self.faults), self.seed, log)
        return {"target": self.port, "faults": self.faults, **asdict(outcome), "failed": len(outcome.broken)}

    def _fly_campaign(self) -> Result:
        from tinyfly_hil import campaign

        assert self.campaign is not None
        with progress("campaign", every_s=30.0) as report:
            found = campaign.run(
                self.policy,
                self.port,
                self.campaign,
                self.seed,
                report,
                lambda failure: say(f"{failure.broken[0]}\n  {failure.command}"),
            ).to_json()
        return {"target": self.port, **found, "failed": len(found["failures"])}

    def _free_run(self) -> Result:
        from tinyfly_hil import realtime

        assert self.free_run is not None
        return realtime.measure(self.policy, self.port, self.free_run)

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
        if "flights" in r:
            show_campaign(r)
            return
        for name, value in r.items():
            print(f"{name}: {value}")


def hil_rows(r: Result) -> list[tuple[str, str]]:
    """A suite's figures for people; what the target cannot give is left out."""
    rows = [
        ("hover error", r["hover_error_m"], millimetres),
        ("figure-eight error", r["figure_eight_rmse_m"], millimetres),
        ("network's arithmetic", r.get("kernel"), "{}".format),
        ("instructions per control step", r["instructions_per_step"], count),
        ("flash, bytes", r["flash_bytes"], count),
        ("RAM, bytes", r["ram_bytes"], count),
        ("worst serial round trip", r["round_trip_ms_max"], "{:.1f} ms".format),
    ]
    shown = [(what, form(value)) for what, value, form in rows if value is not None]
    return [*shown, ("checks passed, failed", f"{r['passed']}, {r['failed']}")]


def show_campaign(r: Result) -> None:
    """A campaign's counts by fault and by the chip's state at the end, and what did not hold."""
    states = list(next(iter(r["faults"].values())))
    rows = [[kind, *(count(row[state]) for state in states)] for kind, row in r["faults"].items()]
    title = f"{count(r['flights'])} flights on {r['target']}, {r['failed']} failures; one to four faults each"
    show_table(title, ["fault", *states], rows)
    show_table("how they ended", ("state (reason)", "flights"), ((e, count(n)) for e, n in r["ends"].items()))
    for failure in r["failures"]:
        print(f"{failure['broken'][0]}\n  {failure['command']}")
