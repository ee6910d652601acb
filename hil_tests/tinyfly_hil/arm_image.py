"""A complete Cortex-M4F image in an ARM emulator: its functions are called, its variables read and written.

Nothing of the image is replaced or skipped; what hardware would do is not there (peripherals are plain
memory). Struct layouts come from the image's own debug information, so they are those of that very build.
"""

from __future__ import annotations

import io
import struct
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError
from tinyfly_hil.arm_struct import Layout, layout_of
from tinyfly_hil.elf import reading

FLASH, RAM, CCM = (0x08000000, 1 << 20), (0x20000000, 128 << 10), (0x10000000, 64 << 10)
PERIPHERALS = ((0x1FFF0000, 64 << 10), (0x40000000, 1 << 20), (0x50000000, 1 << 20), (0xE0000000, 1 << 20))
SCRATCH = (0x60000000, 64 << 10)  # ours: arguments, and a stack
STACK = 0x6000FF00
CALLER = 0x60008100  # CALLS_IN_A_ROW
ROWS = 0x60008200  # what it calls: the function and five arguments each, then a zero
CPACR = 0xE000ED88
HANG_S = 5.0  # a call that takes longer hangs

# Thumb: calls functions until there are no more. Entering and leaving the emulator takes longer than what a
# controller does in between; a flight enters it once a millisecond instead of three times.
#     next: ldmia r4!, {r6};  cbz r6, done;  ldmia r4!, {r0-r3, r5};  str r5, [sp];  blx r6;  b next;  done:
CALLS_IN_A_ROW = struct.pack("<6H", 0xCC40, 0xB11E, 0xCC2F, 0x9500, 0x47B0, 0xE7F9)


class Image:
    """An ELF, loaded as it would lie in the chip after start-up code has run."""

    def __init__(self, path: Path):
        try:
            import unicorn
            from unicorn import arm_const
        except ImportError:
            raise UserError("unicorn is missing (it emulates the image): pip install -e '.[image]'") from None
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection

        self.path = path
        self._arm = arm_const
        self._error = unicorn.UcError
        with reading(path):
            self._elf = ELFFile(io.BytesIO(path.read_bytes()))
            if self._elf["e_machine"] != "EM_ARM":
                raise UserError(f"{path} is for {self._elf['e_machine']}, not for an ARM microcontroller")
            symbols = self._elf.get_section_by_name(".symtab")
            if not isinstance(symbols, SymbolTableSection):
                raise UserError(f"{path} has no symbols: give the .elf of the build, not a stripped one")
            self._symbols = {s.name: s["st_value"] for s in symbols.iter_symbols() if s["st_value"]}
            self._sections = [
                (section.name, section["sh_addr"], section.data())
                for section in self._elf.iter_sections()
                if section["sh_flags"] & 2 and section["sh_type"] != "SHT_NOBITS" and section["sh_size"]
            ]
        self._uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        for start, length in (FLASH, RAM, CCM, SCRATCH, *PERIPHERALS):
            self._uc.mem_map(start, length)
        self.write(CALLER, CALLS_IN_A_ROW)
        self._top, self._calls, self._running = SCRATCH[0], 0, False
        self._structs: list[Struct] = []
        self.restart()
        threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True).start()

    def restart(self) -> None:
        """Memory as it is after start-up code."""
        for start, length in (RAM, CCM):
            self.write(start, bytes(length))
        self._load()
        self.write(CPACR, struct.pack("<I", 0xF << 20))

    def _load(self) -> None:
        for name, address, data in self._sections:
            self.write(address, data, f"section {name}")

    @property
    def symbols(self) -> list[str]:
        """Names of the functions and variables."""
        return list(self._symbols)

    def address(self, symbol: str) -> int:
        """Address of a function or variable; UserError when the image has none of that name."""
        if symbol not in self._symbols:
            raise UserError(f"{self.path} has no {symbol}: is it a Crazyflie image built with tinyfly's app?")
        return int(self._symbols[symbol])

    def read(self, address: int, n: int) -> bytes:
        try:
            return bytes(self._uc.mem_read(address, n))
        except self._error:
            raise UserError(self._outside(f"what is read at {address:#010x}")) from None

    def write(self, address: int, data: bytes, what: str = "") -> None:
        try:
            self._uc.mem_write(address, data)
        except self._error:
            raise UserError(self._outside(what or f"what is written at {address:#010x}")) from None

    def _outside(self, what: str) -> str:
        return f"{self.path}: {what} lies outside an STM32F405's memory: build it again"

    def on_read(self, address: int, data: bytes) -> None:
        """Let a peripheral's register read as ``data``, whatever the image writes there."""
        import unicorn

        def answer(uc: Any, access: int, at: int, size: int, value: int, user: Any) -> None:
            uc.mem_write(address, data)

        self._uc.hook_add(unicorn.UC_HOOK_MEM_READ, answer, begin=address, end=address + len(data) - 1)

    def set(self, symbol: str, form: str, *values: float) -> None:
        """Write a variable; ``form`` as in `struct`."""
        self.write(self.address(symbol), struct.pack(f"<{form}", *values))

    def get(self, symbol: str, form: str) -> Any:
        """Read a variable."""
        return struct.unpack(f"<{form}", self.read(self.address(symbol), struct.calcsize(f"<{form}")))[0]

    def call(self, symbol: str, *arguments: int) -> int:
        """Run a function; returns r0."""
        self.call_all((symbol, *arguments))
        return int(self._uc.reg_read(self._arm.UC_ARM_REG_R0))

    def call_all(self, *calls: tuple[Any, ...]) -> None:
        """Run functions in a row, (name, up to five integers or pointers). UserError: one faults or hangs."""
        arm = self._arm
        for changed in self._structs:
            changed.flush()
        rows = [
            word
            for name, *words in calls
            for word in (self.address(name) | 1, *words, *[0] * (5 - len(words)))
        ]
        self.write(ROWS, struct.pack(f"<{len(rows) + 1}I", *rows, 0))
        self._uc.reg_write(arm.UC_ARM_REG_R4, ROWS)
        self._uc.reg_write(arm.UC_ARM_REG_SP, STACK)
        self._calls, self._running = self._calls + 1, True
        names, end = ", ".join(call[0] for call in calls), CALLER + len(CALLS_IN_A_ROW)
        try:
            self._uc.emu_start(CALLER | 1, end)
        except self._error as e:
            at = self._uc.reg_read(arm.UC_ARM_REG_PC)
            raise UserError(f"{self.path}: {names} faults at {at:#010x}: {e}") from None
        finally:
            self._running = False
        if (at := self._uc.reg_read(arm.UC_ARM_REG_PC)) != end:
            raise UserError(f"{self.path}: {names} does not come back; it hangs at {at:#010x}")

    def call_float(self, symbol: str) -> float:
        """Run a function without arguments that returns a float."""
        self.call(symbol)
        return float(struct.unpack("<f", struct.pack("<I", self._uc.reg_read(self._arm.UC_ARM_REG_S0)))[0])

    def struct(self, type_name: str, function: str) -> Struct:
        """Room for one value of a struct type, as the file that defines ``function`` knows it."""
        at = self.address(function) & ~1
        with reading(self.path):
            size, layout = layout_of(self._elf, at, type_name)
        self._top = (self._top + 15) & ~15
        at, self._top = self._top, self._top + size
        self._structs.append(Struct(self, at, size, layout))
        return self._structs[-1]


