"""The ways to run a network that on_chip.py builds and compares: ours, a plain loop, emlearn."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfly.policy import Policy
from tinyfly_export import c_source as c
from tinyfly_export.arithmetic import Kernel
from tinyfly_export.c import CORE, export_c
from tinyfly_export.float_c import float_kernel, whole_kernel
from tinyfly_export.integer_c import bundle
from tinyfly_export.proof import plausible
from tinyfly_export.quantise import quantise


@dataclass(frozen=True)
class Variant:
    """A way to run the network: what to compile, and which functions are timed under which names."""

    name: str
    prepare: Callable[[Policy, Path], list[Path]]
    include: tuple[Path, ...] = ()
    flags: str = "-O2"
    timed: tuple[tuple[str, str], ...] = (("bench_step", ""),)
    cpus: tuple[str, ...] = ("M4F", "M7", "M0")


def in_modes(policy: Policy, folder: Path) -> list[Path]:
    """The firmware's own sources; the history's newest slot and the state are the critical path."""
    return _ours(policy, folder, float_kernel(policy))


def whole_layers(policy: Policy, folder: Path) -> list[Path]:
    """The same as for a policy without mirrors."""
    return _ours(policy, folder, whole_kernel(policy))


def _ours(policy: Policy, folder: Path, kernel: Kernel) -> list[Path]:
    _, data = export_c(policy, folder, golden=1, kernel=kernel)
    bench = folder / "bench.c"
    bench.write_text(
        '#include "tf_policy.h"\n'
        "float bench_input[TF_POLICY_INPUTS], bench_action[4];\ntf_policy_partial_t bench_partial;\n"
        "void bench_step(void) { tf_policy_step(bench_input, bench_action); }\n"
        "void bench_prepare(void) { tf_policy_prepare(bench_input, &bench_partial); }\n"
        "void bench_finish(void) { tf_policy_finish(bench_input, &bench_partial, bench_action); }\n"
    )
    return [*(CORE / name for name in kernel.sources), data, bench]


def integers(policy: Policy, folder: Path, weight_bits: int = 16) -> list[Path]:
    """Time does not depend on the scales, so those of the golden vectors serve."""
    network = quantise(policy, policy.golden_observation[:, plausible(policy)], weight_bits)
    for name, text in bundle(network, policy.contract).items():
        (folder / name).write_text(text)
    (folder / "bench.c").write_text(
        f'#include "policy_i16.h"\n{_buffers(policy)}\n'
        "int32_t bench_partial[POLICY_I16_SUMS];\n"
        "void bench_step(void) { policy_i16_step(bench_input, bench_action); }\n"
        "void bench_prepare(void) { policy_i16_prepare(bench_input, bench_partial); }\n"
        "void bench_finish(void) { policy_i16_finish(bench_input, bench_partial, bench_action); }\n"
    )
    return [folder / "policy_i16.c", folder / "bench.c"]


def int8(policy: Policy, folder: Path) -> list[Path]:
    """int8 weights with a scale for each row, int16 inputs and activations."""
    return integers(policy, folder, 8)


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


def variants(policy: Policy) -> list[Variant]:
    """Those that can run this policy: in modes, one that has mirrors."""
    split = (("bench_step", ""), ("bench_prepare", ", ahead of time"), ("bench_finish", ", critical path"))
    name = "tinyfly in modes" if policy.modal else "tinyfly"
    found = []
    for floats, prepare in {name: in_modes, "tinyfly": whole_layers}.items():
        found += [
            Variant(f"{floats}, assembly", prepare, (CORE,), timed=split, cpus=("M4F", "M7")),
            Variant(f"{floats}, portable C", prepare, (CORE,), "-O2 -DTF_PORTABLE_KERNEL", split),
        ]
    found += [
        Variant(f"{name}, int16 SMLAD", integers, timed=split, cpus=("M4F", "M7")),
        Variant(f"{name}, int8 weights, SMLAD", int8, timed=split, cpus=("M4F", "M7")),
        Variant(f"{name}, int16 portable C", integers, flags="-O2 -DTF_PORTABLE_KERNEL", timed=split),
        Variant(f"{name}, int8 weights, portable C", int8, flags="-O2 -DTF_PORTABLE_KERNEL", timed=split),
        Variant("plain loop -O3, tanhf", plain_loop, flags="-O3"),
    ]
    package = importlib.util.find_spec("emlearn")
    if package is None or package.origin is None:
        print("emlearn is not installed (pip install emlearn): left out")
    else:
        found.append(Variant("emlearn -O3", emlearn, (Path(package.origin).parent,), "-O3 -w"))
    return found


def _buffers(policy: Policy) -> str:
    return f"float bench_input[{policy.contract.size}], bench_action[4];"


def _rows(matrix: np.ndarray) -> str:
    return "{" + ", ".join(c.array(row) for row in matrix) + "}"
