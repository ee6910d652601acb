"""Running an ARM image's own functions from Python; here on our firmware, in the field on a Crazyflie's."""

import contextlib
import re
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from policies import random_policy

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_hil.build import build, given, is_ours
from tinyfly_hil.protocol import encode

pytest.importorskip("unicorn")
from tinyfly_hil import image as flights
from tinyfly_hil.arm_image import SCRATCH, Image

AT = SCRATCH[0] + 0x1000  # where these tests put their data


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory):
    policy = random_policy(paper_contract(), (16,), seed=5)
    return policy.save(tmp_path_factory.mktemp("image") / "small.policy")


@pytest.fixture(scope="module")
def image(policy_path):
    return Image(build(policy_path, "emulated").elf)


def test_a_function_is_called_with_its_arguments(image):
    image.write(AT, b"123456789")
    assert image.call("tf_crc32", 0, AT, 9) == zlib.crc32(b"123456789")


def test_functions_are_called_in_a_row_a_fifth_argument_on_the_stack(image):
    kind, wires = 0x07, {1: AT + 64, 2: AT + 128}  # set_clock, numbered
    image.write(AT, b"\x01")
    image.call_all(*(("tf_link_encode", kind, sequence, AT, 1, wire) for sequence, wire in wires.items()))
    for sequence, wire in wires.items():
        expected = encode("set_clock", sequence, clock=1)
        assert image.read(wire, len(expected)) == expected


def test_a_restart_brings_the_initial_values_back(image):
    address = image.address("app")
    image.write(address, b"\xff" * 16)
    image.restart()
    assert image.read(address, 16) == bytes(16)


def test_struct_members_are_found_by_the_image_s_debug_information(image):
    state = image.struct("tf_state_t", "tf_guard_check")
    state["quaternion.0"], state["velocity.2"] = 1.0, -2.5
    assert image.call("tf_guard_check", state.address) & 0xFF == 0
    raw = np.frombuffer(image.read(state.address, 13 * 4), "<f4")
    assert (raw[3], raw[9]) == (1.0, -2.5) and np.count_nonzero(raw) == 2
    state["position.1"] = float("nan")
    assert image.call("tf_guard_check", state.address) & 0xFF != 0


# All that the STM32F405 port writes: TIM2 and TIM5 count (CR1, EGR, PSC); the rest is clocks, random numbers,
# the serial line and its two pins.
WRITTEN = {base + register for base in (0x40000000, 0x40000C00) for register in (0x00, 0x14, 0x28)}
WRITTEN |= {0x40007000, 0x40011008, 0x4001100C, 0x40023C00}  # PWR_CR; USART1 BRR, CR1; FLASH_ACR
WRITTEN |= {0x40020000, 0x4002000C, 0x40020024}  # GPIOA MODER, PUPDR, AFRH
WRITTEN |= {0x40023800 + register for register in (0x00, 0x04, 0x08, 0x30, 0x34, 0x40, 0x44, 0x74)}  # RCC


