"""messages.toml -> docs/protocol.md:  python firmware/protocol/page.py > docs/protocol.md"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from table import OVERHEAD, Message, Table, load

INTRODUCTION = """\
# The serial protocol

Version {version}. Written once, in `firmware/protocol/messages.toml`: `generate.py` turns it into the
firmware's `tf_messages.h`, `tinyfly_hil.protocol` reads it in Python, and `page.py` writes this page.

A frame on the wire is

    COBS( version u8 | type u8 | sequence u16 | body | crc32 u32 )  0x00

- Little-endian throughout. `crc32` is zlib's (reflected 0xEDB88320), over everything before it.
- COBS removes the zeros, so a zero always ends a frame and a receiver finds its feet at the next one. The
  host sends a zero before each frame, too: noise on the idle line then costs itself, and not the frame behind
  it. Zeros between frames are nothing.
- A decoded frame is at most {max_frame} bytes, {overhead} of them around the body. {baud} baud, 8N1.
- The host numbers its frames from 1 to 65535, then from 1 again; a reply carries the number of the frame it
  answers. Frames that answer nothing (`boot`, a `control` unasked) carry 0. A command has to be
  newer than the last, but for a stop; questions (`hello`, `get_stats`) and unknown types may have any number,
  and make no other frame old. With motors off a `hello` begins a new numbering.
- A receiver drops, and counts, what is not COBS, has the wrong CRC, another version, an unknown type
  or a body of the wrong length. CRC is integrity, not authenticity: see SECURITY.md.
- Field types: `u8 u16 u32 u64 i32 f32` (IEEE 754), `TYPE[n]`, `char[n]` (zero padded), `f32[]` (the rest).
- World frame: z up, metres. Body frame: x forward, y left, z up. Quaternions: w x y z, body to world.
  Motors in Crazyflie order (docs/conventions.md).
"""


def page(table: Table) -> str:
    """The whole page, from the table."""
    head = INTRODUCTION.format(
        version=table.version, max_frame=table.max_frame, baud=table.baud, overhead=OVERHEAD
    )
    requests = [m for m in table.messages.values() if m.reply]
    replies = [m for m in table.messages.values() if not m.reply]
    values = [
        f"| {enum} | {value} | `{name}` |"
        for enum, names in table.enums.items()
        for name, value in names.items()
    ]
    return "\n".join(
        [
            head,
            "## Host to chip\n\n| message | type | body | answer | meaning |\n|---|---|---|---|---|",
            *(f"| `{m.name}` | 0x{m.type:02X} | {_body(m)} | `{m.reply}` | {_about(m)} |" for m in requests),
            "\n## Chip to host\n\n| message | type | body | meaning |\n|---|---|---|---|",
            *(f"| `{m.name}` | 0x{m.type:02X} | {_body(m)} | {_about(m)} |" for m in replies),
            "\n## Values\n\n| enum | value | name |\n|---|---|---|",
            *values,
            "",
        ]
    )


def _body(m: Message) -> str:
    def kind(f) -> str:
        if not f.array:
            return f.type
        return f"{f.type}[{'' if f.count is None else f.count}]"

    return ", ".join(f"`{f.name}` {kind(f)}" for f in m.body) or "none"


def _about(m: Message) -> str:
    return " ".join(m.about.split())


if __name__ == "__main__":
    sys.stdout.write(page(load()))
