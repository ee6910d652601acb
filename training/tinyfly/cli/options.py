"""Flags that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Optional

import tyro

from tinyfly.errors import UserError

PolicyFile = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY", help="policy file")]
Airframe = Annotated[
    str, tyro.conf.arg(metavar="NAME|FILE.toml", help="a known airframe, or a TOML file of your own")
]
Json = Annotated[bool, tyro.conf.arg(help="print one JSON object on stdout, everything else on stderr")]
# tyro checks a typing.Union itself; for `Path | None` it would load typeguard, 50 ms of every start.
OptionalPath = Optional[Path]  # noqa: UP045
OptionalText = Optional[str]  # noqa: UP045
OptionalCount = Optional[int]  # noqa: UP045
OptionalSeconds = Optional[float]  # noqa: UP045
Result = dict[str, Any]


def require_writable(path: Path) -> None:
    """Say that a result cannot be written before the work for it is done, not after; raises UserError."""
    try:
        is_folder = path.is_dir()
    except OSError as e:  # a name that is too long, say
        raise UserError(f"{path} cannot be written: {e.strerror}") from None
    if is_folder:
        raise UserError(f"{path} is a folder: expected a file to write")
    _require_place(path, path.parent)


def require_folder(path: Path) -> None:
    """As ``require_writable``, for a folder that is to get files, and may not be there yet."""
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as e:
        raise UserError(f"{path} cannot be written: {e.strerror}") from None
    if is_file:
        raise UserError(f"{path} is a file: expected a folder")
    _require_place(path, path)


def _require_place(path: Path, folder: Path) -> None:
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{path} cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: no permission in {folder}")


def require_seed(seed: int) -> None:
    """A seed that the generators take; raises UserError."""
    if not 0 <= seed < 1 << 63:
        raise UserError(f"--seed {seed}: expected a whole number from 0")


def count(n: float | None) -> str:
    """A whole number for people."""
    return "-" if n is None else f"{n:,.0f}"


def millimetres(error_m: float | None) -> str:
    """An error in m, shown in mm."""
    return "-" if error_m is None else f"{1e3 * error_m:.1f} mm"
