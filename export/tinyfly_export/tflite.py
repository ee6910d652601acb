"""A policy as TFLite for TensorFlow Lite Micro: the file, and the file as a C array.

Built with tflite-micro's model_editor and run in tflite-micro's interpreter; no TensorFlow.
The integer model has int8 weights (a scale per output) and int16 activations, TFLite's "16x8", with scales
from recorded flights. Plain int8 activations lost: with one scale for metres, radians per second and motor
actions alike, hover error grew from 1.4 to 6.3 cm (docs/on-chip.md).
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from tinyfly.errors import UserError
from tinyfly.network import act
from tinyfly.policy import Policy
from tinyfly_export import c_source as c
from tinyfly_export.proof import Array, Proof, prove

BOUND = 1e-5
BOUND_INT8 = 0.2
TANH_SCALE = 1 / 32768


def export_tflite(policy: Policy) -> tuple[dict[str, bytes], list[Proof]]:
    """policy.tflite, float32, and its C array."""
    return _files("policy", _float32(policy), policy, "tflite", BOUND)


def export_tflite_int8(policy: Policy, recorded: Array) -> tuple[dict[str, bytes], list[Proof]]:
    """policy_int8.tflite and its C array; ``recorded`` (inputs, n) are observations of typical flights."""
    if recorded.ndim != 2 or len(recorded) != policy.contract.size or not np.isfinite(recorded).all():
        raise UserError(f"recorded observations must be finite and ({policy.contract.size}, n)")
    return _files("policy_int8", _int8(policy, recorded), policy, "tflite-int8", BOUND_INT8)


def run_tflite(data: bytes, observation: Array) -> Array:
    """(inputs, n) -> (4, n) in tflite-micro's interpreter; an int16 model is fed and read in its scales."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(data)
    inputs, outputs = interpreter.get_input_details(0), interpreter.get_output_details(0)

    def scale(details: dict) -> np.float32:
        return details["quantization_parameters"]["scales"][0]

    action = np.empty((4, observation.shape[1]), np.float32)
    for i, x in enumerate(np.ascontiguousarray(observation.T)):
        if inputs["dtype"] == np.int16:
            x = np.clip(np.round(x.astype(np.float64) / scale(inputs)), -32767, 32767).astype(np.int16)
        interpreter.set_input(x[None], 0)
        interpreter.invoke()
        y = interpreter.get_output(0)[0]
        action[:, i] = y * scale(outputs) if y.dtype == np.int16 else y
    return action


def _files(
    stem: str, data: bytes, policy: Policy, name: str, bound: float
) -> tuple[dict[str, bytes], list[Proof]]:
    runtime = f"tflite-micro {importlib.metadata.version('tflite-micro')}"
    proof = prove(policy, name, runtime, lambda x: run_tflite(data, x), bound)
    lines = [", ".join(map(str, data[i : i + 20])) for i in range(0, len(data), 20)]
    source = (
        f'/* {stem}.tflite for TensorFlow Lite Micro. */\n#include "{stem}_tflite.h"\n\n'
        f"const unsigned char {stem}_tflite[{len(data)}] __attribute__((aligned(16))) = {{\n    "
        + ",\n    ".join(lines)
        + ",\n};\n"
    )
    header = (
        f"#ifndef {stem.upper()}_TFLITE_H\n#define {stem.upper()}_TFLITE_H\n\n"
        f"{c.defines({f'{stem.upper()}_TFLITE_BYTES': f'{len(data)}u'})}"
        f"extern const unsigned char {stem}_tflite[{len(data)}];\n\n#endif\n"
    )
    files = {f"{stem}.tflite": data, f"{stem}_tflite.c": source.encode(), f"{stem}_tflite.h": header.encode()}
    return files, [proof]


