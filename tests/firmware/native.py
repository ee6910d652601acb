"""The portable core as a shared library, built once per version of its sources and driven from Python."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tinyfly.contract import AngularAcceleration, Channel, Contract, Integral, SpecificForce
from tinyfly.policy import Policy
from tinyfly_export import c as exporter
from tinyfly_export.arithmetic import Kernel
from tinyfly_export.c import export_c
from tinyfly_export.float_c import float_kernel
from tinyfly_export.native import find_compiler

GOLDEN = 16  # vectors in the self-test
HERE = Path(__file__).resolve().parent
CORE = Path(os.environ.get("TINYFLY_CORE", exporter.CORE))  # the prover tries mutants of it
GENERATE = exporter.CORE.parent / "protocol" / "generate.py"
# Undefined behaviour ends the test process at once; no run-time library is needed for that.
FLAGS = [
    *("-std=c11", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror"),
    *("-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error"),
]

FULL = Contract(
    channels=(
        Channel("action_history", 32),
        Channel("position_error", 3, limit=0.6),
        Channel("rotation", 9),
        Channel("velocity_error", 3, limit=2.0),
        Channel("angular_velocity", 3, scale=0.5),
        Channel("position_integral", 3),
        Channel("specific_force", 3, scale=0.5, limit=30.0),
        Channel("angular_acceleration", 3, scale=0.1, limit=300.0),
        Channel("reference_acceleration", 3, scale=0.1),
        Channel("acceleration_preview", 6, scale=0.1, limit=20.0),
    ),
    history_length=8,
    integral=Integral(),
    specific_force=SpecificForce(0.07, trend_s=0.15, lead_s=0.2, quiet_m_s2=0.5),
    angular_acceleration=AngularAcceleration(0.03, limit_rad_s2=50.0),
    preview_s=(0.08, 0.16),
)

# Half the rate, one preview, and a scale that takes a plausible velocity beyond a network input's range.
SLOW = Contract(
    channels=(
        Channel("action_history", 12, scale=0.5, limit=0.9),
        Channel("position_error", 3, scale=2.0, limit=0.5),
        Channel("velocity_error", 3, scale=1000.0),
        Channel("acceleration_preview", 3),
    ),
    rate_hz=50.0,
    history_length=3,
    history_rate_hz=50.0,
    preview_s=(0.1,),
)
_BYTES = [f"tf_controller_{request}" for request in ("arm", "disarm", "stop", "setpoint", "self_test")]
_BYTES += [
    "tf_guard_check",
    "tf_supervisor_handle",
    "tf_setpoint_set",
    "tf_app_poll",
]
_BYTES += ["tf_within", "tf_finite"]
_FLOATS = ["tf_clip", "tf_clip_unit", "tf_sqrt", "tf_thrust_fraction", "bridge_compensation"]


def core_sources() -> list[Path]:
    """Every C file of the portable core."""
    return sorted(CORE.glob("tf_*.c"))


def _key(policy: Policy, kernel: Kernel, sources: list[Path], flags: list[str]) -> str:
    digest = hashlib.sha256(f"{policy.crc32()} {flags} {kernel.source}".encode())
    for path in [
        *sources,
        *sorted(CORE.glob("*.h")),
        GENERATE.with_name("messages.toml"),
        *GENERATE.parent.glob("*.py"),
    ]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build(
    policy: Policy,
    *,
    sources: list[Path] | None = None,
    flags: list[str] | None = None,
    kernel: Kernel | None = None,
) -> ctypes.CDLL:
    """The core, the bridge and a policy as a shared library; built only when something changed."""
    kernel = kernel or float_kernel(policy)
    sources = sources or [*core_sources(), HERE / "bridge.c"]
    # The prover measures coverage of these very tests through this variable.
    flags = FLAGS + (flags or []) + os.environ.get("TINYFLY_CORE_FLAGS", "").split()
    home = Path(
        os.environ.get("TINYFLY_CORE_BUILD", Path(tempfile.gettempdir()) / f"tinyfly-core-{os.getuid()}")
    )
    folder = home / _key(policy, kernel, sources, flags)
    library = folder / "core.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(policy, kernel, sources, flags, Path(tempfile.mkdtemp(dir=folder)), library)
    core = ctypes.CDLL(str(library))
    for name in _BYTES:
        getattr(core, name).restype = ctypes.c_uint8
    for name in _FLOATS:
        getattr(core, name).restype = ctypes.c_float
    return core


def _compile(
    policy: Policy, kernel: Kernel, sources: list[Path], flags: list[str], folder: Path, library: Path
) -> None:
    export_c(policy, folder, golden=GOLDEN, kernel=kernel)
    subprocess.run([sys.executable, GENERATE, folder], check=True)
    compiler, include = find_compiler(), [f"-I{CORE}", f"-I{folder}"]
    _run([compiler, *flags, "-fPIC", *include, "-c", *sources, "tf_policy_data.c"], folder)
    _run([compiler, *flags, "-shared", "-o", "core.so", *folder.glob("*.o")], folder)
    os.replace(folder / "core.so", library)  # two test processes may build at once; either result will do


def _run(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
