"""messages.toml -> tf_messages.h:  python firmware/protocol/generate.py OUT_DIR [--table messages.toml]

Every field is packed byte by byte, little-endian, so the header asks nothing of the processor's byte order or
alignment. The same table always gives the same bytes. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from table import HERE, OVERHEAD, WIDTH, BadTable, Field, Message, Table, load

C_TYPE = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "i32": "int32_t"}
C_TYPE |= {"f32": "float", "char": "char"}

HELPERS = """\
static inline void tf_put_u8(uint8_t *p, uint8_t v)
{
    p[0] = v;
}

static inline void tf_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xFFu);
    p[1] = (uint8_t)(v >> 8);
}

static inline void tf_put_u32(uint8_t *p, uint32_t v)
{
    tf_put_u16(p, (uint16_t)(v & 0xFFFFu));
    tf_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void tf_put_u64(uint8_t *p, uint64_t v)
{
    tf_put_u32(p, (uint32_t)(v & 0xFFFFFFFFu));
    tf_put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline void tf_put_i32(uint8_t *p, int32_t v)
{
    tf_put_u32(p, (uint32_t)v);
}

static inline void tf_put_f32(uint8_t *p, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    tf_put_u32(p, bits);
}

static inline uint8_t tf_get_u8(const uint8_t *p)
{
    return p[0];
}

static inline uint16_t tf_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | ((uint32_t)p[1] << 8));
}

static inline uint32_t tf_get_u32(const uint8_t *p)
{
    return tf_get_u16(p) | ((uint32_t)tf_get_u16(p + 2) << 16);
}

static inline uint64_t tf_get_u64(const uint8_t *p)
{
    return tf_get_u32(p) | ((uint64_t)tf_get_u32(p + 4) << 32);
}

static inline int32_t tf_get_i32(const uint8_t *p)
{
    const uint32_t bits = tf_get_u32(p);
    int32_t v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline float tf_get_f32(const uint8_t *p)
{
    const uint32_t bits = tf_get_u32(p);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
"""


def header(table: Table) -> str:
    """The text of tf_messages.h."""
    parts = [
        "/* Generated from messages.toml by generate.py: edit the table, not this file. */",
        "#ifndef TF_MESSAGES_H\n#define TF_MESSAGES_H",
        "#include <stdbool.h>\n#include <stdint.h>\n#include <string.h>",
        f"#define TF_PROTOCOL_VERSION {table.version}u\n"
        f"#define TF_MAX_FRAME {table.max_frame}u /* decoded: version, type, sequence, body, crc32 */\n"
        f"#define TF_FRAME_OVERHEAD {OVERHEAD}u\n"
        f"#define TF_MAX_BODY {table.max_frame - OVERHEAD}u\n"
        f"#define TF_BAUD {table.baud}u",
        *(_enum(name, values) for name, values in table.enums.items()),
        "\n".join(f"#define TF_MSG_{m.name.upper()} 0x{m.type:02X}u" for m in table.messages.values()),
        "\n".join(
            f"#define TF_MSG_{m.name.upper()}_BYTES {m.bytes}u{_rest(m)}" for m in table.messages.values()
        ),
        HELPERS.rstrip(),
        *(_message(m) for m in table.messages.values()),
        "#endif",
    ]
    return "\n\n".join(parts) + "\n"


def _rest(m: Message) -> str:
    return f" /* and 4 for each {m.rest.name} */" if m.rest else ""


def _enum(name: str, values: dict[str, int]) -> str:
    lines = [f"    TF_{name.upper()}_{key.upper()} = {value}," for key, value in values.items()]
    lines.append(f"    TF_{name.upper()}_COUNT = {len(values)}")
    return "\n".join([f"enum tf_{name}_code {{", *lines, "};"])


def _message(m: Message) -> str:
    """One message's comment and, unless its body is empty, its struct, encoder and decoder."""
    about = " ".join(m.about.split())
    parts = [f"/* {m.name}: {about} */"]
    if not m.body:
        return parts[0]
    t = f"tf_msg_{m.name}_t"
    parts.append("\n".join(["typedef struct {", *(f"    {_declaration(f)}" for f in m.body), f"}} {t};"]))
    put, get, at = [], [], 0
    for f in m.body:
        put += _copy(f, at, put=True)
        get += _copy(f, at, put=False)
        at += f.bytes
    length = f"{at}u + 4u * m->{m.rest.name}_count" if m.rest else f"{at}u"
    check = f"n < {at}u || (n - {at}u) % 4u != 0u" if m.rest else f"n != {at}u"
    if m.rest and not at:
        check = "n % 4u != 0u"
    encode = f"static inline uint32_t tf_encode_{m.name}(const {t} *m, uint8_t *body)"
    decode = f"static inline bool tf_decode_{m.name}(const uint8_t *body, uint32_t n, {t} *m)"
    parts.append("\n".join([encode, "{", *put, f"    return {length};", "}"]))
    refuse = [f"    if ({check}) {{", "        return false;", "    }"]
    parts.append("\n".join([decode, "{", *refuse, *get, "    return true;", "}"]))
    return "\n\n".join(parts)


def _declaration(f: Field) -> str:
    if f.count is None:  # left where it lies: read each value with tf_get_f32(p + 4 * i)
        return f"const uint8_t *{f.name}; /* little-endian float32 */\n    uint32_t {f.name}_count;"
    return f"{C_TYPE[f.type]} {f.name}{f'[{f.count}]' if f.array else ''};"


def _copy(f: Field, at: int, put: bool) -> list[str]:
    """The lines that move one field between the struct and the body at byte ``at``."""
    if f.count is None:
        if put:
            return [f"    memcpy(body + {at}u, m->{f.name}, 4u * m->{f.name}_count);"]
        return [f"    m->{f.name} = body + {at}u;", f"    m->{f.name}_count = (n - {at}u) / 4u;"]
    if f.type == "char":
        to, source = f"body + {at}u", f"m->{f.name}"
        return [
            f"    memcpy({to}, {source}, {f.count}u);" if put else f"    memcpy({source}, {to}, {f.count}u);"
        ]
    if not f.array:
        value, where = f"m->{f.name}", f"body + {at}u"
        return [
            f"    tf_put_{f.type}({where}, {value});" if put else f"    {value} = tf_get_{f.type}({where});"
        ]
    value, where = f"m->{f.name}[i]", f"body + {at}u + {WIDTH[f.type]}u * i"
    move = f"tf_put_{f.type}({where}, {value});" if put else f"{value} = tf_get_{f.type}({where});"
    return [f"    for (uint32_t i = 0; i < {f.count}u; i++) {{", f"        {move}", "    }"]


def write(out: Path, table: Table) -> Path:
    """Write OUT/tf_messages.h in one go, and only when it differs (so that make sees no change)."""
    out.mkdir(parents=True, exist_ok=True)
    path, text = out / "tf_messages.h", header(table)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return path
    with tempfile.NamedTemporaryFile(
        "w", dir=out, prefix=".tf_messages.", delete=False, encoding="utf-8"
    ) as f:
        f.write(text)
    os.chmod(f.name, 0o644)
    os.replace(f.name, path)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description="messages.toml -> tf_messages.h")
    parser.add_argument("out", type=Path, help="folder to write tf_messages.h into")
    parser.add_argument("--table", type=Path, default=HERE / "messages.toml")
    args = parser.parse_args()
    try:
        write(args.out, load(args.table))
    except (BadTable, OSError) as e:
        print(f"generate.py: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
