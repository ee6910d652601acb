"""Generated C, compiled with this machine's compiler and called from Python: the proof of its bits."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyfly.errors import UserError

Array = NDArray[np.float32]
FLAGS = ("-std=c11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")


def find_compiler() -> str:
    """The host's C compiler ($CC or cc)."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise UserError("no C compiler found (cc): sudo apt-get install gcc libc6-dev")
    return compiler


def compile_library(
    sources: Iterable[Path],
    include: Iterable[Path],
    compiler: str | None = None,
    flags: tuple[str, ...] = FLAGS,
) -> ctypes.CDLL:
    """A shared library of C sources, loaded; UserError with the compiler's first complaint."""
    with tempfile.TemporaryDirectory(prefix="tinyfly-") as folder:
        library = Path(folder) / "native.so"
        command = [compiler or find_compiler(), *flags, "-shared", "-fPIC", "-o", str(library)]
        command += [*(f"-I{i}" for i in include), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            complaint = next(
                (line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()
            )
            raise UserError(f"the generated C does not compile: {complaint}")
        return ctypes.CDLL(str(library))


def pointer(values: Array) -> ctypes.c_void_p:
    """The address of a contiguous float32 array (which must outlive the call)."""
    if values.dtype != np.float32 or not values.flags.c_contiguous:
        raise ValueError("expected a contiguous float32 array")
    return ctypes.c_void_p(values.ctypes.data)
