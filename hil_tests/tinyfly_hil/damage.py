"""Images with a damage on purpose: what a worn flash or a wrong build would boot."""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection


def flip(elf: Path, symbol: str, byte: int, bit: int, damaged: Path) -> Path:
    """Copy an image with one bit of a variable changed: ``byte`` is counted as in an index."""
    data = bytearray(elf.read_bytes())
    begin, size = _where(elf, symbol)
    data[begin + byte % size] ^= 1 << bit
    damaged.write_bytes(data)
    damaged.chmod(0o755)
    return damaged


def _where(elf: Path, symbol: str) -> tuple[int, int]:
    """Where in the file a variable's initial value is, and its size."""
    with elf.open("rb") as f:
        read = ELFFile(f)
        tables = [s for s in read.iter_sections() if isinstance(s, SymbolTableSection)]
        ((found, size),) = {
            (s["st_value"], s["st_size"]) for t in tables for s in t.get_symbol_by_name(symbol) or ()
        }
        for segment in read.iter_segments("PT_LOAD"):
            within = found - segment["p_vaddr"]
            if 0 <= within < segment["p_filesz"]:
                return int(segment["p_offset"] + within), int(size)
    raise ValueError(f"{symbol} has no bytes in {elf}")
