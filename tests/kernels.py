"""firmware/core's network, compiled once and fed any network from Python: no compilation per example."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from tinyfly.network import Layer
from tinyfly_export.c import CORE, layer_image, padded
from tinyfly_export.native import FLAGS, Array, compile_library, pointer

SOURCES = [CORE / name for name in ("tf_network.c", "tf_kernel.c", "tf_tanh.c")]


class _Layer(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_uint16),
        ("outputs", ctypes.c_uint16),
        ("bias", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
    )


class _Network(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.c_uint32),
        ("layer", ctypes.POINTER(_Layer)),
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
        images = [layer_image(layer) for layer in layers]
        table = (_Layer * len(layers))()
        for entry, layer, image in zip(table, layers, images, strict=True):
            outputs, inputs = layer.weight.shape
            entry.inputs, entry.outputs = inputs, outputs
            entry.bias, entry.weight = image.ctypes.data, image[padded(outputs) :].ctypes.data
        widest = max(padded(layer.bias.size) for layer in layers)
        scratch = np.full((2, widest), np.nan, np.float32)
        network = _Network(len(layers), table, (scratch[0].ctypes.data, scratch[1].ctypes.data))
        partial = np.full(padded(layers[0].bias.size) + 1, np.nan, np.float32)
        action = np.full((observation.shape[1], 4), np.nan, np.float32)
        for x, a in zip(np.ascontiguousarray(observation.T), action, strict=True):
            if n_old is None:
                self.library.tf_network_step(ctypes.byref(network), pointer(x), pointer(a))
            else:
                self.library.tf_network_prepare(ctypes.byref(network), pointer(x), n_old, pointer(partial))
                self.library.tf_network_finish(
                    ctypes.byref(network), pointer(partial), pointer(x[n_old:]), pointer(a)
                )
        return action.T
