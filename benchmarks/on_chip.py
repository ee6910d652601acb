"""What one policy step costs on a Cortex-M, side by side, in one run, with no board.

    python benchmarks/on_chip.py [POLICY ...] [--cpu M4F M7 M0] [--images DIR] [--markdown]

Instructions are exact; cycles are the estimate of tinyfly_export.cycles, lo..hi, a model and no measurement.
Every variant is compiled here, run on its instruction set, and compared with the policy on golden vectors;
--images adds images that are linked already (images.py says what they hold).
Without a POLICY: untrained ones of three shapes (time does not depend on the weights).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import chip_gru
import images
import numpy as np
from chip_variants import Variant, variants
from quality import train_timed

from tinyfly.airframe import Airframe
from tinyfly.contract import Contract
from tinyfly.errors import UserError
from tinyfly.evaluate import fly_scenario
from tinyfly.policy import Policy
from tinyfly.task import make_task, with_history, with_recipe
from tinyfly_export.cortex_m import Machine, build
from tinyfly_export.cycles import DATA_MISS, LINE_BYTES, Estimate, estimate
from tinyfly_export.proof import Array, plausible
from tinyfly_export.quantise import quantise
from tinyfly_export.recorded import record

MHZ = {"M4F": 168, "M7": 216, "M0": 16}
VECTORS = {"M4F": 221, "M7": 221, "M0": 24}  # soft-float takes its time in an emulator too
HEAD = ("variant", "instructions", "cycles", "from flash", "us", "text", "const", "RAM", "stack", "error")


def measure(policy: Policy, variant: Variant, cpu: str) -> list[tuple[str, ...]]:
    """One row per timed function."""
    with tempfile.TemporaryDirectory(prefix="tinyfly-") as name:
        folder = Path(name)
        sources = variant.prepare(policy, folder)
        elf = build(sources, [*variant.include, folder], folder / "bench.elf", cpu, variant.flags)
        machine = Machine(elf, cpu)
        error = largest_error(policy, machine, VECTORS[cpu])
        rows = []
        for function, label in variant.timed:
            result = "bench_partial" if function == "bench_prepare" else "bench_action"
            e = estimate(machine, machine.trace(function, result), cpu)
            shown = error if function == "bench_step" else None
            rows.append(_row(variant.name + label, machine, e, cpu, shown))
    return rows


def measure_image(policy: Policy, image: Path, cpu: str) -> list[tuple[str, ...]]:
    """One row per timed function of an image that somebody else linked."""
    machine = images.load(image, cpu, policy)
    error = largest_error(policy, machine, VECTORS[cpu])
    images.accept(image, error)
    rows = []
    for function, label in images.timed(machine):
        e = estimate(machine, machine.trace(function, "bench_action"), cpu)
        rows.append(_row(image.stem + label, machine, e, cpu, error if function == images.STEP else None))
    return rows


def measure_gru(cpu: str) -> list[tuple[str, ...]]:
    """The recurrent network; its time does not depend on its hidden values, so nothing is compared twice."""
    rows = []
    for name, flags in chip_gru.FLAGS.items():
        if name == "assembly" and cpu == "M0":
            continue
        with tempfile.TemporaryDirectory(prefix="tinyfly-") as folder:
            machine, error = chip_gru.machine(Path(folder), cpu, flags)
            for function, label in chip_gru.TIMED:
                e = estimate(machine, machine.trace(function, "bench_input"), cpu)
                shown = error if function == "bench_step" else None
                rows.append(_row(f"tinyfly, {name}{label}", machine, e, cpu, shown))
    return rows


def _row(name: str, machine: Machine, e: Estimate, cpu: str, error: float | None) -> tuple[str, ...]:
    lo, hi = e.cycles_flash
    cost = ("-", "-", "-")
    if hi:
        us = f"{lo / MHZ[cpu]:.0f}..{hi / MHZ[cpu]:.0f}"
        cost = (_range(e.cycles), _range(e.cycles_flash) if cpu == "M4F" else "=", us)
    size = [machine.sections.get(s, 0) for s in (".text", ".rodata", ".data", ".bss")]
    memory = [f"{n:,}" for n in (size[0], size[1], size[2] + size[3], e.stack_bytes)]
    return (name, f"{e.instructions:,}", *cost, *memory, "" if error is None else f"{error:.1e}")


def largest_error(policy: Policy, machine: Machine, vectors: int) -> float:
    """Against the policy, over plausible golden vectors; NaN where an action is NaN."""
    worst = 0.0
    for i in np.flatnonzero(plausible(policy))[:vectors]:
        machine.write("bench_input", np.ascontiguousarray(policy.golden_observation[:, i]).tobytes())
        machine.call("bench_step")
        action = np.frombuffer(machine.read("bench_action"), np.float32)
        worst = float(np.maximum(worst, np.abs(action - policy.golden_action[:, i]).max()))
    return worst


def lower_bounds(policy: Policy) -> list[tuple[str, ...]]:
    """Float: a load, a multiply and an add for every weight; every line of weights missed once."""
    bounds = {"lower bound, float": policy.multiply_adds}
    if policy.modal:
        bounds = {"lower bound, float in modes": policy.modal.multiply_adds} | bounds
    rows = []
    for name, weights in bounds.items():
        cycles = 3 * weights
        flash = cycles + DATA_MISS * 4 * weights // LINE_BYTES
        us = f"{flash / MHZ['M4F']:.0f}"
        rows.append((name, "", f"{cycles:,}", f"{flash:,}", us, "", f"{4 * weights:,}", "", "", ""))
    return rows


def fly(policy: Policy) -> None:
    """Closed loop, paired: the same held-out hovers with the float network and with the integer ones."""
    airframe = Airframe.load("crazyflie")
    recorded = record(policy, airframe)
    network = quantise(policy, recorded)
    runs: list[tuple[str, Callable[[Array], Array], int]] = [
        ("float32", policy.act, 200),
        ("int16", network.act, 200),
    ]
    if importlib.util.find_spec("tflite_micro"):
        from tinyfly_export.tflite import export_tflite_int8, run_tflite

        data = export_tflite_int8(policy, recorded)[0]["policy_int8.tflite"]
        runs.append(("TFLite int8", lambda x: run_tflite(data, x), 40))
    for name, act, episodes in runs:
        flown = fly_scenario(
            _Flier(policy.contract, act), airframe, "hover", episodes=episodes, latency_ms=10
        )
        float32 = fly_scenario(policy, airframe, "hover", episodes=episodes, latency_ms=10)
        error, reference = (np.nanmean(o.errors["hover_error_m"]) for o in (flown, float32))
        action = np.abs(act(recorded) - policy.act(recorded)).max()
        print(
            f"{name}: {episodes} hovers, survival {flown.survived.mean():.3f}, error {1000 * error:.2f} mm"
            f" ({error / reference - 1:+.2%} of float32), largest action error in flight {action:.1e}"
        )


@dataclass(frozen=True)
class _Flier:
    contract: Contract
    act: Callable[[Array], Array]


def shapes() -> list[Policy]:
    """Untrained, with mirrors: the paper's, the smallest that flies as well, the default."""
    airframe = Airframe.load("crazyflie")
    paper, default = make_task("paper", airframe), make_task("crazyflie", airframe)
    return [
        train_timed(with_recipe(t, updates=0), 0)[0] for t in (paper, with_history(paper, 4, 50.0), default)
    ]


