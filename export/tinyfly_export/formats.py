"""``export(policy, to, out)``: every format, each proven in its runtime before a byte of it is kept."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_export.c import write_together
from tinyfly_export.proof import Array, Proof

FORMATS = ("c", "c-int16", "c-int8", "onnx", "tflite", "torch")
_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "tflite": ("tflite_micro",), "torch": ("torch",)}


@dataclass(frozen=True, slots=True)
class Export:
    """One format: where its files lie and how it compared."""

    format: str
    files: list[Path]
    proofs: list[Proof]


class _Flights:
    """Flown when the first format asks for them, and then kept."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @cached_property
    def recorded(self) -> Array:
        from tinyfly_export.recorded import typical

        return typical(self.policy)


def export(policy: Policy, to: str, out: str | Path) -> list[Export]:
    """Write ``to`` (one of FORMATS, or "all") into folders of ``out`` named after the formats.

    Raises UserError, with nothing written, for an unknown format, a missing package, an unwritable folder, or
    an action that differs from the policy's by more than the format's stated bound.
    """
    if to not in (*FORMATS, "all"):
        raise UserError(f"unknown format {to!r}: expected {', '.join(FORMATS)} or all")
    wanted = FORMATS if to == "all" else (to,)
    for name in wanted:
        _require(name)
    flights = _Flights(policy)
    proven = [(name, *_EXPORTERS[name](policy, flights)) for name in wanted]
    together = {f"{name}/{file}": data for name, files, _ in proven for file, data in files.items()}
    written = iter(write_together(Path(out), together))
    return [Export(name, [next(written) for _ in files], proofs) for name, files, proofs in proven]


def _c(policy: Policy, flights: _Flights) -> tuple[dict[str, bytes], list[Proof]]:
    from tinyfly_export.bundle import export_bundle

    return export_bundle(policy)


def _c_int16(policy: Policy, flights: _Flights) -> tuple[dict[str, bytes], list[Proof]]:
    from tinyfly_export.integer_c import export_integer

    return export_integer(policy, flights.recorded)


def _c_int8(policy: Policy, flights: _Flights) -> tuple[dict[str, bytes], list[Proof]]:
    from tinyfly_export.integer_c import export_integer

    return export_integer(policy, flights.recorded, weight_bits=8)


def _onnx(policy: Policy, flights: _Flights) -> tuple[dict[str, bytes], list[Proof]]:
    from tinyfly_export.onnx import export_onnx

    return export_onnx(policy)


def _tflite(policy: Policy, flights: _Flights) -> tuple[dict[str, bytes], list[Proof]]:
    from tinyfly_export.tflite import export_tflite, export_tflite_int8

    files, proofs = export_tflite(policy)
    files_int8, proofs_int8 = export_tflite_int8(policy, flights.recorded)
    return files | files_int8, proofs + proofs_int8


def _torch(policy: Policy, flights: _Flights) -> tuple[dict[str, bytes], list[Proof]]:
    from tinyfly_export.torch import export_torch

    return export_torch(policy)


_EXPORTERS: dict[str, Any] = {
    "c": _c,
    "c-int16": _c_int16,
    "c-int8": _c_int8,
    "onnx": _onnx,
    "tflite": _tflite,
    "torch": _torch,
}


def _require(name: str) -> None:
    for package in _PACKAGES.get(name, ()):
        try:
            importlib.import_module(package)
        except ImportError:
            raise UserError(f"--to {name} needs {package}: pip install -e '.[{name}]'") from None
