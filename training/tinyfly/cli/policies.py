"""Commands that make and judge a policy: train, evaluate, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tinyfly.cli.options import (
    Airframe,
    Json,
    OptionalPath,
    PolicyFile,
    Result,
    require_folder,
    require_seed,
    require_writable,
)
from tinyfly.console import error_text, progress, show_table
from tinyfly.errors import UserError

if TYPE_CHECKING:
    from tinyfly.airframe import Airframe as Vehicle
    from tinyfly.evaluate import Evaluation
    from tinyfly.learning import LearningCurve
    from tinyfly.policy import Policy

Task = Literal["crazyflie", "paper", "tracking"]
Algorithm = Literal["gradient", "td3"]


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
    seeds: int = 1
    """train this many seeds, from --seed up, in parallel; keep the best in validation, under its own seed"""
    algorithm: Algorithm = "gradient"
    """gradient: through the simulator, with a costate critic; td3: the paper's own (needs torch, minutes)"""
    watch: bool = False
    """fly the new policy's figure-eight afterwards, in the terminal or in rerun's viewer"""
    log_dir: Annotated[OptionalPath, tyro.conf.arg(metavar="DIR")] = None
    """folder for TensorBoard: one run under the policy's name (needs tensorboardX)"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.learning import LearningCurve

        start = time.perf_counter()
        path = self._path(self.seed)
        require_writable(path)
        require_seed(self.seed)
        if self.log_dir:
            from tinyfly.tensorboard import require_tensorboard, write_events

            require_tensorboard()
            require_writable(self.log_dir / path.stem / "events")
        with progress("train") as report:
            curve = LearningCurve(report)
            policy = self._train(curve)
        path = self._path(policy.provenance["seed"])  # of --seeds, the one that is kept
        policy.save(path)
        wall_s = time.perf_counter() - start
        curve.save(policy, path)
        if self.log_dir:
            write_events(self.log_dir / path.stem, curve.rows, policy.provenance)
        if self.watch:
            _watch(policy, path)
        return {
            "policy": str(path),
            "task": self.task,
            "airframe": self.airframe,
            "seed": policy.provenance["seed"],
            "wall_s": round(wall_s, 4),
            "env_steps": policy.provenance["env_steps"],
        }

    @staticmethod
    def show(r: Result) -> None:
        steps = f"{r['env_steps'] / 1e6:.2f} M steps, seed {r['seed']}"
        print(f"trained {r['policy']} in {r['wall_s']:.2f} s ({steps})")

    def _path(self, seed: int) -> Path:
        if self.out.suffix:
            return self.out
        airframe = "" if self.airframe == "crazyflie" else f"-{Path(self.airframe).stem}"
        return self.out / f"{self.task}{airframe}-{seed}.policy"

    def _train(self, curve: LearningCurve) -> Policy:
        if self.algorithm == "td3":
            from tinyfly import td3

            if self.task != "paper" or self.seeds != 1:
                raise UserError("--algorithm td3 learns --task paper, one seed at a time")
            if self.budget:
                raise UserError("--algorithm td3 takes the paper's 300,000 steps: it has no --budget")
            return td3.train(td3.Settings(airframe=self.airframe, seed=self.seed), curve)
        from tinyfly.trainer import Settings, train

        settings = Settings(self.task, self.airframe, self.seed, self.budget or None)
        if self.seeds == 1:
            return train(settings, curve)
        from tinyfly.seeds import train_seeds

        best = train_seeds(settings, self.seeds, curve)[0]
        curve.rows[:] = best.learning
        assert best.policy is not None
        return best.policy


@dataclass(frozen=True)
class Evaluate:
    """Fly a policy in the simulator: survival, hover and figure-eight error by latency.

    Errors are the survivors'; beside that of the figure-eight stands how many of them were lost.
    """

    policy: PolicyFile
    airframe: str = ""
    """airframe to fly, a name or TOML file; the policy's own when empty"""
    episodes: int = 1000
    """episodes for each latency"""
    seed: int = 0
    """which held-out episodes: none of them is ever trained on"""
    plant: str = "rk4"
    """dynamics to fly in: ours (rk4), or those of others: drone-models, mujoco, crazyflow, l2f"""
    against: OptionalPath = None
    """another policy, flown in the same episodes and compared pair by pair"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.evaluate import airframe_of
        from tinyfly.policy import Policy

        require_seed(self.seed)
        policy = Policy.load(self.policy)
        airframe = airframe_of(policy, self.airframe)
        ours = self._fly(policy, airframe)
        result = {"policy": str(self.policy), "airframe": airframe.name, **ours.to_json()}
        if self.against is None:
            return result
        theirs = self._fly(Policy.load(self.against), airframe)
        return result | {"against": str(self.against), "paired": _paired(ours, theirs)}

    def _fly(self, policy: Policy, airframe: Vehicle) -> Evaluation:
        from tinyfly.evaluate import evaluate

        return evaluate(policy, airframe, episodes=self.episodes, seed=self.seed, plant=self.plant)

    @staticmethod
    def show(r: Result) -> None:
        rows = (
            (
                f"{row['latency_ms']:g} ms",
                f"{row['survival']:.1%}",
                # Whether any is left; how many are has a column of its own.
                error_text(row["hover_error_m"], row["hover_error_m_ci"], row["survival"] > 0),
                error_text(
                    row["figure_eight_rmse_m"],
                    row["figure_eight_rmse_m_ci"],
                    row["figure_eight_survival"],
                ),
            )
            for row in r["results"]
        )
        title = f"{r['policy']} on {r['airframe']}, {r['episodes']} episodes each; 95 % intervals"
        show_table(title, ("latency", "survival", "hover error", "figure-eight 5.5 s"), rows)
        if "paired" in r:
            pairs = (
                (
                    p["scenario"],
                    f"{p['latency_ms']:g} ms",
                    p["what"],
                    f"{p['mean']:+.4f}",
                    f"{p['p_value']:.3f}",
                )
                for p in r["paired"]
            )
            title = f"{r['policy']} minus {r['against']}, episode by episode (m, or share)"
            show_table(title, ("scenario", "latency", "what", "difference", "p"), pairs)


@dataclass(frozen=True)
class Report:
    """Write a flight report: one HTML file with replays, errors, robustness and costs; needs no network."""

    policy: PolicyFile
    out: Path = Path("runs")
    """HTML file to write, or a folder to name it in"""
    compare: tuple[Path, ...] = ()
    """up to three more policies to fly beside it"""
    hil: tuple[Path, ...] = ()
    """what `tinyfly hil` left: its --json output in a file, logs, or the folder of its --log"""
    figures: OptionalPath = None
    """also write every figure as PNG and SVG into this folder (needs matplotlib)"""
    airframe: str = ""
    """airframe to fly; the policy's own when empty"""
    episodes: int = 1000
    """thrown episodes to show, 10 to 1000"""
    json: Json = False

    def run(self) -> Result:
        from tinyfly.policy import Policy
        from tinyfly.report import write_report
        from tinyfly_hil import scenes

        out = self.out if self.out.suffix else self.out / f"{self.policy.stem}.html"
        require_writable(out)
        if self.figures:
            require_folder(self.figures)
        logs = [p for p in self.hil if p.is_dir() or p.suffix == ".npz"]
        summaries = [p for p in self.hil if p not in logs]
        if len(summaries) > 1:
            raise UserError(f"{summaries[1]} is a second summary: a report shows one, and any number of logs")
        with progress("report") as report:
            path = write_report(
                self.policy,
                out,
                compare=self.compare,
                hil=summaries[0] if summaries else None,
                chip_flights=scenes.flights(logs, Policy.load(self.policy)) if logs else (),
                figures=self.figures,
                airframe=self.airframe or None,
                episodes=self.episodes,
                progress=report,
            )
        return {"policy": str(self.policy), "report": str(path)}

    @staticmethod
    def show(r: Result) -> None:
        print(r["report"])


def _paired(ours: Evaluation, theirs: Evaluation) -> list[Result]:
    from tinyfly.evaluate import compare

    return [
        {
            "scenario": b.scenario,
            "latency_ms": b.latency_ms,
            "what": what,
            "mean": p.difference.mean,
            "ci": [p.difference.low, p.difference.high],
            "p_value": p.p_value,
        }
        for a, b in zip(theirs.outcomes, ours.outcomes, strict=True)
        for what, p in compare(a, b).items()
    ]


def _watch(policy: Policy, path: Path) -> None:
    from tinyfly.airframe import Airframe
    from tinyfly.report.live import watch_flight

    watch_flight(policy, Airframe.from_dict(policy.airframe), path.name)