def show(rows: list[tuple[str, ...]], markdown: bool) -> None:
    if markdown:
        print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
        for row in rows:
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(len(r[i]) for r in [HEAD, *rows]) for i in range(len(HEAD))]
    for row in [HEAD, *rows]:
        print(
            "  ".join(
                t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))
            )
        )


def _range(bounds: tuple[int, int]) -> str:
    return f"{bounds[0] / 1000:.1f}..{bounds[1] / 1000:.1f}k"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policies", nargs="*", metavar="POLICY", help="policy files")
    parser.add_argument("--cpu", nargs="+", choices=list(MHZ), default=["M4F"])
    parser.add_argument("--images", type=Path, metavar="DIR", help="linked images of the POLICY: images.py")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    try:
        run(args)
    except UserError as e:
        print(f"on_chip.py: {e}", file=sys.stderr)
        sys.exit(2)


def run(args: argparse.Namespace) -> None:
    """Every table of the chosen policies and processors; UserError before any of the work where it can be."""
    if args.images and len(args.policies) != 1:
        raise UserError("--images holds images of one policy: name that POLICY, and no other")
    policies = [Policy.load(p) for p in args.policies] or shapes()
    ready = images.find(args.images, args.cpu) if args.images else {}
    for policy in policies:
        shape = "-".join(map(str, [policy.contract.size, *(x.bias.size for x in policy.layers)]))
        for cpu in args.cpu:
            print(f"\n{shape} ({policy.multiply_adds:,} multiply-adds), Cortex-{cpu} at {MHZ[cpu]} MHz\n")
            guests = [row for image in ready.get(cpu, []) for row in measure_image(policy, image, cpu)]
            ours = [row for v in variants(policy) if cpu in v.cpus for row in measure(policy, v, cpu)]
            show(ours + guests + (lower_bounds(policy) if cpu == "M4F" else []), args.markdown)
        if args.policies:
            fly(policy)
    for cpu in args.cpu:
        print(f"\n22-16-GRU 16-4 (RAPTOR's shape, 2,084 parameters), Cortex-{cpu} at {MHZ[cpu]} MHz\n")
        show(measure_gru(cpu), args.markdown)


if __name__ == "__main__":
    main()
