"""A policy as C for the firmware: ``tf_policy_data.h`` and ``tf_policy_data.c``.

The header holds the contract as named constants; the source holds the weights as tf_network.h lays them out,
and golden vectors for the self-test on the chip. Everything is exact (hex floats) and reproducible.
"""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import LIMIT, PIECES_PER_UNIT, tanh_table
from tinyfly.contract import CHANNELS, Contract
from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly.policy import GOLDEN_VECTORS, Policy
from tinyfly_export import c_source as c

Array = NDArray[np.float32]
BLOCK_ROWS, PAD_ROWS = 16, 4  # tf_network.h: rows come in blocks of 16, then of 4
NAME_BYTES = 23  # the protocol's identity frame has 24 with its end
CORE = Path(__file__).resolve().parents[2] / "firmware" / "core"
TANH_HEADER = CORE / "tf_tanh_table.h"
NO_LIMIT = float(np.finfo(np.float32).max)


def export_c(
    policy: Policy, out: Path, *, golden: int = GOLDEN_VECTORS, name: str | None = None
) -> list[Path]:
    """Write both files into the folder ``out``; returns their paths. ``golden``: self-test vectors kept."""
    if not 1 <= golden <= GOLDEN_VECTORS:
        raise UserError(f"{golden} golden vectors asked for; 1 to {GOLDEN_VECTORS} are possible")
    name = str(policy.airframe.get("name", "policy")) if name is None else name
    constants = np.concatenate([*map(layer_image, policy.layers), contract_numbers(policy.contract)])
    chosen = np.linspace(0, GOLDEN_VECTORS - 1, golden).round().astype(int)
    files = {
        "tf_policy_data.h": _header(policy, constants, golden, name),
        "tf_policy_data.c": _source(policy, constants, chosen),
    }
    return write_together(Path(out), files)


def layer_image(layer: Layer) -> Array:
    """A layer as it lies in flash: bias, then weights in blocks, both padded to a multiple of four rows."""
    outputs, inputs = layer.weight.shape
    rows = padded(outputs)
    bias, weight = np.zeros(rows, np.float32), np.zeros((rows, inputs), np.float32)
    bias[:outputs], weight[:outputs] = layer.bias, layer.weight
    whole = rows - rows % BLOCK_ROWS
    blocks = [weight[:whole].reshape(-1, BLOCK_ROWS, inputs), weight[whole:].reshape(-1, PAD_ROWS, inputs)]
    return np.concatenate([bias, *(b.transpose(0, 2, 1).ravel() for b in blocks)])


