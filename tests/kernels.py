"""firmware/core's network, compiled once and fed any network from Python: no compilation per example."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyfly.modal import ModalNetwork
from tinyfly.network import Layer
from tinyfly_export.c import CORE
from tinyfly_export.c_source import padded
from tinyfly_export.float_c import layer_image
from tinyfly_export.native import FLAGS, Array, compile_library, pointer

SOURCES = [CORE / name for name in ("tf_network.c", "tf_modal.c", "tf_kernel.c", "tf_tanh.c")]


class _Layer(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_uint16),
        ("outputs", ctypes.c_uint16),
        ("bias", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
    )


class _Network(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_uint32),
        ("layers", ctypes.c_uint32),
        ("layer", ctypes.POINTER(_Layer)),
        ("scratch", ctypes.c_void_p * 2),
    )


class _Modal(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_uint16),
        ("slots", ctypes.c_uint16),
        ("layers", ctypes.c_uint16),
        ("hidden", ctypes.c_void_p),
        ("last", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("modes", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p * 2),
    )


@dataclass
class Native:
    """The compiled network code."""

    library: ctypes.CDLL

    @staticmethod
    def build(compiler: str | None = None, *flags: str) -> Native:
        library = compile_library(SOURCES, [CORE], compiler, (*FLAGS, *flags))
        library.tf_tanh.restype, library.tf_tanh.argtypes = ctypes.c_float, [ctypes.c_float]
        return Native(library)

    def tanh(self, x: float) -> float:
        return self.library.tf_tanh(x)

    def act(self, layers: tuple[Layer, ...], observation: Array, n_old: int | None = None) -> Array:
        """(inputs, n) -> (4, n): the whole step, or prepare(n_old) and finish."""
        _images, table = _table(layers)
        rows = [padded(layer.bias.size) for layer in layers]
        scratch = _room(2, max(rows))
        network = _Network(
            observation.shape[0], len(layers), table, (scratch[0].ctypes.data, scratch[1].ctypes.data)
        )
        return self._run("tf_network", network, rows[0], observation, n_old)

    def act_modal(self, modal: ModalNetwork, observation: Array, n_old: int | None = None) -> Array:
        """The same of a network in its modes."""
        _images, table = _table([*(part for layer in modal.hidden for part in layer), modal.last])
        rows = [4 * padded(layer[0].bias.size) for layer in modal.hidden]
        scratch, modes = _room(2, max(rows)), _room(1, observation.shape[0])
        state = (np.concatenate(modal.state) - 4 * modal.slots).astype(np.uint16)
        network = _Modal(
            observation.shape[0],
            modal.slots,
            len(modal.hidden),
            ctypes.addressof(table),
            ctypes.addressof(table[4 * len(modal.hidden)]),
            state.ctypes.data,
            modes.ctypes.data,
            (scratch[0].ctypes.data, scratch[1].ctypes.data),
        )
        return self._run("tf_modal", network, rows[0], observation, n_old)

    def _run(
        self, name: str, network: ctypes.Structure, rows: int, observation: Array, n_old: int | None
    ) -> Array:
        net, partial = ctypes.byref(network), _room(rows)
        action = _room(observation.shape[1], 4)
        step, prepare, finish = (
            getattr(self.library, f"{name}_{call}") for call in ("step", "prepare", "finish")
        )
        for x, a in zip(np.ascontiguousarray(observation.T), action, strict=True):
            if n_old is None:
                step(net, pointer(x), pointer(a))
            else:
                prepare(net, pointer(x), n_old, pointer(partial))
                finish(net, pointer(partial), n_old, pointer(x[n_old:]), pointer(a))
        return action.T


def _table(layers: Sequence[Layer]) -> tuple[list[Array], ctypes.Array[_Layer]]:
    """tf_layer_t of every layer, and the arrays that they point to."""
    images = [layer_image(layer) for layer in layers]
    table = (_Layer * len(layers))()
    for entry, layer, image in zip(table, layers, images, strict=True):
        outputs, inputs = layer.weight.shape
        entry.inputs, entry.outputs = inputs, outputs
        entry.bias, entry.weight = image.ctypes.data, image[padded(outputs) :].ctypes.data
    return images, table


def _room(*shape: int) -> Array:
    return np.full(shape, np.nan, np.float32)
