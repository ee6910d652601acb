"""How the integer network lies in flash, and the C that says so: `tf_kernel_i16.h` has the layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.contract import Contract
from tinyfly_export import c_source as c
from tinyfly_export.arithmetic import old_inputs
from tinyfly_export.c_source import PAD_ROWS, padded
from tinyfly_export.integer import IntegerLayer, Integers, ModalIntegers, WholeIntegers

CONSTANTS = "tf_policy_constants"  # the struct of the arrays below
_ALIGNED = "#if defined(__GNUC__)\n__attribute__((aligned(4)))\n#endif\n"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class InFlash:
    """A network as C."""

    kind: str  # of firmware/core: KIND.h and KIND.c hold KIND_t and KIND_step
    sums: int  # of the first layer, to be kept between prepare and finish
    old_inputs: int  # that may be summed ahead of time
    arrays: Arrays  # the constants, each a multiple of 16 bytes, so that nothing lies between them
    source: str  # the network called NAME over CONSTANTS

    @property
    def sources(self) -> tuple[str, ...]:
        """Of firmware/core."""
        return "tf_kernel_i16.c", f"{self.kind}.c"


def lay_out(network: Integers, contract: Contract, name: str) -> InFlash:
    """The network under a C name."""
    layers = _modal_layers(network) if isinstance(network, ModalIntegers) else network.layers
    arrays = [layer_arrays(layer) for layer in layers]
    shapes = [_shape(a) for a in arrays]
    rows = [r for r, _ in shapes]
    entries = [
        _entry(i, *shape, layer.shift, a)
        for i, (layer, a, shape) in enumerate(zip(layers, arrays, shapes, strict=True))
    ]
    constants = {f"{key}{i}": a for i, layer in enumerate(arrays) for key, a in layer.items()}
    if isinstance(network, ModalIntegers):
        past = old_inputs(contract, slots_at_once=4)  # a group of inputs
        source = _modal_source(network, contract, name, entries, shapes)
        return InFlash("tf_modal_i16", 4 * rows[0], past, constants, source)
    source = _whole_source(network, contract, name, entries, rows)
    return InFlash("tf_network_i16", rows[0], old_inputs(contract), constants, source)


def _modal_layers(network: ModalIntegers) -> list[IntegerLayer]:
    """The last one's inputs as the units before it lie, padded."""
    last = network.last
    units = last.weight.shape[1] // 4
    weight = np.zeros((4, 4, padded(units)), last.weight.dtype)
    weight[..., :units] = last.weight.reshape(4, 4, units)
    parts = [part for layer in network.hidden for part in layer]
    return [*parts, IntegerLayer(weight.reshape(4, -1), last.bias, last.shift, last.scale)]


def _shape(arrays: Arrays) -> tuple[int, int]:
    """Rows and inputs, as padded."""
    rows = arrays["bias"].size
    return rows, next(a.size for key, a in arrays.items() if key.startswith("weight")) // rows


def _entry(i: int, rows: int, inputs: int, shift: int, arrays: Arrays) -> str:
    keys = "bias", "scale", "weight", "weight8"
    members = [f"{CONSTANTS}.{key}{i}" if key in arrays else "NULL" for key in keys]
    return f"{{{inputs}, {rows}, {shift}, {', '.join(members)}}}"


def _whole_source(
    network: WholeIntegers, contract: Contract, name: str, entries: Sequence[str], rows: Sequence[int]
) -> str:
    room = max(-(-contract.size // 4) * 4, *rows)
    return (
        f"static const tf_layer_i16_t layers[{len(entries)}] = {c.lines(entries)};\n"
        f"{_ALIGNED}static int16_t scratch[2][{room}];\nstatic int32_t sums[{max(rows)}];\n"
        f"const tf_network_i16_t {name} = {{{contract.size}, {len(entries)}, {network.input_bits}, layers, "
        "sums, {scratch[0], scratch[1]}};\n"
    )


def _modal_source(
    network: ModalIntegers,
    contract: Contract,
    name: str,
    entries: Sequence[str],
    shapes: Sequence[tuple[int, int]],
) -> str:
    hidden, last, state = c.modes(entries, network.state, network.slots)
    widest = 4 * max(rows for rows, _ in shapes)
    counts = ", ".join(str(len(places)) for places in network.state)
    return (
        f"static const tf_layer_i16_t hidden_layers[][TF_MODES] = {hidden};\n"
        f"static const tf_layer_i16_t last_layer = {last};\n"
        f"static const uint16_t state_inputs[] = {state};\n"
        f"static const uint16_t state_counts[TF_MODES] = {{{counts}}};\n"
        f"{_ALIGNED}static int16_t mode_inputs[{sum(inputs for _, inputs in shapes[:4])}];\n"
        f"{_ALIGNED}static int16_t scratch[{max(contract.size, widest)}];\n"
        f"static int32_t sums[{widest}];\n"
        f"const tf_modal_i16_t {name} = {{{contract.size}, {network.slots}, {len(network.hidden)}, "
        f"{network.input_bits}, hidden_layers, &last_layer, state_inputs, state_counts, "
        f"mode_inputs, sums, scratch}};\n"
    )


def layer_arrays(layer: IntegerLayer) -> dict[str, NDArray[np.integer]]:
    """Bias, scale and weights as tf_kernel_i16.h lays them out: blocks of four rows, groups of inputs."""
    wide = layer.scale is None
    group, order = (2, [0, 1]) if wide else (4, [0, 2, 1, 3])
    outputs, inputs = layer.weight.shape
    rows, columns = padded(outputs), -(-max(inputs, 1) // group) * group
    weight = np.zeros((rows, columns), layer.weight.dtype)
    weight[:outputs, :inputs] = layer.weight
    blocks = weight.reshape(-1, PAD_ROWS, columns // group, group)[..., order].transpose(0, 2, 1, 3)
    arrays: dict[str, NDArray[np.integer]] = {"bias": np.pad(layer.bias, (0, rows - outputs))}
    if layer.scale is not None:
        arrays["scale"] = np.pad(layer.scale, (0, rows - outputs))
    return arrays | {"weight" if wide else "weight8": blocks.ravel()}
