"""Estimated cycles of a trace: an instruction table for zero wait states, plus the flash's caches.

An estimate, lo..hi, not a measurement: no table says how a given core overlaps everything.
Cortex-M4F: Arm's Cortex-M4 Technical Reference Manual r0p1, 3.3 (integer) and 7.2 (floating point), with two
points that public sources leave open taken as a range: the pipeline refill P of a branch (1..3), and whether
single loads, stores and core <-> FPU moves overlap their neighbours (lo) or not (hi).
Cortex-M0: its TRM r0p0, 3.3, with the one-cycle multiplier. There is no public table for the dual-issue M7.
Flash: STM32F405 at 168 MHz (RM0090 3.5): five wait states, 128-bit lines, 8 lines of data cache and 64 of
instruction cache, LRU, cold at the start; the prefetcher hides between all and none of an instruction miss.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import capstone
import capstone.arm as arm

from tinyfly_export.cortex_m import Machine, Trace, transfers

LINE_BYTES, DATA_LINES, CODE_LINES = 16, 8, 64
DATA_MISS, CODE_MISS_LO, CODE_MISS_HI = 5, 1, 5
BRANCH_REFILL = (1, 3)

FP_ARITHMETIC = ("vadd", "vsub", "vmul", "vnmul", "vdiv", "vsqrt", "vfm", "vfnm", "vml", "vnml", "vcvt")
FP_MULTIPLY_ADD = ("vfma", "vfms", "vfnma", "vfnms", "vmla", "vmls", "vnmla", "vnmls")
LOADS_AND_STORES = ("ldr", "str", "vldr", "vstr")
MULTIPLE = ("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop", "ldrd", "strd")


@dataclass(frozen=True)
class Estimate:
    """Exact instructions, and cycles lo..hi without and with the flash's wait states."""

    instructions: int
    cycles: tuple[int, int]
    cycles_flash: tuple[int, int]
    stack_bytes: int


def estimate(machine: Machine, trace: Trace, cpu: str) -> Estimate:
    """Cycles are (0, 0) for a CPU without a public table."""
    count, lo, hi = 0, 0, 0
    for (address, size, after), times in trace.edges.items():
        block = machine.instructions(address, size)
        taken = after != address + size
        count += times * len(block)
        if cpu in TABLES:
            block_lo, block_hi = (TABLES[cpu](block, taken, bound) for bound in (0, 1))
            lo, hi = lo + times * block_lo, hi + times * block_hi
    if cpu not in TABLES:
        return Estimate(count, (0, 0), (0, 0), trace.stack_bytes)
    waits = (0, 0)
    if cpu == "M4F":
        data = DATA_MISS * misses(trace.loads, DATA_LINES)
        code = misses(trace.fetches, CODE_LINES)
        waits = data + CODE_MISS_LO * code, data + CODE_MISS_HI * code
    return Estimate(count, (lo, hi), (lo + waits[0], hi + waits[1]), trace.stack_bytes)


def misses(accesses: Iterable[tuple[int, int]], lines: int) -> int:
    """Misses of a fully associative LRU cache, cold at the start."""
    cache: OrderedDict[int, None] = OrderedDict()
    count = 0
    for address, size in accesses:
        for line in range(address // LINE_BYTES, (address + size - 1) // LINE_BYTES + 1):
            if line in cache:
                cache.move_to_end(line)
                continue
            count += 1
            cache[line] = None
            if len(cache) > lines:
                cache.popitem(last=False)
    return count


def _m4f(block: list[capstone.CsInsn], taken: bool, bound: int) -> int:
    total, shadow = 0, 0  # shadow: cycles of a running divide or multiply-add that integer work may fill (lo)
    previous: capstone.CsInsn | None = None
    for i, instruction in enumerate(block):
        branches = taken and i == len(block) - 1
        cost = _m4f_cost(instruction, branches, bound, previous)
        floating = instruction.mnemonic.startswith("v")
        if previous is not None and _stalls(previous, instruction):
            cost += 1
        hidden = 0 if floating or bound else min(cost, shadow)
        shadow = _long_operation(instruction) - 1 if floating else shadow - hidden
        total += cost - hidden
        previous = instruction
    return total


def _m4f_cost(
    instruction: capstone.CsInsn, branches: bool, bound: int, previous: capstone.CsInsn | None
) -> int:
    name = instruction.mnemonic
    refill = BRANCH_REFILL[bound] if branches else 0
    if name.startswith("it"):
        return bound
    if name.startswith(MULTIPLE):
        return 1 + transfers(instruction) + refill
    if name.startswith(LOADS_AND_STORES):
        words = transfers(instruction) if name.startswith("v") else 1
        pipelined = not bound and (
            "str" in name or (previous is not None and previous.mnemonic.startswith(LOADS_AND_STORES))
        )
        return words + (0 if pipelined else 1) + refill
    if name.startswith("v"):
        crosses = name.startswith("vmov") and _touches_core_register(instruction)
        return 1 + bound if crosses else _long_operation(instruction)
    if name.startswith(("sdiv", "udiv")):
        return (2, 12)[bound]
    if name.startswith(("tbb", "tbh")):
        return 2 + refill
    return 1 + refill


def _long_operation(instruction: capstone.CsInsn) -> int:
    if instruction.mnemonic.startswith(FP_MULTIPLY_ADD):
        return 3
    return 14 if instruction.mnemonic.startswith(("vdiv", "vsqrt")) else 1


def _stalls(first: capstone.CsInsn, then: capstone.CsInsn) -> bool:
    """An arithmetic result consumed by the very next instruction, but not as a multiply-add's addend."""
    if not first.mnemonic.startswith(FP_ARITHMETIC) or not then.mnemonic.startswith("v"):
        return False
    result = first.operands[0].reg
    operands = [o for o in then.operands if o.type == arm.ARM_OP_REG]
    addend_first = then.mnemonic.startswith(FP_MULTIPLY_ADD)
    reads = operands[1:] if addend_first or not _reads_first(then) else operands
    return any(o.reg == result for o in reads)


def _reads_first(instruction: capstone.CsInsn) -> bool:
    return instruction.mnemonic.startswith(("vcmp", "vstr", "vstm", "vpush")) or _touches_core_register(
        instruction
    )


def _touches_core_register(instruction: capstone.CsInsn) -> bool:
    core = range(arm.ARM_REG_R0, arm.ARM_REG_R12 + 1)
    return any(
        o.type == arm.ARM_OP_REG and (o.reg in core or o.reg == arm.ARM_REG_LR) for o in instruction.operands
    )


def _m0(block: list[capstone.CsInsn], taken: bool, bound: int) -> int:
    total = 0
    for i, instruction in enumerate(block):
        name, branches = instruction.mnemonic, taken and i == len(block) - 1
        if name.startswith(("ldm", "stm", "push", "pop")):
            total += (4 if branches else 1) + transfers(instruction)
        elif name.startswith(("ldr", "str")):
            total += 2
        elif name in ("bl", "blx", "bx"):
            total += 4 if name == "bl" else 3
        else:
            total += 3 if branches else 1
    return total


TABLES = {"M4F": _m4f, "M0": _m0}
