"""A policy as a torch module, and as a program saved by torch.export (no pickle, no tinyfly to load it)."""

from __future__ import annotations

import io
import json
import warnings
from typing import TYPE_CHECKING

import numpy as np

from tinyfly.policy import Policy
from tinyfly_export.onnx import metadata
from tinyfly_export.proof import Array, Proof, prove

if TYPE_CHECKING:
    import torch

BOUND = 1e-5


def to_torch(policy: Policy) -> torch.nn.Sequential:
    """(n, inputs) -> (n, 4): Linear and Tanh modules with the policy's weights, free to be trained on."""
    import torch

    modules: list[torch.nn.Module] = []
    for layer in policy.layers:
        linear = torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight))
            linear.bias.copy_(torch.from_numpy(layer.bias))
        modules += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*modules)


def export_torch(policy: Policy) -> tuple[dict[str, bytes], list[Proof]]:
    """policy.pt2, loaded back and run."""
    import torch

    example = torch.zeros(2, policy.contract.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of its own deprecations
        program = torch.export.export(
            to_torch(policy).eval(), (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={"tinyfly.json": json.dumps(metadata(policy))})
        loaded = torch.export.load(io.BytesIO(file.getvalue())).module()

    def run(observation: Array) -> Array:
        with torch.no_grad():
            return loaded(torch.from_numpy(np.ascontiguousarray(observation.T))).numpy().T

    proof = prove(policy, "torch", f"torch {torch.__version__}", run, BOUND)
    return {"policy.pt2": file.getvalue()}, [proof]
