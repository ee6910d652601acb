"""From a policy file to an image: built once, measured, and refused in one line."""

import os
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from policies import any_policy, random_policy

from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_export.kernels import KERNELS, flash_bytes, kernel
from tinyfly_hil import build as module
from tinyfly_hil import crazyflie
from tinyfly_hil.build import build, occupied


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A policy nobody has built before this session."""
    policy = random_policy(paper_contract(), (16,), seed=int.from_bytes(os.urandom(4)))
    return policy.save(tmp_path_factory.mktemp("build") / "new.policy")


def test_the_image_is_what_its_sections_say(path):
    built = build(path, "emulated")
    said = subprocess.run(
        ["arm-none-eabi-size", built.elf], capture_output=True, text=True, check=True
    ).stdout
    text, data, bss = map(int, said.splitlines()[1].split()[:3])
    assert (built.flash_bytes, built.ram_bytes) == (text + data, data + bss)
    assert built.ram_bytes < 128 << 10


def test_an_unchanged_policy_is_not_built_twice(path, monkeypatch):
    first = build(path, "emulated")
    monkeypatch.setattr(module, "pio", lambda *_: pytest.fail("built again"))
    assert build(path, "emulated") == first


def test_another_policy_is_another_image(path, tmp_path, monkeypatch):
    """Built where the first one's is kept: a fingerprint that is always the same would hand that out."""
    build(path, "emulated")
    asked = []

    def pio(policy_path, target, kernel=None):
        asked.append(policy_path)
        raise UserError("enough")

    monkeypatch.setattr(module, "pio", pio)
    *inner, last = (policy := Policy.load(path)).layers
    last = Layer(last.weight, np.nextafter(last.bias, np.float32(9)))  # the last bits of four numbers
    other = Policy.create(policy.contract, (*inner, last), policy.airframe, policy.provenance)
    other_path = other.save(tmp_path / "other.policy")
    with pytest.raises(UserError, match="enough"):
        build(other_path, "emulated")
    assert asked == [other_path]


def fingerprint(policy, target="emulated", kernel="float32", compiler="cc"):
    return module._fingerprint(policy, target, kernel, compiler)


