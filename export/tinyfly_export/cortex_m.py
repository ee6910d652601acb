"""Run one function of a bare Cortex-M image in Unicorn, and record which instructions it executed.

Instruction counts are exact: they come from the blocks executed, disassembled by Capstone. Data addresses
come from hooks on the load instructions alone (Unicorn's memory hooks disturb execution, its per-instruction
hook undercounts in IT blocks), in a second run whose result must be the same.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import capstone
import capstone.arm as arm
import unicorn
import unicorn.arm_const as reg
from elftools.elf.elffile import ELFFile

FLASH, RAM, STOP = 0x0800_0000, 0x2000_0000, 0x0F00_0000
FLASH_BYTES, RAM_BYTES = 1 << 20, 128 << 10
STACK_FILL = 0xA5
CPUS = {
    "M4F": (unicorn.arm_const.UC_CPU_ARM_CORTEX_M4, "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard"),
    "M7": (unicorn.arm_const.UC_CPU_ARM_CORTEX_M7, "-mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard"),
    "M0": (unicorn.arm_const.UC_CPU_ARM_CORTEX_M0, "-mcpu=cortex-m0 -mfloat-abi=soft"),
}
LINKER_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 1M
         RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 128K }
SECTIONS {
  .text : { KEEP(*(.text.bench*)) *(.text*) } > FLASH
  .rodata : ALIGN(16) { *(.rodata*) } > FLASH
  .ARM.exidx : { *(.ARM.exidx*) } > FLASH
  .data : ALIGN(16) { *(.data*) } > RAM
  .bss : ALIGN(16) { *(.bss*) *(COMMON) } > RAM
  /DISCARD/ : { *(.init) *(.fini) *(.ARM.attributes) *(.comment) }
}
"""


@dataclass
class Trace:
    """What one call executed."""

    edges: Counter[tuple[int, int, int]]  # (block address, bytes, address of the block after it) -> times
    fetches: list[tuple[int, int]]  # blocks in order: (address, bytes)
    loads: list[tuple[int, int]] = field(default_factory=list)  # in order: (address, bytes), flash only
    stack_bytes: int = 0


def build(sources: Iterable[Path], include: Iterable[Path], elf: Path, cpu: str, flags: str = "-O2") -> Path:
    """Compile and link for a CPU with arm-none-eabi-gcc; unreferenced functions are dropped."""
    script = elf.with_suffix(".ld")
    script.write_text(LINKER_SCRIPT)
    languages = {".cpp": "arm-none-eabi-g++"}
    sources = list(sources)
    compiler = next((languages[s.suffix] for s in sources if s.suffix in languages), "arm-none-eabi-gcc")
    command = [compiler, *CPUS[cpu][1].split(), "-mthumb", "-ffp-contract=off", *flags.split()]
    command += ["-ffunction-sections", "-fdata-sections", "-nostartfiles", f"-Wl,-T,{script},--gc-sections"]
    command += ["-Wl,--entry=bench_step,--no-warn-rwx-segments", "--specs=nosys.specs", "-o", str(elf)]
    subprocess.run([*command, *(f"-I{i}" for i in include), *map(str, sources), "-lm"], check=True)
    return elf