def padded(rows: int) -> int:
    """Rows rounded up to a whole block of four."""
    return -(-rows // PAD_ROWS) * PAD_ROWS


def contract_numbers(contract: Contract) -> Array:
    """The contract's numbers as one array, so that a checksum over the constants covers them."""
    integral = contract.integral
    channels = [(ch.size, ch.scale, NO_LIMIT if ch.limit is None else ch.limit) for ch in contract.channels]
    kept = (integral.gain_per_s, integral.error_limit_m, integral.limit_m) if integral else (0.0, 0.0, 0.0)
    rates = contract.rate_hz, contract.history_length, contract.history_rate_hz, contract.hover_action
    numbers = [*np.ravel(channels), *kept, *rates, *contract.preview_s, *contract.thrust_curve]
    return np.array(numbers, np.float32)


def write_together(out: Path, files: dict[str, str]) -> list[Path]:
    """Write every file or none: all are complete beside their target before the first is renamed over it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".tinyfly-") as staged:
            for name, text in files.items():
                (Path(staged) / name).write_bytes(text.encode())
            return [(Path(staged) / name).replace(out / name) for name in files]
    except OSError as e:
        raise UserError(f"{out} cannot be written: {e.strerror}; choose another folder with --out") from None


def _header(policy: Policy, constants: Array, golden: int, name: str) -> str:
    contract = policy.contract
    integral = contract.integral
    first = policy.layers[0].bias.size
    crc = zlib.crc32(constants.astype("<f4").tobytes())
    macros: dict[str, Any] = {
        "TF_POLICY_NAME": c.string(name, NAME_BYTES),
        "TF_POLICY_CRC32": f"0x{policy.crc32():08x}u",
        "TF_CONTRACT_HASH": f"0x{contract.hash():016x}ull",
        "TF_WEIGHTS_CRC32": f"0x{crc:08x}u /* over tf_policy_constants */",
        "TF_POLICY_CONSTANTS": f"{constants.size}u",
        "TF_POLICY_INPUTS": f"{contract.size}u",
        "TF_POLICY_PARTIAL": f"{padded(first) + 1}u /* floats that tf_network_prepare fills */",
        "TF_POLICY_RATE_HZ": c.number(contract.rate_hz),
        "TF_HISTORY_LENGTH": f"{contract.history_length}u /* slots of four actions */",
        "TF_HISTORY_RATE_HZ": c.number(contract.history_rate_hz),
        "TF_HOVER_ACTION": c.number(contract.hover_action),
        "TF_THRUST_CURVE": _braces(contract.thrust_curve),
        "TF_INTEGRAL_GAIN": c.number(integral.gain_per_s if integral else 0.0),
        "TF_INTEGRAL_ERROR_LIMIT": c.number(integral.error_limit_m if integral else 0.0),
        "TF_INTEGRAL_LIMIT": c.number(integral.limit_m if integral else 0.0),
        "TF_PREVIEW_COUNT": f"{len(contract.preview_s)}u",
        "TF_PREVIEW_S": _braces(contract.preview_s or (0.0,)),
        "TF_GOLDEN_COUNT": f"{golden}u",
    }
    return (
        "/* Generated by tinyfly from a policy file; do not edit. The contract and the data. */\n"
        "#ifndef TF_POLICY_DATA_H\n#define TF_POLICY_DATA_H\n\n"
        '#include "tf_network.h"\n\n'
        f"{c.defines(macros)}\n{_channel_macros(contract)}\n"
        "extern const tf_network_t tf_policy_network;\n"
        "extern const float tf_policy_constants[TF_POLICY_CONSTANTS]; /* network and contract numbers */\n"
        "extern const float tf_golden_observation[TF_GOLDEN_COUNT][TF_POLICY_INPUTS];\n"
        "extern const float tf_golden_action[TF_GOLDEN_COUNT][4];\n\n#endif\n"
    )


def _channel_macros(contract: Contract) -> str:
    present = {ch.name: ch for ch in contract.channels}
    slices = contract.slices()
    macros: dict[str, Any] = {}
    for channel in CHANNELS:
        prefix = f"TF_{channel.upper()}"
        macros[f"TF_HAS_{channel.upper()}"] = int(channel in present)
        if channel in present:
            ch = present[channel]
            macros[f"{prefix}_OFFSET"] = f"{slices[channel].start}u"
            macros[f"{prefix}_SIZE"] = f"{ch.size}u"
            macros[f"{prefix}_SCALE"] = c.number(ch.scale)
            macros[f"{prefix}_LIMIT"] = c.number(NO_LIMIT if ch.limit is None else ch.limit)
    return c.defines(macros)


def _source(policy: Policy, constants: Array, chosen: NDArray[Any]) -> str:
    at, layers = 0, []
    for layer in policy.layers:
        outputs, inputs = layer.weight.shape
        bias, weight = at, at + padded(outputs)
        layers.append(
            f"    {{{inputs}, {outputs}, tf_policy_constants + {bias}, tf_policy_constants + {weight}}},\n"
        )
        at = weight + padded(outputs) * inputs
    widest = max(padded(layer.bias.size) for layer in policy.layers)
    golden_in, golden_out = policy.golden_observation.T[chosen], policy.golden_action.T[chosen]
    return (
        "/* Generated by tinyfly from a policy file; do not edit. Layout: tf_network.h. */\n"
        '#include "tf_policy_data.h"\n\n'
        "/* Aligned to the flash's 128-bit lines. */\n"
        f"_Alignas(16) const float tf_policy_constants[TF_POLICY_CONSTANTS] = {c.array(constants)};\n\n"
        f"static const tf_layer_t layers[{len(layers)}] = {{\n{''.join(layers)}}};\n"
        f"static float scratch[2][{widest}];\n"
        f"const tf_network_t tf_policy_network = {{{len(layers)}, layers, {{scratch[0], scratch[1]}}}};\n\n"
        f"const float tf_golden_observation[TF_GOLDEN_COUNT][TF_POLICY_INPUTS] = {_rows(golden_in)};\n\n"
        f"const float tf_golden_action[TF_GOLDEN_COUNT][4] = {_rows(golden_out)};\n"
    )


def _rows(matrix: Array) -> str:
    return "{\n" + "".join(f"{c.array(row)},\n" for row in matrix) + "}"


def _braces(values: tuple[float, ...]) -> str:
    return "{" + ", ".join(map(c.number, values)) + "}"


def tanh_header() -> str:
    """The text of TANH_HEADER, from the one definition of the activation."""
    below = float(np.nextafter(np.float32(LIMIT), np.float32(0)))
    macros: dict[str, Any] = {
        "TF_TANH_PIECES_PER_UNIT": c.number(PIECES_PER_UNIT),
        "TF_TANH_BELOW_LIMIT": c.number(below),
    }
    rows = "".join(f"    {{{', '.join(c.numbers(row))}}},\n" for row in tanh_table())
    return (
        "/* Generated by `python -m tinyfly_export.c`; do not edit. Cubics c0..c3 of tinyfly.activation. */\n"
        "#ifndef TF_TANH_TABLE_H\n#define TF_TANH_TABLE_H\n\n"
        f"{c.defines(macros)}\n"
        f"static const float tf_tanh_table[{len(tanh_table())}][4] = {{\n{rows}}};\n\n#endif\n"
    )


if __name__ == "__main__":
    TANH_HEADER.write_text(tanh_header())