def test_all_that_an_image_depends_on_is_in_its_fingerprint(policy, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    source, exporter, simulator = (
        tmp_path / name
        for name in ("firmware/core/tf_x.c", "export/tinyfly_export/c.py", "training/tinyfly/rotors.py")
    )
    for file in (source, exporter, simulator):
        file.parent.mkdir(parents=True)
        file.write_text("one")
    first = fingerprint(policy)
    assert fingerprint(policy) == first
    golden = replace(policy, golden_action=np.nextafter(policy.golden_action, np.float32(2)))
    different = [fingerprint(golden), fingerprint(policy, "stm32f405"), fingerprint(policy, kernel="int8")]
    monkeypatch.setattr(module, "_compiler_version", lambda compiler: "another")
    different.append(fingerprint(policy))
    monkeypatch.undo()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    integers = fingerprint(policy, kernel="int8")
    simulator.write_text("two")
    assert fingerprint(policy) == first and fingerprint(policy, kernel="int8") != integers
    for file in (source, exporter):
        file.write_text("two")
        different.append(fingerprint(policy))
    source.rename(source.with_name("tf_y.c"))
    different.append(fingerprint(policy))
    assert len({first, *different}) == 1 + len(different)


def test_an_image_in_integers_is_another_image_and_half_the_constants(path):
    built = build(path, "emulated", kernel="int16")
    assert (built.kernel, build(path, "emulated").kernel) == ("int16", "float32")
    assert built.flash_bytes < build(path, "emulated").flash_bytes


def test_an_unknown_kernel_is_refused_with_the_known_ones(path):
    with pytest.raises(UserError, match="unknown kernel 'int4': expected float32, int16, int8"):
        build(path, "emulated", kernel="int4")


@pytest.mark.parametrize(
    ("mirrors", "widths", "kernel"),
    [
        (False, (16,), "float32"),
        (False, (64, 64), "int16"),
        (False, (128, 128), "int8"),
        (True, (96, 96), "float32"),
        (True, (176, 176), "int16"),
        (True, (256, 256), "int8"),
    ],
)
def test_a_crazyflie_flies_the_most_exact_arithmetic_that_fits(mirrors, widths, kernel):
    assert crazyflie.kernel_that_fits(any_policy(paper_contract(), widths, mirrors)) == kernel


@pytest.mark.parametrize("mirrors", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_what_constants_take_is_known_before_their_values(mirrors, name):
    policy = any_policy(paper_contract(), (20, 12), mirrors)
    assert flash_bytes(policy, name) == len(kernel(policy, name).constants)


def test_a_policy_for_motors_that_turn_the_other_way_stays_off_a_crazyflie(tmp_path):
    usual = Airframe.load("crazyflie")
    other = replace(usual, rotor_torque_sign=tuple(-s for s in usual.rotor_torque_sign))
    policy = replace(random_policy(paper_contract()), airframe=other.to_dict())
    with pytest.raises(UserError, match="motors in another order"):
        crazyflie.stage(policy, tmp_path / "stage", "float32")
    assert not (tmp_path / "stage").exists()


def test_a_network_too_large_for_a_crazyflie_is_refused():
    with pytest.raises(UserError, match="not even as int8: train a smaller network"):
        crazyflie.kernel_that_fits(random_policy(paper_contract(), (256, 256)))


def test_the_image_can_be_copied_out(path, tmp_path):
    built = build(path, "emulated", out=tmp_path / "my.elf")
    assert built.elf == tmp_path / "my.elf"
    assert occupied(built.elf) == (built.flash_bytes, built.ram_bytes)


def test_an_unknown_target_is_refused_with_the_known_ones(path):
    with pytest.raises(UserError, match=r"unknown target 'arduino'; known: .*emulated, host"):
        build(path, "arduino")


def test_a_missing_compiler_comes_with_its_install_command(path, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"arm-none-eabi-gcc is missing .*install"):
        build(path, "emulated")


def test_a_failed_build_says_what_the_compiler_said(path, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ROOT", tmp_path)  # no platformio.ini here
    with pytest.raises(UserError, match="building emulated failed"):
        module.pio(path, "emulated")


MISTAKES = {
    "does not compile": ("int broken(void) { return 1 +; }", r"tf_app\.c:1:\d+: error: expected expression"),
    "does not link": ("#define tf_app_init gone", "undefined reference to `tf_app_init'"),
}


@pytest.mark.parametrize("target", ["emulated", "host"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_failed_build_repeats_the_first_line_that_says_why(path, monkeypatch, tmp_path, target, mistake):
    text, said = MISTAKES[mistake]
    for part in ("core", "ports"):
        shutil.copytree(module.ROOT / "firmware" / part, tmp_path / part)
    app = tmp_path / "core" / "tf_app.c"
    app.write_text(f"{text}\n{app.read_text()}")
    monkeypatch.setattr(module, "BUILDING", tmp_path / "building")
    with pytest.raises(UserError, match=rf"^building {target} failed: .*{said}") as error:
        module.pio(path, target, firmware=tmp_path)
    assert "\n" not in str(error.value)


def test_a_checkout_may_lie_in_a_folder_whose_name_has_a_space(path, monkeypatch, tmp_path):
    root = tmp_path / "my checkout"
    shutil.copytree(module.ROOT / "firmware", root / "firmware")
    shutil.copy(module.ROOT / "platformio.ini", root)
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(module, "BUILDING", root / "building")
    assert occupied(module.pio(path, "emulated")) == occupied(build(path, "emulated").elf)


def test_where_nothing_may_be_written_nothing_is_built_and_one_line_says_so(path, monkeypatch, tmp_path):
    (tmp_path / ".pio").touch()
    monkeypatch.setattr(module, "KEPT", tmp_path / ".pio" / "images")
    monkeypatch.setattr(module, "pio", lambda *_: pytest.fail("built"))
    with pytest.raises(UserError, match=r"^nothing can be built in .*\.pio \(Not a directory\)"):
        build(path, "emulated")


def test_a_crazyflie_checkout_without_its_submodules_is_told_how_to_get_them(path, tmp_path):
    with pytest.raises(UserError, match="is not a checkout"):
        crazyflie.build(path, tmp_path)
    (tmp_path / "tools" / "make").mkdir(parents=True)
    (tmp_path / "tools" / "make" / "oot.mk").touch()
    with pytest.raises(UserError, match="submodule update --init --recursive"):
        crazyflie.build(path, tmp_path)
