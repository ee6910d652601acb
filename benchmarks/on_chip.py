"""What one policy step costs on a Cortex-M, side by side, in one run, with no board.

    python benchmarks/on_chip.py [POLICY ...] [--cpu M4F M7 M0] [--markdown]

Instructions are exact; cycles are the estimate of tinyfly_export.cycles, lo..hi, a model and no measurement.
Every variant is compiled here, run on its instruction set, and compared with the policy on golden vectors.
Without a POLICY: random weights of three shapes (time does not depend on the weights).
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfly.airframe import Airframe
from tinyfly.contract import Channel, Contract, paper_contract
from tinyfly.evaluate import fly_scenario
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_export import c_source as c
from tinyfly_export.c import CORE, export_c
from tinyfly_export.cortex_m import Machine, build
from tinyfly_export.cycles import DATA_MISS, LINE_BYTES, estimate
from tinyfly_export.integer import quantise
from tinyfly_export.integer_c import bundle
from tinyfly_export.proof import Array, plausible
from tinyfly_export.recorded import record

MHZ = {"M4F": 168, "M7": 216, "M0": 16}
HEAD = ("variant", "instructions", "cycles", "from flash", "us", "text", "const", "RAM", "stack", "error")


@dataclass(frozen=True)
class Variant:
    """A way to run the network: what to compile, and which functions are timed under which names."""

    name: str
    prepare: Callable[[Policy, Path], list[Path]]
    include: tuple[Path, ...] = ()
    flags: str = "-O2"
    timed: tuple[tuple[str, str], ...] = (("bench_step", ""),)
    cpus: tuple[str, ...] = ("M4F", "M7", "M0")


def ours(policy: Policy, folder: Path) -> list[Path]:
    """The firmware's own sources; the history's newest slot and the state are the critical path."""
    _, data = export_c(policy, folder, golden=1)
    bench = folder / "bench.c"
    old = max(4 * (policy.contract.history_length - 1), 0)
    bench.write_text(
        f'#include "tf_policy_data.h"\n#define OLD {old}u\n'
        "float bench_input[TF_POLICY_INPUTS], bench_partial[TF_POLICY_PARTIAL], bench_action[4];\n"
        "void bench_step(void) { tf_network_step(&tf_policy_network, bench_input, bench_action); }\n"
        "void bench_prepare(void)\n"
        "{ tf_network_prepare(&tf_policy_network, bench_input, OLD, bench_partial); }\n"
        "void bench_finish(void)\n"
        "{ tf_network_finish(&tf_policy_network, bench_partial, bench_input + OLD, bench_action); }\n"
    )
    return [*(CORE / f"tf_{name}.c" for name in ("network", "kernel", "tanh")), data, bench]


def int16(policy: Policy, folder: Path) -> list[Path]:
    """16-bit integers; time does not depend on the scales, so those of the golden vectors serve."""
    network = quantise(policy, policy.golden_observation[:, plausible(policy)])
    for name, text in bundle(network, policy.contract.size).items():
        (folder / name).write_text(text)
    old = max(4 * (policy.contract.history_length - 1), 0)
    (folder / "bench.c").write_text(
        f'#include "policy_i16.h"\n#define OLD {old}u\n{_buffers(policy)}\n'
        f"int32_t bench_partial[{policy.layers[0].bias.size + 3}];\n"
        "void bench_step(void) { tf_network_i16_step(&policy_i16, bench_input, bench_action); }\n"
        "void bench_prepare(void)\n"
        "{ tf_network_i16_prepare(&policy_i16, bench_input, OLD, bench_partial); }\n"
        "void bench_finish(void)\n"
        "{ tf_network_i16_finish(&policy_i16, bench_partial, OLD, bench_input + OLD, bench_action); }\n"
    )
    return [folder / "policy_i16.c", folder / "bench.c"]


def plain_loop(policy: Policy, folder: Path) -> list[Path]:
    """What everybody writes first."""
    text = ["#include <math.h>", _buffers(policy)]
    body = []
    for i, layer in enumerate(policy.layers):
        rows, columns = layer.weight.shape
        text.append(f"static const float w{i}[{rows}][{columns}] = {_rows(layer.weight)};")
        text.append(f"static const float b{i}[{rows}] = {c.array(layer.bias)};")
        x = "bench_input" if i == 0 else f"x{i}"
        out = "bench_action" if i + 1 == len(policy.layers) else f"x{i + 1}"
        if out != "bench_action":
            text.append(f"static float {out}[{rows}];")
        body.append(
            f"for (int r = 0; r < {rows}; r++) {{ float s = b{i}[r];\n"
            f"for (int k = 0; k < {columns}; k++) s += w{i}[r][k] * {x}[k];\n"
            f"{out}[r] = tanhf(s); }}"
        )
    text.append("void bench_step(void) {\n" + "\n".join(body) + "\n}\n")
    (folder / "plain.c").write_text("\n".join(text))
    return [folder / "plain.c"]


def emlearn(policy: Policy, folder: Path) -> list[Path]:
    """emlearn's network header, fed the tables its converter would write."""
    text = ["#include <eml_net.h>", _buffers(policy)]
    layers = []
    for i, layer in enumerate(policy.layers):
        rows, columns = layer.weight.shape
        text.append(f"static const float w{i}[{rows * columns}] = {c.array(layer.weight.T)};")
        text.append(f"static const float b{i}[{rows}] = {c.array(layer.bias)};")
        layers.append(f"{{ {rows}, {columns}, w{i}, b{i}, EmlNetActivationTanh }}")
    widest = max(policy.contract.size, *(layer.bias.size for layer in policy.layers))
    text.append(
        f"static float one[{widest}], two[{widest}];\n"
        f"static const EmlNetLayer layers[] = {{ {', '.join(layers)} }};\n"
        f"static EmlNet net = {{ {len(layers)}, layers, one, two, {widest} }};\n"
        f"void bench_step(void) {{ eml_net_infer(&net, bench_input, {policy.contract.size});\n"
        "for (int i = 0; i < 4; i++) bench_action[i] = two[i]; }\n"
    )
    (folder / "emlearn.c").write_text("\n".join(text))
    return [folder / "emlearn.c"]


