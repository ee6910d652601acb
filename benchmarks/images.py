"""Ready images for on_chip.py: somebody else's runtime, timed beside ours. --images DIR

DIR/M4F/NAME.elf (M7, M0 likewise) is a row called NAME, linked for the memory of tinyfly_export.cortex_m:
1 MB of flash at 0x08000000, 128 KB of RAM at 0x20000000. It defines

    float bench_input[INPUTS], bench_action[4];
    void bench_step(void);      input -> action, conversions and copies included
    void bench_setup(void);     optional; runs once and is not timed
    void bench_NAME(void);      optional, any number: timed too, as "..., NAME"

An image that does not load, or whose actions are not the policy's, ends the run: a wrong answer has no time.
"""

from __future__ import annotations

from pathlib import Path

import unicorn
from elftools.common.exceptions import ELFError

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_export.cortex_m import Machine
from tinyfly_export.tflite import BOUND_INT8 as BOUND  # of |action|: the loosest of our own formats

STEP, SETUP = "bench_step", "bench_setup"


def find(folder: Path, cpus: list[str]) -> dict[str, list[Path]]:
    """The images of every wanted CPU, by name; UserError where there is none at all."""
    found = {cpu: sorted((folder / cpu).glob("*.elf")) for cpu in cpus}
    if not any(found.values()):
        wanted = " or ".join(str(folder / cpu / "NAME.elf") for cpu in cpus)
        raise UserError(f"--images {folder}: no image there; expected {wanted} (benchmarks/images.py)")
    return found


def load(image: Path, cpu: str, policy: Policy) -> Machine:
    """The image, set up; UserError unless it is one for this policy and this memory."""
    try:
        machine = Machine(image, cpu)
    except (ELFError, unicorn.UcError, AttributeError) as e:  # AttributeError: stripped of its symbols
        raise UserError(f"{image}: not an ELF image for {cpu}'s memory with its symbols ({e})") from e
    sizes = {"bench_input": 4 * policy.contract.size, "bench_action": 16}
    for symbol, size in sizes.items():
        if machine.symbols.get(symbol, (0, 0))[1] != size:
            raise UserError(f"{image}: {symbol} is not the {size} bytes that this policy needs")
    if STEP not in machine.symbols:
        raise UserError(f"{image}: no function {STEP}")
    for function in (SETUP, STEP):
        if function in machine.symbols:
            _call(image, machine, function)
    return machine


def timed(machine: Machine) -> list[tuple[str, str]]:
    """(function, what the row's name ends in); the step comes first."""
    thumb = sorted(name for name, (address, _) in machine.symbols.items() if address & 1)  # functions
    others = [name for name in thumb if name.startswith("bench_") and name not in (STEP, SETUP)]
    return [(STEP, ""), *((name, f", {name.removeprefix('bench_')}") for name in others)]


def accept(image: Path, error: float) -> None:
    """UserError where the largest error against the policy (NaN included) is beyond the bound."""
    if not error <= BOUND:
        raise UserError(f"{image}: its actions are off by {error:.2g}, more than {BOUND}: not this policy")


def _call(image: Path, machine: Machine, function: str) -> None:
    try:
        machine.call(function)
    except (unicorn.UcError, RuntimeError) as e:
        raise UserError(f"{image}: {function} did not return ({e})") from e
