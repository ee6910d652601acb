"""Running an ARM image's own functions from Python; here on our firmware, in the field on a Crazyflie's."""

import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from policies import random_policy

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_hil.build import build

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


def test_a_restart_brings_the_initial_values_back(image):
    address = image.address("app")
    image.write(address, b"\xff" * 16)
    image.restart()
    assert image.read(address, 16) == bytes(16)


def test_struct_members_are_found_by_the_image_s_debug_information(image):
    state = image.struct("tf_state_t", "tf_guard_check")
    state["quaternion.0"], state["velocity.2"] = 1.0, -2.5
    raw = np.frombuffer(image.read(state.address, 13 * 4), "<f4")
    assert (raw[3], raw[9]) == (1.0, -2.5) and np.count_nonzero(raw) == 2
    assert image.call("tf_guard_check", state.address) & 0xFF == 0
    state["position.1"] = float("nan")
    assert image.call("tf_guard_check", state.address) & 0xFF != 0


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


def test_what_is_no_arm_image_is_refused(tmp_path):
    text = tmp_path / "text.elf"
    text.write_text("no image at all")
    with pytest.raises(UserError, match="is not an ELF image"):
        Image(text)
    with pytest.raises(UserError, match="not for an ARM microcontroller"):
        Image(Path(shutil.which("true") or "/bin/true").resolve())
    with pytest.raises(UserError, match="cannot be read"):
        Image(tmp_path / "none.elf")
