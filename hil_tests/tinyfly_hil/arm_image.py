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

Layout = dict[str, tuple[int, str]]  # member path -> offset, struct format


class Image:
    """An ELF, loaded as it would lie in the chip after start-up code has run."""

    def __init__(self, path: Path):
        try:
            import unicorn
            from unicorn import arm_const
        except ImportError:
            raise UserError(
                "unicorn is missing (it emulates the image): .venv/bin/pip install 'tinyfly[image]'"
            ) from None
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection

        self.path = path
        self._arm = arm_const
        self._error = unicorn.UcError
        try:
            self._elf = ELFFile(io.BytesIO(path.read_bytes()))
            if self._elf["e_machine"] != "EM_ARM":
                raise UserError(f"{path} is for {self._elf['e_machine']}, not for an ARM microcontroller")
        except OSError as e:
            raise UserError(f"{path} cannot be read: {e.strerror}") from None
        except ELFError as e:
            raise UserError(f"{path} is not an ELF image: {e}") from None
        symbols = self._elf.get_section_by_name(".symtab")
        if not isinstance(symbols, SymbolTableSection):
            raise UserError(f"{path} has no symbols: give the .elf of the build, not a stripped one")
        self._symbols = {s.name: s["st_value"] for s in symbols.iter_symbols() if s["st_value"]}
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
        for section in self._elf.iter_sections():
            if section["sh_flags"] & 2 and section["sh_type"] != "SHT_NOBITS" and section["sh_size"]:
                try:
                    self.write(section["sh_addr"], section.data())
                except self._error:
                    raise UserError(
                        f"{self.path}: section {section.name} lies outside an STM32F405's memory"
                    ) from None

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
        return bytes(self._uc.mem_read(address, n))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

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
        size, layout = _layout(self._elf, self.address(function) & ~1, type_name)
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


_FORMS = {(4, 4): "f", (2, 1): "B", (7, 1): "B", (7, 2): "H", (7, 4): "I", (7, 8): "Q", (8, 1): "B"}
_FORMS |= {(5, 1): "b", (5, 2): "h", (5, 4): "i", (5, 8): "q", (6, 1): "b"}  # (DW_ATE, bytes)


def _layout(elf: Any, function: int, type_name: str) -> tuple[int, Layout]:
    """(size, members) of a struct type, from the debug information of the file that holds ``function``."""
    if not elf.has_dwarf_info():
        raise UserError("the image has no debug information (-g): its structs cannot be known")
    dwarf = elf.get_dwarf_info()
    aranges = dwarf.get_aranges()
    offset = aranges.cu_offset_at_addr(function) if aranges else None
    if offset is None:
        raise UserError(f"the image's debug information says nothing about address {function:#010x}")
    unit = dwarf.get_CU_at(offset)
    for die in unit.get_top_DIE().iter_children():
        if die.tag == "DW_TAG_typedef" and _name(die) == type_name:
            layout: Layout = {}
            target = _resolve(die)
            _flatten(target, "", 0, layout)
            return int(target.attributes["DW_AT_byte_size"].value), layout
    raise UserError(f"the image's debug information has no type {type_name}: not a firmware tinyfly knows")


def _name(die: Any) -> str:
    name = die.attributes.get("DW_AT_name")
    return name.value.decode() if name else ""


def _resolve(die: Any) -> Any:
    """The type behind typedefs and qualifiers."""
    while die.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_member"):
        die = die.get_DIE_from_attribute("DW_AT_type")
    return die


def _flatten(die: Any, path: str, offset: int, out: Layout) -> None:
    """Every scalar within a type, by path; members of unnamed unions and structs belong to their parent."""
    die = _resolve(die)
    if die.tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
        for member in die.iter_children():
            if member.tag == "DW_TAG_member":
                at = member.attributes.get("DW_AT_data_member_location")
                inner = ".".join(x for x in (path, _name(member)) if x)
                _flatten(member, inner, offset + (at.value if at else 0), out)
    elif die.tag == "DW_TAG_array_type":
        element = _resolve(die.get_DIE_from_attribute("DW_AT_type"))
        size = element.attributes["DW_AT_byte_size"].value
        bounds = [c.attributes.get("DW_AT_upper_bound") for c in die.iter_children()]
        if len(bounds) == 1 and bounds[0] is not None:
            for i in range(bounds[0].value + 1):
                _flatten(element, f"{path}.{i}", offset + i * size, out)
    elif die.tag in ("DW_TAG_base_type", "DW_TAG_enumeration_type"):
        size = die.attributes["DW_AT_byte_size"].value
        encoding = die.attributes["DW_AT_encoding"].value if die.tag == "DW_TAG_base_type" else 7
        if form := _FORMS.get((encoding, size)):
            out[path] = (offset, form)