def variants() -> list[Variant]:
    split = (("bench_step", ""), ("bench_prepare", ", ahead of time"), ("bench_finish", ", critical path"))
    found = [
        Variant("tinyfly, assembly", ours, (CORE,), timed=split, cpus=("M4F", "M7")),
        Variant("tinyfly, portable C", ours, (CORE,), "-O2 -DTF_PORTABLE_KERNEL", split),
        Variant("tinyfly, int16 SMLAD", int16, timed=split, cpus=("M4F", "M7")),
        Variant("tinyfly, int16 portable C", int16, flags="-O2 -DTF_PORTABLE_KERNEL", timed=split),
        Variant("plain loop -O3, tanhf", plain_loop, flags="-O3"),
    ]
    package = importlib.util.find_spec("emlearn")
    if package is None or package.origin is None:
        print("emlearn is not installed (pip install emlearn): left out")
    else:
        found.append(Variant("emlearn -O3", emlearn, (Path(package.origin).parent,), "-O3 -w"))
    return found


def measure(policy: Policy, variant: Variant, cpu: str) -> list[tuple[str, ...]]:
    """One row per timed function."""
    with tempfile.TemporaryDirectory(prefix="tinyfly-") as name:
        folder = Path(name)
        sources = variant.prepare(policy, folder)
        elf = build(sources, [*variant.include, folder], folder / "bench.elf", cpu, variant.flags)
        machine = Machine(elf, cpu)
        error = largest_error(policy, machine, 24 if cpu == "M0" else 221)
        size = [machine.sections.get(s, 0) for s in (".text", ".rodata", ".data", ".bss")]
        rows = []
        for function, label in variant.timed:
            result = "bench_partial" if function == "bench_prepare" else "bench_action"
            e = estimate(machine, machine.trace(function, result), cpu)
            lo, hi = e.cycles_flash
            cost = ("-", "-", "-")
            if hi:
                us = f"{lo / MHZ[cpu]:.0f}..{hi / MHZ[cpu]:.0f}"
                cost = (_range(e.cycles), _range(e.cycles_flash) if cpu == "M4F" else "=", us)
            memory = [f"{n:,}" for n in (size[0], size[1], size[2] + size[3], e.stack_bytes)]
            shown = f"{error:.1e}" if function == "bench_step" else ""
            rows.append((variant.name + label, f"{e.instructions:,}", *cost, *memory, shown))
    return rows