class Machine:
    """A loaded image; functions of type void f(void) are called by name."""

    def __init__(self, elf: Path, cpu: str) -> None:
        self.uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(CPUS[cpu][0])
        for base, size in ((FLASH, FLASH_BYTES), (RAM, RAM_BYTES), (STOP, 0x1000), (0xE000_E000, 0x1000)):
            self.uc.mem_map(base, size)
        self.sections: dict[str, int] = {}
        with elf.open("rb") as f:
            image = ELFFile(f)
            for segment in image.iter_segments("PT_LOAD"):
                self.uc.mem_write(segment["p_vaddr"], segment.data())
            self.sections = {s.name: s["sh_size"] for s in image.iter_sections()}
            table: Any = image.get_section_by_name(".symtab")
            self.symbols = {s.name: (s["st_value"], s["st_size"]) for s in table.iter_symbols() if s.name}
        if cpu != "M0":
            self.uc.reg_write(reg.UC_ARM_REG_FPEXC, 0x4000_0000)
        self.disassembler = capstone.Cs(
            capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8
        )
        self.disassembler.detail = True

    def write(self, symbol: str, data: bytes) -> None:
        self.uc.mem_write(self.symbols[symbol][0], data)

    def read(self, symbol: str) -> bytes:
        address, size = self.symbols[symbol]
        return bytes(self.uc.mem_read(address, size))

    def call(self, function: str) -> int:
        """Run it; returns the bytes of stack it used."""
        top = RAM + RAM_BYTES - 64
        self.uc.mem_write(top - 16384, bytes([STACK_FILL]) * 16384)
        self.uc.reg_write(reg.UC_ARM_REG_SP, top)
        self.uc.reg_write(reg.UC_ARM_REG_LR, STOP | 1)
        self.uc.ctl_flush_tb()  # or code translated before a hook was added would not call it
        self.uc.emu_start(self.symbols[function][0] | 1, STOP, count=0, timeout=60_000_000)
        if self.uc.reg_read(reg.UC_ARM_REG_PC) & ~1 != STOP:
            raise RuntimeError(f"{function} did not return")
        return len(bytes(self.uc.mem_read(top - 16384, 16384)).lstrip(bytes([STACK_FILL])))

    def trace(self, function: str, result: str) -> Trace:
        """Run it twice, for the blocks and for the loads; ``result`` names the variable that must agree."""
        fetches: list[tuple[int, int]] = []
        hook = self.uc.hook_add(
            unicorn.UC_HOOK_BLOCK, lambda uc, address, size, _: fetches.append((address, size))
        )
        stack = self.call(function)
        self.uc.hook_del(hook)
        expected = self.read(result)
        fetches = [f for f in fetches if f[0] != STOP]
        ends = [address for address, _ in fetches[1:]] + [STOP]
        edges = Counter((a, n, after) for (a, n), after in zip(fetches, ends, strict=True))
        loads: list[tuple[int, int]] = []
        hooks = [
            self.uc.hook_add(unicorn.UC_HOOK_CODE, probe, None, site, site)
            for site, probe in self._load_probes({(a, n) for a, n, _ in edges}, loads)
        ]
        self.call(function)
        for hook in hooks:
            self.uc.hook_del(hook)
        if self.read(result) != expected:
            raise RuntimeError("watching the loads changed the result")
        return Trace(edges, fetches, loads, stack)

    def instructions(self, address: int, size: int) -> list[capstone.CsInsn]:
        return list(self.disassembler.disasm(bytes(self.uc.mem_read(address, size)), address))

    def _load_probes(
        self, blocks: Iterable[tuple[int, int]], loads: list[tuple[int, int]]
    ) -> Iterable[tuple[int, Callable[..., None]]]:
        sites = {i.address: i for a, n in blocks for i in self.instructions(a, n)}
        for address, instruction in sites.items():
            if is_load(instruction):
                yield address, self._probe(instruction, loads)

    def _probe(self, instruction: capstone.CsInsn, loads: list[tuple[int, int]]) -> Callable[..., None]:
        memory = next((o for o in instruction.operands if o.type == arm.ARM_OP_MEM), None)
        size = 4 * transfers(instruction)
        base = memory.mem.base if memory else instruction.operands[0].reg
        index = memory.mem.index if memory else 0
        post_indexed = memory is not None and instruction.post_index
        offset = memory.mem.disp if memory and not post_indexed else 0
        shift = memory.shift.value if memory and memory.shift.type == arm.ARM_SFT_LSL else 0
        if base == arm.ARM_REG_PC:
            literal = ((instruction.address + 4) & ~3) + offset
            return lambda *_: loads.append((literal, size)) if FLASH <= literal < RAM else None
        base_id = getattr(reg, f"UC_ARM_REG_{instruction.reg_name(base).upper()}")
        index_id = getattr(reg, f"UC_ARM_REG_{instruction.reg_name(index).upper()}") if index else None

        def probe(uc: unicorn.Uc, *_: object) -> None:
            address = uc.reg_read(base_id) + offset
            if index_id is not None:
                address += uc.reg_read(index_id) << shift
            if FLASH <= address < FLASH + FLASH_BYTES:
                loads.append((address, size))

        return probe


def is_load(instruction: capstone.CsInsn) -> bool:
    return instruction.mnemonic.startswith(("ldr", "ldm", "vldr", "vldm"))


def transfers(instruction: capstone.CsInsn) -> int:
    """32-bit words a load or store moves."""
    name = instruction.mnemonic
    registers = [o.reg for o in instruction.operands if o.type == arm.ARM_OP_REG]
    if name.startswith(("ldm", "stm", "vldm", "vstm")):
        registers = registers[1:]
    if name.startswith(("ldrd", "strd")):
        return 2
    if name.startswith(("push", "pop", "ldm", "stm", "v")):
        double = sum(arm.ARM_REG_D0 <= r <= arm.ARM_REG_D31 for r in registers)
        return len(registers) + double
    return 1
