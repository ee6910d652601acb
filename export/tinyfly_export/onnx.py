"""A policy as ONNX: inputs ``action_history`` and ``state``, output ``action``, the contract as metadata."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tinyfly.contract import Contract
from tinyfly.policy import Policy
from tinyfly_export.proof import Array, Proof, prove

OPSET = 23  # current in ONNX 1.18..1.23, and what ONNX Runtime 1.23 and later run
IR_VERSION = 11
BOUND = 1e-5


def export_onnx(policy: Policy) -> tuple[dict[str, bytes], list[Proof]]:
    """The file, checked by onnx.checker and run in ONNX Runtime."""
    import onnxruntime

    data = model(policy)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(observation: Array) -> Array:
        return session.run(["action"], feeds(policy.contract, observation))[0].T

    proof = prove(policy, "onnx", f"ONNX Runtime {onnxruntime.__version__}", run, BOUND)
    return {"policy.onnx": data}, [proof]


def feeds(contract: Contract, observation: Array) -> dict[str, Array]:
    """(inputs, n) -> the model's inputs, (n, .) each."""
    history = contract.size - _state_size(contract)
    split = {"action_history": observation[:history], "state": observation[history:]}
    return {name: np.ascontiguousarray(rows.T) for name, rows in split.items() if len(rows)}


def model(policy: Policy) -> bytes:
    """The serialised model."""
    import onnx
    from onnx import TensorProto, checker, helper, numpy_helper

    contract = policy.contract
    state = _state_size(contract)
    widths = {"action_history": contract.size - state, "state": state}
    inputs = {name: width for name, width in widths.items() if width}
    nodes = [helper.make_node("Concat", list(inputs), ["x0"], axis=1)]
    tensors = []
    for i, layer in enumerate(policy.layers):
        w, b, sum_, y = f"weight{i}", f"bias{i}", f"sum{i}", f"x{i + 1}"
        tensors += [numpy_helper.from_array(layer.weight, w), numpy_helper.from_array(layer.bias, b)]
        nodes.append(helper.make_node("Gemm", [f"x{i}", w, b], [sum_], transB=1))
        nodes.append(helper.make_node("Tanh", [sum_], ["action" if i + 1 == len(policy.layers) else y]))

    def value(name: str, width: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])

    graph = helper.make_graph(
        nodes, "policy", [value(n, w) for n, w in inputs.items()], [value("action", 4)], tensors
    )
    exported = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tinyfly"
    )
    helper.set_model_props(exported, metadata(policy))
    checker.check_model(exported, full_check=True)
    return onnx.ModelProto.SerializeToString(exported, deterministic=True)


def metadata(policy: Policy) -> dict[str, str]:
    """What the policy file says of itself, for formats that carry strings."""
    return {
        "contract": policy.contract.to_json(),
        "contract_hash": f"{policy.contract.hash():016x}",
        "policy_crc32": f"{policy.crc32():08x}",
        "airframe": json.dumps(policy.airframe, sort_keys=True),
        "provenance": json.dumps(policy.provenance, sort_keys=True),
    }


def _state_size(contract: Contract) -> int:
    return contract.size - (4 * contract.history_length)
