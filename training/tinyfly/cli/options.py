"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

PolicyFile = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY", help="policy file")]
Airframe = Annotated[
    str, tyro.conf.arg(metavar="NAME|FILE.toml", help="a known airframe, or a TOML file of your own")
]
Json = Annotated[bool, tyro.conf.arg(help="print one JSON object on stdout, everything else on stderr")]
Result = dict[str, Any]


def count(n: float | None) -> str:
    """A whole number for people."""
    return "-" if n is None else f"{n:,.0f}"


def millimetres(error_m: float | None) -> str:
    """An error in m, shown in mm."""
    return "-" if error_m is None else f"{1e3 * error_m:.1f} mm"
