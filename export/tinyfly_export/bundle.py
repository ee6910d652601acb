"""A policy as C that anyone can take: policy.h and policy.c, no dependency, with an example and a Makefile.

They are the firmware core's own sources, put together: what flies in the firmware is what is taken away.
"""

from __future__ import annotations

import ctypes
import re
import tempfile
from pathlib import Path

import numpy as np

from tinyfly.policy import GOLDEN_VECTORS, Policy
from tinyfly_export.amalgam import Amalgam
from tinyfly_export.c import CORE, data_header, golden_source, write_together
from tinyfly_export.float_c import float_kernel
from tinyfly_export.native import compile_library, find_compiler, pointer
from tinyfly_export.proof import Array, Proof, prove

TEMPLATE = Path(__file__).parent / "template"
_HEADER = """\
/* A quadrotor policy in C, made by tinyfly. policy_init and policy_step, at the end, are all there is to
 * call; the rest is what they are made of. C99, C11 or C++17; compile without -ffast-math. */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
"""
_FOOTER = """\
#ifdef __cplusplus
}
#endif
#endif
"""
_SOURCE = """\
/* Made by tinyfly; see policy.h. */
#include "policy.h"

#include <string.h>

/* A fused multiply-add rounds once where two roundings are meant. */
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""
_CHECK = """\
#include <stdio.h>
#include <string.h>

#include "policy.h"
"""


def export_bundle(policy: Policy) -> tuple[dict[str, bytes], list[Proof]]:
    """The files, compiled with this machine's compiler and run on every golden vector: not a bit differs."""
    files = bundle(policy)
    compiler = find_compiler()
    with tempfile.TemporaryDirectory(prefix="tinyfly-") as folder:
        write_together(Path(folder), files)
        library = compile_library([Path(folder) / "policy.c"], [], compiler)
    network = ctypes.byref(ctypes.c_char.in_dll(library, "tf_policy_network"))
    step = library[f"{float_kernel(policy).network}_step"]

    def run(observation: Array) -> Array:
        action = np.empty((observation.shape[1], 4), np.float32)
        for x, a in zip(np.ascontiguousarray(observation.T), action, strict=True):
            step(network, pointer(x), pointer(a))
        return action.T

    return files, [prove(policy, "c", Path(compiler).name, run, 0.0)]


def bundle(policy: Policy) -> dict[str, bytes]:
    """File name -> content; the same bytes every time."""
    kernel = float_kernel(policy)
    contract = data_header(policy, GOLDEN_VECTORS, None, kernel)
    core = Amalgam({"tf_policy_data.h": contract, "tf_setpoint.h": _reference_type()})
    headers = map(core.take, ("tf_observation.h", "tf_policy.h"))
    sources = map(core.take, ("tf_math.c", "tf_observation.c", *kernel.sources))
    header = [_HEADER, *headers, _template("policy_step.h"), _FOOTER]
    source = [_SOURCE, kernel.source, *sources, _template("policy_step.c")]
    check = [_CHECK, golden_source(policy, GOLDEN_VECTORS, kernel), _template("policy_check.c")]
    files = {
        "policy.h": "\n".join(header),
        "policy.c": "\n".join(source),
        "policy_check.c": "\n".join(check),
        "example.c": _template("example.c"),
        "Makefile": _template("Makefile"),
    }
    return {name: text.encode() for name, text in files.items()}


def _reference_type() -> str:
    """tf_reference_t alone: of the set-points, all that a policy needs."""
    text = (CORE / "tf_setpoint.h").read_text()
    found = re.search(r"typedef struct \{[^{}]*\} tf_reference_t;\n", text)
    previews = re.search(r"#define TF_PREVIEWS .*\n", text)
    if not found or not previews:
        raise RuntimeError("tf_setpoint.h no longer defines tf_reference_t and TF_PREVIEWS")
    return f'#include "tf_policy_data.h"\n\n{previews[0]}\n/* World frame, SI. */\n{found[0]}'


def _template(name: str) -> str:
    return (TEMPLATE / name).read_text()