@pytest.mark.parametrize("silicon", [False, True])
def test_the_image_configures_no_motor(policy_path, silicon):
    image = Image(build(policy_path, "emulated").elf)
    if silicon:  # its cycle counter counts, its clocks get ready
        image.write(0x40023800, struct.pack("<I", 1 << 17 | 1 << 25))
        image.on_read(0xE0001004, struct.pack("<I", 7))
    image.call("board_init")
    words = np.frombuffer(image.read(0x40000000, 1 << 20), "<u4")
    assert set(0x40000000 + 4 * np.flatnonzero(words)) <= WRITTEN
    pins = np.frombuffer(image.read(0x40020000, 4), "<u4")[0]
    assert pins == 2 << 18 | 2 << 20  # PA9 and PA10, the serial line; no other pin is an output
    assert silicon == bool(words[(0x40023C00 - 0x40000000) // 4])  # the flash's wait states, for 168 MHz
    names = [s for s in image.symbols if not s.startswith("tf_")]
    assert not [s for s in names if re.search("pwm|motor|dshot|esc_", s, re.IGNORECASE)]


RCC_CR, RCC_PLLCFGR, RCC_CFGR, FLASH_ACR = 0x40023800, 0x40023804, 0x40023808, 0x40023C00
USART_SR, USART_DR, USART_BRR, TIM5_PSC = 0x40011000, 0x40011004, 0x40011008, 0x40000C28
CRYSTAL_READY, CRYSTAL_WATCHED, PLL_READY, FROM_CRYSTAL = 1 << 17, 1 << 19, 1 << 25, 1 << 22


def word(image, address):
    return struct.unpack("<I", image.read(address, 4))[0]


@pytest.mark.parametrize("crystal_hz", [8_000_000, None])
def test_silicon_runs_at_168_mhz_with_a_crystal_and_without(policy_path, crystal_hz):
    """The clock tree computed back from the registers, as RM0090 draws it; ready bits are answered for."""
    image = Image(build(policy_path, "emulated").elf)
    image.write(RCC_CR, struct.pack("<I", PLL_READY | (CRYSTAL_READY if crystal_hz else 0)))
    image.on_read(0xE0001004, struct.pack("<I", 7))  # its cycle counter counts
    image.on_read(RCC_CFGR, struct.pack("<I", 2 << 2))  # the PLL is the system clock
    image.call("board_init")
    pll = word(image, RCC_PLLCFGR)
    assert bool(pll & FROM_CRYSTAL) == bool(word(image, RCC_CR) & CRYSTAL_WATCHED) == bool(crystal_hz)
    fed_hz = (crystal_hz or 16_000_000) / (pll & 63)
    vco_hz = fed_hz * (pll >> 6 & 511)
    assert 1e6 <= fed_hz <= 2e6 and 100e6 <= vco_hz <= 432e6
    assert (vco_hz / (2 * (pll >> 16 & 3) + 2), vco_hz / (pll >> 24 & 15)) == (168e6, 48e6)
    assert word(image, FLASH_ACR) == 0x705  # 2.7 V to 3.6 V: five wait states from 150 MHz on
    assert 84e6 / word(image, USART_BRR) == pytest.approx(921600, rel=0.01)
    assert (84e6 / (word(image, TIM5_PSC) + 1), image.call("board_cost_hz")) == (1e6, 168_000_000)


def test_a_clock_that_does_not_switch_leaves_buses_and_baud_rate_as_the_oscillator_has_them(policy_path):
    image = Image(build(policy_path, "emulated").elf)
    image.write(RCC_CR, struct.pack("<I", PLL_READY | CRYSTAL_READY))
    image.on_read(0xE0001004, struct.pack("<I", 7))
    image.call("board_init")
    assert word(image, RCC_CFGR) == 0  # no bus is divided
    assert 16e6 / word(image, USART_BRR) == pytest.approx(921600, rel=0.025)
    assert (16e6 / (word(image, TIM5_PSC) + 1), image.call("board_cost_hz")) == (1e6, 16_000_000)


@pytest.mark.parametrize(("status", "byte"), [(1 << 5, True), (1 << 3, False), (1 << 5 | 1 << 3, True)])
def test_an_overrun_is_cleared_even_when_it_leaves_no_byte(policy_path, status, byte):
    image = Image(build(policy_path, "emulated").elf)
    image.write(USART_DR, b"\xff")
    image.on_read(USART_DR, b"\0")  # seen in memory once the data register has been read: that clears it
    image.write(USART_SR, struct.pack("<I", status))
    image.call("board_serial_irq")
    assert (word(image, USART_DR), bool(image.get("frame_ended", "B"))) == (0, byte)


def test_a_full_output_buffer_says_so_and_is_emptied_by_the_interrupt(policy_path):
    image = Image(build(policy_path, "emulated").elf)
    for taken in range(0, 512, 64):
        assert image.call("board_room") == 512 - taken
        image.call("board_send", AT, 64)  # the transmitter is busy for ever
    assert image.call("board_room") == 0
    image.write(USART_SR, struct.pack("<I", 1 << 7))
    image.call("board_serial_irq")
    assert image.call("board_room") == 512


def test_an_unknown_member_is_refused_by_name(image):
    with pytest.raises(UserError, match=r"no attitude\.roll"):
        image.struct("tf_state_t", "tf_guard_check")["attitude.roll"]


def test_a_fault_is_reported_with_its_place(image):
    with pytest.raises(UserError, match=r"tf_crc32 faults at 0x08"):
        image.call("tf_crc32", 0, 0x90000000, 9)


def test_an_image_without_the_controller_is_refused(policy_path):
    policy = replace(Policy.load(policy_path), airframe=Airframe.load("crazyflie").to_dict())
    with pytest.raises(UserError, match="has no controllerOutOfTree"):
        flights.check(build(policy_path, "emulated").elf, policy)


def places(elf):
    """Where in a file its headers, names, symbols and debug information lie, each with its size."""
    with elf.open("rb") as f:
        read = ELFFile(f)
        sections = read["e_shoff"], read["e_shnum"] * read["e_shentsize"]
        names = (".shstrtab", ".symtab", ".debug_info", ".debug_abbrev", ".debug_aranges")
        found = [read.get_section_by_name(name) for name in names]
        return [(0, 52), sections, sections, *((s["sh_offset"], s["sh_size"]) for s in found)]


def damaged(elf, to, at, byte):
    data = bytearray(elf.read_bytes())
    data[at] = byte
    to.write_bytes(data)
    return to


def read_all(elf):
    """All that tinyfly reads of an image."""
    is_ours(elf)
    given(elf, "emulated")
    image = Image(elf)
    image.call("tf_guard_check", image.struct("tf_state_t", "tf_guard_check").address)
    image.get("app", "I")


@pytest.fixture(scope="module")
def small_elf(policy_path):
    return build(policy_path, "emulated").elf


@given_any(where=st.integers(0, 7), share=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_a_damaged_image_reads_or_is_refused_in_one_line(small_elf, tmp_path_factory, where, share, byte):
    begin, size = places(small_elf)[where]
    elf = damaged(small_elf, tmp_path_factory.getbasetemp() / "flip.elf", begin + int(share * size), byte)
    try:
        read_all(elf)
    except UserError as e:
        assert "\n" not in str(e)


@pytest.mark.parametrize("section", [".debug_info", ".debug_abbrev", ".debug_aranges", ".symtab", ".strtab"])
@pytest.mark.parametrize("field", [4, 8, 16, 20, 24, 36])  # type, flags, offset, size, link, size of an entry
@pytest.mark.parametrize("value", [0, 0xFFFFFFFF])
def test_a_section_header_with_a_number_that_is_none_of_its_own_ends_no_program(
    small_elf, tmp_path, section, field, value
):
    with small_elf.open("rb") as f:
        read = ELFFile(f)
        at = read["e_shoff"] + read.get_section_index(section) * read["e_shentsize"] + field
    data = bytearray(small_elf.read_bytes())
    data[at : at + 4] = struct.pack("<I", value)
    (tmp_path / "damaged.elf").write_bytes(data)
    with contextlib.suppress(UserError):
        read_all(tmp_path / "damaged.elf")


def test_what_is_no_arm_image_is_refused(tmp_path):
    text = tmp_path / "text.elf"
    text.write_text("no image at all")
    with pytest.raises(UserError, match="not an ELF file"):
        Image(text)
    with pytest.raises(UserError, match="not for an ARM microcontroller"):
        Image(Path(shutil.which("true") or "/bin/true").resolve())
    with pytest.raises(UserError, match="does not read"):
        Image(tmp_path / "none.elf")
