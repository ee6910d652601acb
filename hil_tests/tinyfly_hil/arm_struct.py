"""Struct layouts from an ELF's own debug information: those of that very build."""

from __future__ import annotations

import struct
from typing import Any

from tinyfly.errors import UserError

Layout = dict[str, tuple[int, str]]  # member path -> offset, struct format

LARGEST = (
    4096  # bytes of a struct; the stock firmware's are tens, and a damaged number must not fill the memory
)
DEEPEST = 32  # typedefs of typedefs

_FORMS = {(4, 4): "f", (2, 1): "B", (7, 1): "B", (7, 2): "H", (7, 4): "I", (7, 8): "Q", (8, 1): "B"}
_FORMS |= {(5, 1): "b", (5, 2): "h", (5, 4): "i", (5, 8): "q", (6, 1): "b"}  # (DW_ATE, bytes)


def layout_of(elf: Any, function: int, type_name: str) -> tuple[int, Layout]:
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
            members: Layout = {}
            target = _resolve(die)
            size = int(target.attributes["DW_AT_byte_size"].value)
            if not 0 < size <= LARGEST:
                raise ValueError(f"a {type_name} of {size} bytes")
            _flatten(target, "", 0, members)
            if any(at + struct.calcsize(form) > size for at, form in members.values()):
                raise ValueError(f"a {type_name} with members beyond its {size} bytes")
            return size, members
    raise UserError(f"the image's debug information has no type {type_name}: not a firmware tinyfly knows")


def _name(die: Any) -> str:
    name = die.attributes.get("DW_AT_name")
    return name.value.decode() if name else ""


def _resolve(die: Any) -> Any:
    """The type behind typedefs and qualifiers."""
    for _ in range(DEEPEST):
        if die.tag not in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_member"):
            return die
        die = die.get_DIE_from_attribute("DW_AT_type")
    raise ValueError("a type that is made of itself")


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
        if len(bounds) == 1 and bounds[0] is not None and bounds[0].value < LARGEST:
            for i in range(bounds[0].value + 1):
                _flatten(element, f"{path}.{i}", offset + i * size, out)
    elif die.tag in ("DW_TAG_base_type", "DW_TAG_enumeration_type"):
        size = die.attributes["DW_AT_byte_size"].value
        encoding = die.attributes["DW_AT_encoding"].value if die.tag == "DW_TAG_base_type" else 7
        if form := _FORMS.get((encoding, size)):
            out[path] = (offset, form)
