"""The serial protocol: the Python codec and the generated C header agree, and neither trusts the line."""

import ctypes
import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfly_hil import protocol
from tinyfly_hil.protocol import PROTOCOL_DIR, TABLE, Decoder, encode

GENERATE = PROTOCOL_DIR / "generate.py"
_STRICT = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wdouble-promotion",
    "-Wvla",
    "-Werror",
]
_LIMITS = {"u8": (0, 2**8 - 1), "u16": (0, 2**16 - 1), "u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1)}
_LIMITS["i32"] = (-(2**31), 2**31 - 1)


def _value(f):
    """Any value that a field can hold; float32 as any bit pattern, NaNs included."""
    if f.type == "char":
        return st.text("abcXYZ_0123456789.-", max_size=f.count)
    if f.type == "f32" and f.array:
        bits = st.lists(st.integers(0, 2**32 - 1), min_size=f.count or 0, max_size=f.count or 254)
        return bits.map(lambda b: np.array(b, "<u4").view("<f4"))
    if f.type == "f32":
        return st.floats(width=32, allow_nan=False)
    return st.integers(*_LIMITS[f.type])


@st.composite
def messages(draw):
    """(name, sequence, values) of any message in the table."""
    m = draw(st.sampled_from(list(TABLE.messages.values())))
    return m.name, draw(st.integers(0, 0xFFFF)), {f.name: draw(_value(f)) for f in m.body}


def _bits(values):
    return {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _chunks(data, cuts):
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(messages(), max_size=4), st.lists(st.integers(0, 10_000), max_size=6))
def test_frames_survive_the_wire_in_any_split(sent, cuts):
    decoder = Decoder()
    wire = b"".join(encode(name, sequence, **values) for name, sequence, values in sent)
    got = [f for chunk in _chunks(wire, cuts) for f in decoder.feed(chunk)]
    assert [(f.name, f.sequence, _bits(f.body._asdict())) for f in got] == [
        (n, s, _bits(v)) for n, s, v in sent
    ]
    assert decoder.counters.frames == len(sent)


@given(st.binary(max_size=3000), messages())
def test_garbage_never_raises_and_the_next_frame_is_read(garbage, message):
    name, sequence, values = message
    decoder = Decoder()
    decoder.feed(garbage)
    frames = decoder.feed(b"\0" + encode(name, sequence, **values))
    assert (frames[-1].name, frames[-1].sequence) == (name, sequence)


@given(messages(), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_gives_another_frame(message, where, flip):
    name, sequence, values = message
    wire = bytearray(encode(name, sequence, **values))
    wire[where % (len(wire) - 1)] ^= flip
    decoder = Decoder()
    assert decoder.feed(bytes(wire)) == []


def test_each_fault_is_counted_by_its_name():
    decoder = Decoder()
    sound = encode("hello")
    content = protocol.cobs.decode(sound[:-1])
    decoder.feed(sound)
    decoder.feed(protocol.cobs.encode(content[:-1] + b"?") + b"\0")
    decoder.feed(protocol.seal(b"\x63" + content[1:4]))  # protocol version 99
    decoder.feed(protocol.seal(bytes([protocol.VERSION, 0xEE, 0, 0])))  # no such message
    decoder.feed(b"x" * 5000 + b"\0")
    c = decoder.counters
    assert (c.frames, c.bad_crc, c.bad_version, c.bad_frame) == (1, 1, 1, 2)
    assert decoder.other_version == 99


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="takes boot_nonce, policy_crc, contract_hash"):
        encode("arm", 1)
    with pytest.raises(ValueError, match="position takes 3 values"):
        encode(
            "step",
            1,
            time_us=0,
            position=[1, 2],
            quaternion=[1, 0, 0, 0],
            velocity=[0] * 3,
            angular_velocity=[0] * 3,
        )
    with pytest.raises(ValueError, match="message set_clock"):
        encode("set_clock", 1, clock=256)
    with pytest.raises(ValueError, match="at most 1024 bytes"):
        encode("infer", 1, observation=np.zeros(255))


# ------------------------------------------------------------------ the generated header


def _generate(out, *arguments):
    return subprocess.run([sys.executable, GENERATE, out, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def c_library(tmp_path_factory):
    """The header behind one exported function: decode a body, encode it again."""
    out = tmp_path_factory.mktemp("protocol")
    assert _generate(out).returncode == 0
    cases = "\n".join(
        f"case TF_MSG_{m.name.upper()}: {{ tf_msg_{m.name}_t m;"
        f" return tf_decode_{m.name}(in, n, &m) ? (int)tf_encode_{m.name}(&m, out) : -1; }}"
        for m in TABLE.messages.values()
        if m.body
    )
    source = f"""#include "tf_messages.h"
int again(unsigned kind, const uint8_t *in, uint32_t n, uint8_t *out);
int again(unsigned kind, const uint8_t *in, uint32_t n, uint8_t *out)
{{ switch (kind) {{ {cases} default: return -2; }} }}"""
    (out / "again.c").write_text(source)
    subprocess.run(["gcc", *_STRICT, "-shared", "-fPIC", "-o", out / "again.so", out / "again.c"], check=True)
    return ctypes.CDLL(str(out / "again.so"))


@settings(max_examples=300)
@given(message=messages())
def test_c_decodes_and_encodes_what_python_sends(c_library, message):
    name, sequence, values = message
    body = protocol.cobs.decode(encode(name, sequence, **values)[:-1])[4:-4]
    if not body and not TABLE.messages[name].rest:
        return
    out = ctypes.create_string_buffer(2048)
    n = c_library.again(TABLE.messages[name].type, body, len(body), out)
    assert out.raw[:n] == body


@pytest.mark.parametrize("m", [m for m in TABLE.messages.values() if m.body], ids=lambda m: m.name)
def test_c_refuses_a_body_of_the_wrong_length(c_library, m):
    out = ctypes.create_string_buffer(2048)
    wrong = [m.bytes + 1, m.bytes + 2] if m.rest else [0, m.bytes - 1, m.bytes + 1, m.bytes + 4]
    for n in wrong:
        assert c_library.again(m.type, bytes(n), n, out) == -1


def test_header_is_the_same_every_time(tmp_path):
    _generate(tmp_path / "a")
    _generate(tmp_path / "b")
    assert (tmp_path / "a/tf_messages.h").read_bytes() == (tmp_path / "b/tf_messages.h").read_bytes()


_GOOD = """version = 1
max_frame = 64
baud = 9600
[enums.e]
a = 0
[messages.m]
type = 1
body = [["x", "u8"]]
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("version = 1", "version = 0", "version is 0"),
        ("a = 0", "a = 3", "enum e must number its values"),
        ("type = 1", "type = 300", "message m: type is 300"),
        ('"u8"', '"u9"', "field x has an unknown type 'u9'"),
        ('"u8"', '"u8[]"', "only f32[] may take the rest"),
        ('"u8"', '"u8[90]"', "message m takes 98 bytes"),
        ('"u8"]]', '"f32[]"], ["y", "u8"]]', "must come last"),
        ('"u8"]]', '"u8"], ["x", "u8"]]', "names a field twice"),
        ('"x"', '"int"', "'int' is not a name"),
        ('body = [["x", "u8"]]', 'body = []\nreply = "n"', "unknown reply 'n'"),
        ("type = 1", "type = 1\nkind = 2", "unknown key 'kind'"),
        ("[messages.m]", "[messages.k]\ntype = 1\nbody = []\n[messages.m]", "k and m share type 0x01"),
        ("version = 1", "version = ", "messages.toml: Invalid value"),
    ],
)
def test_a_bad_table_is_refused_with_one_line(tmp_path, old, new, complaint):
    table = tmp_path / "messages.toml"
    table.write_text(_GOOD.replace(old, new))
    done = _generate(tmp_path / "out", "--table", table)
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert done.stderr.count("\n") == 1 and complaint in done.stderr


def test_the_protocol_page_is_the_table():
    page = subprocess.run(
        [sys.executable, PROTOCOL_DIR / "page.py"], capture_output=True, text=True, check=True
    )
    assert (PROTOCOL_DIR.parents[1] / "docs/protocol.md").read_text() == page.stdout, (
        "run firmware/protocol/page.py"
    )
