"""Generates the policy's C and the message header before a build; runs inside PlatformIO.

The policy is the file in TINYFLY_POLICY, or the newest runs/*.policy; its arithmetic is TINYFLY_KERNEL, or
what the board's file names.
"""

import os
import subprocess
import sys
from pathlib import Path

Import("env")  # noqa: F821  (SCons gives it)

root = Path(env["PROJECT_DIR"])  # noqa: F821
generated = Path(env.subst("$BUILD_DIR")) / "generated"  # noqa: F821


def fail(message: str) -> None:
    sys.stderr.write(f"Error: {message}\n")
    env.Exit(1)  # noqa: F821


def chosen_policy() -> Path | None:
    if named := os.environ.get("TINYFLY_POLICY"):
        return Path(named)
    found = sorted(root.glob("runs/*.policy"), key=lambda p: p.stat().st_mtime)
    return found[-1] if found else None


def generate() -> None:
    try:
        from tinyfly.errors import UserError
        from tinyfly.policy import Policy
        from tinyfly_export.c import export_c
        from tinyfly_export.kernels import kernel
    except ImportError as e:
        return fail(f"{e}: run the project's own pio, .venv/bin/pio (`make setup` makes it)")
    policy = chosen_policy()
    if policy is None:
        return fail("no policy to build: `tinyfly train` makes runs/*.policy, or set TINYFLY_POLICY to one")
    try:
        board, loaded = env.BoardConfig().get("build"), Policy.load(policy)  # noqa: F821
        chosen = kernel(loaded, os.environ.get("TINYFLY_KERNEL") or board.get("kernel", "float32"))
        export_c(loaded, generated, golden=board["golden_vectors"], kernel=chosen)
    except UserError as e:
        return fail(str(e))
    generator = root / "firmware" / "protocol" / "generate.py"
    if subprocess.run([sys.executable, generator, generated], check=False).returncode != 0:
        return fail("the message header cannot be generated from firmware/protocol/messages.toml")
    return None


if not env.IsCleanTarget():  # noqa: F821
    generate()
    env.Append(CPPPATH=[str(generated)])  # noqa: F821
    env.BuildSources("$BUILD_DIR/policy", str(generated))  # noqa: F821