def _watch(image: weakref.ref[Image]) -> None:
    """Ends a call that hangs. Unicorn's own time limit starts a thread for every call: twice the cost."""
    last = -1
    while (alive := image()) is not None:
        if alive._running and alive._calls == last:
            alive._uc.emu_stop()
        last = alive._calls
        del alive
        time.sleep(HANG_S)


class Struct:
    """A struct in the image's memory; members by path, as ``position.x`` or ``normalizedForces.2``.

    What is set goes over in one piece before the next call: a write of its own for every member took a fifth
    of a flight's time. A struct is one that we set or one that the image does: setting a member sets all.
    """

    def __init__(self, image: Image, address: int, size: int, layout: Layout):
        self.image, self.address, self._layout = image, address, layout
        self._data, self._changed = bytearray((size + 3) & ~3), True
        self._words = np.frombuffer(self._data, "<f4")

    def clear(self) -> None:
        self._data[:], self._changed = bytes(len(self._data)), True

    def floats(self, *members: str) -> NDArray[np.intp]:
        """Where these float members are, for `set_floats`."""
        return np.array([self._find(member)[0] // 4 for member in members])

    def set_floats(self, where: NDArray[np.intp], values: Any) -> None:
        """Set many members at once."""
        self._words[where] = values
        self._changed = True

    def flush(self) -> None:
        """Bring what was set into the image's memory."""
        if self._changed:
            self.image.write(self.address, bytes(self._data))
            self._changed = False

    def __setitem__(self, member: str, value: float) -> None:
        at, form = self._find(member)
        struct.pack_into(f"<{form}", self._data, at, value)
        self._changed = True

    def __getitem__(self, member: str) -> Any:
        self.flush()
        at, form = self._find(member)
        return struct.unpack(f"<{form}", self.image.read(self.address + at, struct.calcsize(form)))[0]

    def values(self, *members: str) -> list[Any]:
        """Many members, read at once."""
        self.flush()
        data = self.image.read(self.address, len(self._data))
        return [struct.unpack_from(f"<{form}", data, at)[0] for at, form in map(self._find, members)]

    def _find(self, member: str) -> tuple[int, str]:
        if member not in self._layout:
            raise UserError(f"this firmware's struct has no {member}: tinyfly does not know this version")
        return self._layout[member]