def largest_error(policy: Policy, machine: Machine, vectors: int) -> float:
    """Against the policy, over plausible golden vectors."""
    worst = 0.0
    for i in np.flatnonzero(plausible(policy))[:vectors]:
        machine.write("bench_input", np.ascontiguousarray(policy.golden_observation[:, i]).tobytes())
        machine.call("bench_step")
        action = np.frombuffer(machine.read("bench_action"), np.float32)
        worst = max(worst, float(np.abs(action - policy.golden_action[:, i]).max()))
    return worst


def lower_bound(policy: Policy) -> tuple[str, ...]:
    """Float: a load, a multiply and an add for every weight; every line of weights missed once."""
    cycles = 3 * policy.multiply_adds
    flash = cycles + DATA_MISS * 4 * policy.multiply_adds // LINE_BYTES
    us = f"{flash / MHZ['M4F']:.0f}"
    return (
        "lower bound, float",
        "",
        f"{cycles:,}",
        f"{flash:,}",
        us,
        "",
        f"{4 * policy.multiply_adds:,}",
        "",
        "",
        "",
    )


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
    """Random policies: the paper's shape, and a small one without history."""
    state = tuple(ch for ch in paper_contract().channels if ch.name != "action_history")
    contracts = [
        (paper_contract(), (64, 64)),
        (Contract((*state, Channel("reference_acceleration", 3)), history_length=0), (32, 32)),
    ]
    policies = []
    for contract, widths in contracts:
        rng = np.random.default_rng(0)
        sizes = [contract.size, *widths, 4]
        layers = [
            Layer((rng.standard_normal((m, n)) / np.sqrt(n)).astype(np.float32), np.zeros(m, np.float32))
            for n, m in itertools.pairwise(sizes)
        ]
        policies.append(Policy.create(contract, tuple(layers), {"name": "random weights"}, {}))
    return policies


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


def _buffers(policy: Policy) -> str:
    return f"float bench_input[{policy.contract.size}], bench_action[4];"


def _rows(matrix: np.ndarray) -> str:
    return "{" + ", ".join(c.array(row) for row in matrix) + "}"


def _range(bounds: tuple[int, int]) -> str:
    return f"{bounds[0] / 1000:.1f}..{bounds[1] / 1000:.1f}k"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policies", nargs="*", metavar="POLICY", help="policy files")
    parser.add_argument("--cpu", nargs="+", choices=list(MHZ), default=["M4F"])
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    for policy in [Policy.load(p) for p in args.policies] or shapes():
        shape = "-".join(map(str, [policy.contract.size, *(x.bias.size for x in policy.layers)]))
        for cpu in args.cpu:
            print(f"\n{shape} ({policy.multiply_adds:,} multiply-adds), Cortex-{cpu} at {MHZ[cpu]} MHz\n")
            rows = [row for v in variants() if cpu in v.cpus for row in measure(policy, v, cpu)]
            show([*rows, lower_bound(policy)] if cpu == "M4F" else rows, args.markdown)
        if args.policies:
            fly(policy)


if __name__ == "__main__":
    main()
