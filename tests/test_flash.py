"""Flashing: nothing is guessed, nothing is believed that did not answer."""

import os
import stat

import pytest
from policies import random_policy

from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly_hil import crazyflie
from tinyfly_hil import flash as module
from tinyfly_hil.build import Build
from tinyfly_hil.flash import PROPS_OFF, flash


@pytest.fixture
def path(tmp_path, policy):
    return policy.save(tmp_path / "p.policy")


def test_a_place_has_to_be_named(path):
    for where in ({}, {"port": "/dev/ttyUSB0", "radio": "radio://0/80/2M"}):
        with pytest.raises(UserError, match=r"either --port .* or --radio"):
            flash(path, **where)


@pytest.mark.parametrize("port", ["qemu", "host", "auto"])
def test_a_port_is_never_guessed(path, port):
    with pytest.raises(UserError, match="a board's own port"):
        flash(path, port=port)


def test_props_off_is_said_before_anything_happens(path, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = []
    with pytest.raises(UserError, match="openocd is missing"):
        flash(path, port="/dev/ttyUSB0", say=said.append)
    assert said == [PROPS_OFF]


def test_a_crazyflie_needs_the_stock_firmware_and_its_loader(path, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="--crazyflie-base"):
        flash(path, radio="radio://0/80/2M", say=lambda _: None)
    with pytest.raises(UserError, match="expected a Crazyflie's URI"):
        flash(path, radio="80", crazyflie_base=tmp_path, say=lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="cfloader is missing"):
        flash(path, radio="radio://0/80/2M", crazyflie_base=tmp_path, say=lambda _: None)


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """A stand-in for cfloader that notes its arguments, and a Crazyflie image that is built already."""
    program = tmp_path / "cfloader"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit ${{CFLOADER_EXIT:-0}}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    elf = tmp_path / "cf2.elf"
    monkeypatch.setattr(crazyflie, "build", lambda *_: Build("crazyflie", elf, 1, 1))
    monkeypatch.setattr(module, "occupied", lambda _: (1, 1))
    return tmp_path / "asked"


def test_the_crazyflie_is_flashed_over_the_air_and_asked_who_it_is(
    path, policy, loader, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_policy_on_board", lambda _: policy.crc32())
    result = flash(path, radio="radio://0/80/2M", crazyflie_base=tmp_path, say=lambda _: None)
    assert loader.read_text().split() == [
        "flash",
        str(tmp_path / "cf2.bin"),
        "stm32-fw",
        "-w",
        "radio://0/80/2M",
    ]
    assert result["verified"] and result["policy_crc"] == policy.crc32()


def test_another_policy_on_the_crazyflie_is_an_error(path, loader, tmp_path, monkeypatch):
    other = random_policy(paper_contract(), seed=9).crc32()
    monkeypatch.setattr(module, "_policy_on_board", lambda _: other)
    with pytest.raises(UserError, match=f"runs policy {other:08x}"):
        flash(path, radio="radio://0/80/2M", crazyflie_base=tmp_path, say=lambda _: None)


def test_a_loader_that_fails_is_an_error(path, loader, tmp_path, monkeypatch):
    monkeypatch.setenv("CFLOADER_EXIT", "1")
    with pytest.raises(UserError, match="cfloader failed"):
        flash(path, radio="radio://0/80/2M", crazyflie_base=tmp_path, say=lambda _: None)