def _float32(policy: Policy) -> bytes:
    from tflite_micro.tensorflow.lite.micro.compression import model_editor as editor
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    graph = _Graph(editor.Subgraph(name="policy"), schema)
    x = graph.tensor("observation", (1, policy.contract.size), schema.TensorType.FLOAT32)
    graph.subgraph.inputs = [x]
    for i, layer in enumerate(policy.layers):
        last = i + 1 == len(policy.layers)
        w = graph.tensor(f"weight{i}", layer.weight.shape, schema.TensorType.FLOAT32, layer.weight)
        b = graph.tensor(f"bias{i}", layer.bias.shape, schema.TensorType.FLOAT32, layer.bias)
        s = graph.tensor(f"sum{i}", (1, layer.bias.size), schema.TensorType.FLOAT32)
        y = graph.tensor("action" if last else f"x{i}", (1, layer.bias.size), schema.TensorType.FLOAT32)
        x = graph.layer(x, w, b, s, y)
    graph.subgraph.outputs = [x]
    return bytes(editor.Model(subgraphs=[graph.subgraph], description="tinyfly policy").build())


def _int8(policy: Policy, recorded: Array) -> bytes:
    from tflite_micro.tensorflow.lite.micro.compression import model_editor as editor
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    kind = schema.TensorType
    graph = _Graph(editor.Subgraph(name="policy"), schema)
    scale, values = _scale(recorded), recorded
    x = graph.tensor("observation", (1, policy.contract.size), kind.INT16, None, scale)
    graph.subgraph.inputs = [x]
    for i, layer in enumerate(policy.layers):
        last = i + 1 == len(policy.layers)
        w_scale = np.maximum(np.abs(layer.weight).max(axis=1).astype(np.float64) / 127, 1e-9)  # per output
        weight = np.round(layer.weight / w_scale[:, None]).astype(np.int8)
        bias = np.round(layer.bias / (scale * w_scale)).astype(np.int64)
        sums = layer.weight @ values + layer.bias[:, None]
        w = graph.tensor(f"weight{i}", weight.shape, kind.INT8, weight, w_scale)
        b = graph.tensor(f"bias{i}", bias.shape, kind.INT64, bias, scale * w_scale)
        s = graph.tensor(f"sum{i}", (1, layer.bias.size), kind.INT16, None, _scale(sums))
        y = graph.tensor("action" if last else f"x{i}", (1, layer.bias.size), kind.INT16, None, TANH_SCALE)
        x = graph.layer(x, w, b, s, y)
        values, scale = act((layer,), values), TANH_SCALE
    graph.subgraph.outputs = [x]
    return bytes(editor.Model(subgraphs=[graph.subgraph], description="tinyfly policy, int8").build())


def _scale(values: Array) -> float:
    """Of symmetric int16 that holds the values with a margin of a quarter."""
    return float(1.25 * np.abs(values).max() / 32767) or 1.0


class _Graph:
    """A subgraph under construction."""

    def __init__(self, subgraph: Any, schema: Any) -> None:
        self.subgraph, self.schema = subgraph, schema

    def tensor(
        self, name: str, shape: tuple[int, ...], dtype: int, data: Any = None, scale: Any = None
    ) -> Any:
        from tflite_micro.tensorflow.lite.micro.compression.model_editor import Quantization

        quantization = None
        if scale is not None:
            scales = np.atleast_1d(scale).tolist()
            quantization = Quantization(scales, [0] * len(scales), 0)
        return self.subgraph.add_tensor(
            name=name, shape=shape, dtype=dtype, data=data, quantization=quantization
        )

    def layer(self, x: Any, w: Any, b: Any, s: Any, y: Any) -> Any:
        """tanh(w x + b): returns y."""
        schema = self.schema
        dense = self.subgraph.add_operator(
            opcode=schema.BuiltinOperator.FULLY_CONNECTED, inputs=[x, w, b], outputs=[s]
        )
        dense._fb.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        dense._fb.builtinOptions = schema.FullyConnectedOptionsT()
        self.subgraph.add_operator(opcode=schema.BuiltinOperator.TANH, inputs=[s], outputs=[y])
        return y
