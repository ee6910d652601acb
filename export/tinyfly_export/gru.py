"""A recurrent policy (dense with ReLU, GRU, dense) as C: ``policy_gru.h`` and ``policy_gru.c``, bit for bit.

tinyfly trains no recurrent layers; this is for networks that others trained, in torch's convention (gates
r, z, n; the reset gate after the product). ``act_exact`` defines the bits: see tf_gru.h.
"""

from __future__ import annotations

import ctypes
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyfly.activation import tanh_exact
from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly_export import c_source as c
from tinyfly_export.amalgam import Amalgam
from tinyfly_export.c import write_together
from tinyfly_export.c_source import padded
from tinyfly_export.float_c import layer_image
from tinyfly_export.native import compile_library, pointer

Array = NDArray[np.float32]
HALF, ONE = np.float32(0.5), np.float32(1)
_SOURCES = ("tf_tanh.c", "tf_kernel.c", "tf_gru.c")
_NOTE = "/* Made by tinyfly: a recurrent policy. Meaning: tf_gru_t below. Compile without -ffast-math. */\n"
_BITS = """\
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""


@dataclass(frozen=True, slots=True)
class Gru:
    """Weights (rows, columns) and biases as torch names them; float32; the gates' rows are r, z, n."""

    dense: Layer
    weight_ih: Array  # (3 size, dense rows)
    weight_hh: Array  # (3 size, size)
    bias_ih: Array
    bias_hh: Array
    action: Layer
    initial: Array  # (size,) in [-1, 1]

    def __post_init__(self) -> None:
        size, x = self.initial.size, self.dense.bias.size
        arrays = {
            "dense.weight": (self.dense.weight, (x, self.dense.weight.shape[-1])),
            "weight_ih": (self.weight_ih, (3 * size, x)),
            "weight_hh": (self.weight_hh, (3 * size, size)),
            "bias_ih": (self.bias_ih, (3 * size,)),
            "bias_hh": (self.bias_hh, (3 * size,)),
            "action.weight": (self.action.weight, (4, size)),
            "action.bias": (self.action.bias, (4,)),
        }
        for name, (array, shape) in arrays.items():
            if array.shape != shape or array.dtype != np.float32:
                raise UserError(f"GRU: {name} is {array.dtype} {array.shape}; expected float32 {shape}")
        if size == 0 or size % 4:
            raise UserError(f"GRU: {size} hidden values; expected a multiple of four")
        if not (np.abs(self.initial) <= 1).all():
            raise UserError("GRU: the initial hidden values must lie in [-1, 1]")

    @classmethod
    def random(cls, inputs: int = 22, dense: int = 16, size: int = 16, seed: int = 0) -> Gru:
        """Untrained, for tests and timing; RAPTOR's shape when nothing is said."""
        rng = np.random.default_rng(seed)

        def draw(*shape: int) -> Array:
            return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

        return cls(
            Layer(draw(dense, inputs), draw(dense)),
            draw(3 * size, dense),
            draw(3 * size, size),
            draw(3 * size),
            draw(3 * size),
            Layer(draw(4, size), draw(4)),
            np.tanh(draw(size)),
        )

    @property
    def parameters(self) -> int:
        """Of the network as trained."""
        layers = self.dense.weight.size + self.dense.bias.size + self.action.weight.size + 4
        return layers + self.weight_ih.size + self.weight_hh.size + 7 * self.initial.size

    def layers(self) -> dict[str, Layer]:
        """As tf_gru_t has them: the halves of sigmoid(v) = (1 + tanh(v / 2)) / 2 taken, biases added."""
        gates = 2 * self.initial.size
        bias = self.bias_hh.copy()
        bias[:gates] += self.bias_ih[:gates]
        weight = self.weight_ih.copy()
        weight[:gates] *= HALF
        first = -gates  # n before r and z, so that n's other bias can follow them
        return {
            "dense": self.dense,
            "recurrent": Layer(np.roll(self.weight_hh * HALF, first, 0), np.roll(bias * HALF, first)),
            "input": Layer(weight, self.bias_ih[gates:]),
            "action": self.action,
        }


