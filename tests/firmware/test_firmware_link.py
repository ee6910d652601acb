"""Framing: what one side sends the other gets, and nothing else ever becomes a frame."""

from __future__ import annotations

import ctypes
import zlib

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfly_hil.protocol import MAX_FRAME, VERSION

FRAME, BAD_FRAME, BAD_CRC, BAD_VERSION = 1, 2, 3, 4
MAX_BODY = MAX_FRAME - 8
bodies = st.binary(max_size=300) | st.integers(0, MAX_BODY).map(lambda n: bytes(i % 5 for i in range(n)))


def wrap(content: bytes) -> bytes:
    return cobs.encode(content + zlib.crc32(content).to_bytes(4, "little")) + b"\0"


def frame(kind: int, sequence: int, body: bytes, version: int = VERSION) -> bytes:
    return wrap(bytes([version, kind]) + sequence.to_bytes(2, "little") + body)


def encoded(library, kind: int, sequence: int, body: bytes) -> bytes:
    wire = ctypes.create_string_buffer(2 * MAX_FRAME)
    n = library.tf_link_encode(kind, ctypes.c_uint16(sequence), body, len(body), wire)
    return wire.raw[:n]


class Receiver:
    """tf_decoder_t"""

    def __init__(self, library):
        self.c, self.buffer = library, ctypes.create_string_buffer(library.bridge_decoder_size())
        library.tf_decoder_init(self.buffer)

    def feed(self, data: bytes) -> list:
        """Events, a frame as (type, sequence, body)."""
        events, out = (ctypes.c_uint8 * (len(data) + 1))(), ctypes.create_string_buffer(8 * len(data) + 16)
        n = self.c.bridge_feed(self.buffer, data, len(data), events, out)
        found, at = [], 0
        for event in events[:n]:
            found.append(event)
            if event == FRAME:
                size = int.from_bytes(out.raw[at : at + 4], "little")
                kind, sequence = out.raw[at + 4], int.from_bytes(out.raw[at + 5 : at + 7], "little")
                found[-1] = (kind, sequence, out.raw[at + 7 : at + 7 + size])
                at += 7 + size
        return found


@given(st.integers(0, 255), st.integers(0, 65535), bodies)
def test_the_chips_frames_are_what_the_standard_codec_makes(library, kind, sequence, body):
    assert encoded(library, kind, sequence, body) == frame(kind, sequence, body)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 65535), bodies), max_size=4),
    st.binary(max_size=40),
)
def test_frames_come_back_whole_after_any_garbage(library, frames, garbage):
    receiver = Receiver(library)
    receiver.feed(garbage + b"\0")
    assert receiver.feed(b"".join(frame(*f) for f in frames)) == frames


@given(bodies, st.data())
@settings(max_examples=200)
def test_a_frame_with_any_bits_flipped_is_never_taken_for_another(library, body, data):
    wire = bytearray(frame(5, 7, body))
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for event in Receiver(library).feed(bytes(wire) + b"\0"):
        assert event in (BAD_FRAME, BAD_CRC) or event == (5, 7, body)


@pytest.mark.parametrize("n", [0, 3, 7])
def test_what_is_too_short_for_a_header_and_a_crc_is_no_frame(library, n):
    content = bytes(range(1, n + 1))
    assert Receiver(library).feed(cobs.encode(content) + b"\0") == [BAD_FRAME]


@pytest.mark.parametrize(
    ("extra", "event"), [(0, (9, 1, bytes(MAX_BODY))), (1, BAD_FRAME), (3000, BAD_FRAME)]
)
def test_the_longest_frame_is_taken_and_a_longer_one_skipped(library, extra, event):
    receiver = Receiver(library)
    assert receiver.feed(frame(9, 1, bytes(MAX_BODY + extra))) == [event]
    assert receiver.feed(frame(1, 2, b"after")) == [(1, 2, b"after")]


def test_a_body_too_long_to_send_is_not_sent(library):
    assert encoded(library, 1, 1, bytes(MAX_BODY + 1)) == b""
    assert encoded(library, 1, 1, bytes(MAX_BODY)) == frame(1, 1, bytes(MAX_BODY))


def test_another_version_is_told_from_damage(library):
    receiver = Receiver(library)
    assert receiver.feed(frame(1, 1, b"", version=VERSION + 1)) == [BAD_VERSION]
    damaged = bytearray(frame(1, 1, b""))
    damaged[2] ^= 4
    assert receiver.feed(bytes(damaged)) == [BAD_CRC]


def test_a_block_cut_off_by_a_delimiter_is_no_frame(library):
    receiver = Receiver(library)
    assert receiver.feed(frame(1, 1, b"abcdef")[:-4] + b"\0\0\0") == [BAD_FRAME]  # idle delimiters are silent


@given(st.binary(max_size=200), st.integers(0, 200))
def test_crc_is_zlibs_and_can_be_continued(library, data, cut):
    library.tf_crc32.restype = ctypes.c_uint32
    library.tf_crc32.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    begun = library.tf_crc32(0, data[:cut], len(data[:cut]))
    assert library.tf_crc32(begun, data[cut:], len(data[cut:])) == zlib.crc32(data)


def test_random_noise_yields_no_frame(library):
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
    events = Receiver(library).feed(noise)
    assert len(events) > 500
    assert all(isinstance(e, int) for e in events)
