"""Put a policy on a real board or a real Crazyflie, and make sure that it is what runs there.

A board is flashed by PlatformIO (OpenOCD and an ST-Link unless platformio.ini says otherwise) and asked
over its serial port who it is. A Crazyflie is flashed over the air by Bitcraze's cfloader and asked by cflib.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_hil import crazyflie
from tinyfly_hil.build import lock, occupied, pio
from tinyfly_hil.target import open_target
from tinyfly_hil.tools import require

PROPS_OFF = (
    "Take the propellers off. Put them back on only after `tinyfly hil` has passed on this very board"
    " (with --thorough if the firmware has changed)."
)
CFLOADER_S = 300.0
IDENTITY_S = 10.0


def flash(
    policy_path: Path,
    port: str | None = None,
    radio: str | None = None,
    crazyflie_base: Path | None = None,
    target: str = "stm32f405",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Build, flash, verify. Exactly one of ``port`` and ``radio``; a port is never guessed.

    Args:
        policy_path: the policy file.
        port: the board's serial port, as /dev/ttyUSB0: where its identity is asked for.
        radio: the Crazyflie's URI, as radio://0/80/2M; needs ``crazyflie_base``.
        crazyflie_base: checkout of the stock firmware.
        target: the board, an environment of platformio.ini with an upload_command.
        say: gets the warning, and what is being done.

    Raises:
        UserError: a tool is missing, flashing fails, or something else answers than what was flashed.
    """
    policy = Policy.load(policy_path)
    if (port is None) == (radio is None):
        raise UserError("say where to flash: either --port /dev/ttyUSB0 or --radio radio://0/80/2M")
    if port in ("qemu", "host", "auto"):
        raise UserError(f"--port {port}: flashing wants a board's own port, as /dev/ttyUSB0")
    say(PROPS_OFF)
    if port is not None:
        image = _flash_board(policy_path, port, target, say)
    else:
        assert radio is not None
        image = _flash_crazyflie(policy_path, policy, radio, crazyflie_base, say)
    flash_bytes, ram_bytes = occupied(image)
    return {
        "policy": str(policy_path),
        "where": port or radio,
        "policy_crc": policy.crc32(),
        "verified": True,
        "flash_bytes": flash_bytes,
        "ram_bytes": ram_bytes,
    }


def _flash_board(policy_path: Path, port: str, target: str, say: Callable[[str], None]) -> Path:
    require("openocd")
    say(f"flashing {target} with {policy_path}")
    with lock():
        image = pio(policy_path, target, "-t", "upload")
    with open_target(port, policy_path) as chip:  # refuses, by name, whatever is not this policy
        chip.self_test()
    say(f"{port} runs {policy_path}, and its self-test passes")
    return image


def _flash_crazyflie(
    policy_path: Path, policy: Policy, uri: str, base: Path | None, say: Callable[[str], None]
) -> Path:
    if not uri.startswith(("radio://", "usb://")):
        raise UserError(f"--radio {uri}: expected a Crazyflie's URI, as radio://0/80/2M")
    if base is None:
        raise UserError("--radio needs --crazyflie-base DIR, your checkout of crazyflie-firmware")
    loader = require("cfloader")
    image = crazyflie.build(policy_path, base).elf
    say(f"flashing {uri} with {image.with_suffix('.bin')}")
    command = [loader, "flash", str(image.with_suffix(".bin")), "stm32-fw", "-w", uri]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CFLOADER_S, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"cfloader did not finish within {CFLOADER_S:g} s: is the Crazyflie on?") from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise UserError(f"cfloader failed; it said: {last[0]}")
    found = _policy_on_board(uri)
    if found != policy.crc32():
        raise UserError(
            f"{uri} runs policy {found:08x}, not {policy_path} ({policy.crc32():08x}): flash again"
        )
    say(f"{uri} carries {policy_path}")
    return image


def _policy_on_board(uri: str) -> int:
    """Log variable tinyfly.policy of a Crazyflie."""
    try:
        import cflib.crtp
        from cflib.crazyflie import Crazyflie
        from cflib.crazyflie.log import LogConfig
        from cflib.crazyflie.syncCrazyflie import SyncCrazyflie
    except ImportError:
        raise UserError("flashed, but not verified: cflib is missing: .venv/bin/pip install cflib") from None
    cflib.crtp.init_drivers()
    found: list[int] = []
    came = threading.Event()

    def take(time_ms: int, data: dict[str, Any], block: Any) -> None:
        found.append(int(data["tinyfly.policy"]))
        came.set()

    with SyncCrazyflie(uri, cf=Crazyflie()) as link:
        block = LogConfig("identity", period_in_ms=100)
        block.add_variable("tinyfly.policy", "uint32_t")
        link.cf.log.add_config(block)
        block.data_received_cb.add_callback(take)
        block.start()
        came.wait(IDENTITY_S)
        block.stop()
    if not found:
        raise UserError(
            f"{uri} does not say which policy it runs: is it tinyfly's firmware that was flashed?"
        )
    return found[0]