def act_exact(gru: Gru, observation: Array) -> Array:
    """(steps, inputs) -> (steps, 4) from the initial hidden values, bit for bit what C computes."""
    layers, size = gru.layers(), gru.initial.size
    hidden, actions = gru.initial, np.empty((len(observation), 4), np.float32)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for k, o in enumerate(observation):
            recurrent = _sum(layers["recurrent"].bias, layers["recurrent"], hidden)
            x = _sum(gru.dense.bias, gru.dense, o)
            x = np.where(x > 0, x, np.float32(0))  # a NaN is not
            start = np.concatenate([recurrent[size:], layers["input"].bias])
            gates = _sum(start, layers["input"], x)
            r, z = tanh_exact(gates[: 2 * size]).reshape(2, size)
            n = tanh_exact(gates[2 * size :] + (r + ONE) * recurrent[:size])
            hidden = n + (HALF * z + HALF) * (hidden - n)
            actions[k] = np.clip(_sum(gru.action.bias, gru.action, hidden), -ONE, ONE)
    return actions


def export_gru(gru: Gru, observation: Array) -> dict[str, bytes]:
    """File name -> content; UserError unless, compiled and fed (steps, inputs), it has act_exact's bits."""
    files = {name: text.encode() for name, text in source(gru).items()}
    with tempfile.TemporaryDirectory(prefix="tinyfly-") as folder:
        write_together(Path(folder), files)
        library = compile_library([Path(folder) / "policy_gru.c"], [])
    if not np.array_equal(run(library, observation), act_exact(gru, observation)):
        raise UserError("gru: the compiled network differs from its definition; nothing written")
    return files


def run(library: ctypes.CDLL, observation: Array) -> Array:
    """The compiled network from its initial hidden values on: (steps, inputs) -> (steps, 4)."""
    net = ctypes.byref(ctypes.c_char.in_dll(library, "policy_gru"))
    observation = np.ascontiguousarray(observation, np.float32)
    actions = np.empty((len(observation), 4), np.float32)
    library.tf_gru_reset(net)
    for o, action in zip(observation, actions, strict=True):
        library.tf_gru_step(net, pointer(o), pointer(action))
    return actions


def source(gru: Gru) -> dict[str, str]:
    """The text of both files, which need nothing else; the same bytes every time."""
    core = Amalgam({})
    header = (
        f"{_NOTE}#ifndef POLICY_GRU_H\n#define POLICY_GRU_H\n\n#include <stdint.h>\n\n"
        f"{core.take('tf_gru.h')}\nextern const tf_gru_t policy_gru;\n\n#endif\n"
    )
    text = "\n".join([_BITS, *map(core.take, _SOURCES), _data(gru)])
    return {
        "policy_gru.h": header,
        "policy_gru.c": f'{_NOTE}#include "policy_gru.h"\n\n#include <string.h>\n\n{text}',
    }


def _data(gru: Gru) -> str:
    """The constants as they lie in memory, and the network over them."""
    images, members, at = [], [], 0
    for name, layer in gru.layers().items():
        outputs, inputs = layer.weight.shape
        image, rows = layer_image(Layer(layer.weight, np.resize(layer.bias, outputs))), padded(outputs)
        bias, weight = f"constants + {at}", f"constants + {at + rows}"
        if name == "input":
            image, bias, weight = image[rows:], "0", bias
        members.append(f"    {{{inputs}, {outputs}, {bias}, {weight}}}, /* {name} */\n")
        images.append(image)
        at += image.size
    size, x = gru.initial.size, padded(gru.dense.bias.size)
    values = np.concatenate([*images, gru.initial, gru.layers()["input"].bias])
    return (
        "#if defined(__GNUC__)\n__attribute__((aligned(16)))\n#endif\n"
        f"static const float constants[{values.size}] = {c.array(values)};\n\n"
        f"static float hidden[{size}], sums[{4 * size}], gates[{3 * size}], dense[{x}];\n"
        f"const tf_gru_t policy_gru = {{\n    {size},\n{''.join(members)}"
        f"    constants + {at}, constants + {at + size}, hidden, sums, gates, dense,\n}};\n"
    )


def _sum(start: Array, layer: Layer, x: Array) -> Array:
    total = start.copy()
    for column, value in zip(layer.weight.T, x, strict=True):
        total += column * value
    return total
