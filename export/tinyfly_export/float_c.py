"""The float32 network as C, with the policy's own bits: layer by layer, or in modes where it has mirrors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tinyfly.modal import ModalNetwork
from tinyfly.network import Layer, act_exact
from tinyfly.policy import Policy
from tinyfly_export import c_source as c
from tinyfly_export.arithmetic import Kernel, contract_numbers, old_inputs
from tinyfly_export.c_source import PAD_ROWS, padded

Array = NDArray[np.float32]
BLOCK_ROWS = 16  # tf_layer.h: rows come in blocks of so many, then of `c_source.PAD_ROWS`


def float_kernel(policy: Policy) -> Kernel:
    """The network in float32: the policy's own bits."""
    return modal_kernel(policy, policy.modal) if policy.modal else whole_kernel(policy)


def whole_kernel(policy: Policy) -> Kernel:
    """Layer by layer, as tf_network.h has it; of a policy with mirrors, other last bits than its own."""
    layers = policy.layers
    rows = [padded(layer.bias.size) for layer in layers]
    source = (
        f"static const tf_layer_t layers[{len(layers)}] = {c.lines(_entries(layers))};\n"
        f"static float scratch[2][{max(rows)}];\n"
        f"const tf_network_t tf_policy_network = {{{policy.contract.size}, {len(layers)}, layers, "
        "{scratch[0], scratch[1]}};\n"
    )
    return _kernel(policy, "tf_network", layers, rows[0], source, lambda x: act_exact(layers, x))


def modal_kernel(policy: Policy, modal: ModalNetwork) -> Kernel:
    """In modes, as tf_modal.h has it."""
    layers = [*(part for layer in modal.hidden for part in layer), modal.last]
    rows = [4 * padded(layer[0].bias.size) for layer in modal.hidden]
    inputs, depth = policy.contract.size, len(modal.hidden)
    hidden, last, state = c.modes(_entries(layers), modal.state, modal.slots)
    source = (
        f"static const tf_layer_t hidden_layers[][TF_MODES] = {hidden};\n"
        f"static const tf_layer_t last_layer = {last};\n"
        f"static const uint16_t state_inputs[] = {state};\n"
        f"static float mode_inputs[{inputs}], scratch[2][{max(rows)}];\n"
        f"const tf_modal_t tf_policy_network = {{{inputs}, {modal.slots}, {depth}, hidden_layers, "
        "&last_layer, state_inputs, mode_inputs, {scratch[0], scratch[1]}};\n"
    )
    return _kernel(policy, "tf_modal", layers, rows[0], source, modal.act_exact)


def layer_image(layer: Layer) -> Array:
    """A layer as it lies in flash: bias, then weights in blocks, both padded to a multiple of four rows."""
    outputs, inputs = layer.weight.shape
    rows = padded(outputs)
    bias, weight = np.zeros(rows, np.float32), np.zeros((rows, inputs), np.float32)
    bias[:outputs], weight[:outputs] = layer.bias, layer.weight
    whole = rows - rows % BLOCK_ROWS
    starts = [*range(0, whole, BLOCK_ROWS), *range(whole, rows, PAD_ROWS), rows]
    return np.concatenate([bias, *(weight[a:b].T.ravel() for a, b in itertools.pairwise(starts))])


def _kernel(
    policy: Policy,
    network: str,
    layers: Sequence[Layer],
    partial: int,
    source: str,
    act: Callable[[Array], Array],
) -> Kernel:
    constants = np.concatenate([*map(layer_image, layers), contract_numbers(policy.contract)])
    return Kernel(
        name="float32",
        network=network,
        sources=("tf_tanh.c", "tf_kernel.c", f"{network}.c"),
        sum_type="float",
        partial=partial,
        old_inputs=old_inputs(policy.contract),
        declarations=f"extern const {network}_t tf_policy_network;\n"
        f"extern const float tf_policy_constants[{constants.size}]; /* network and contract numbers */\n",
        source="#if defined(__GNUC__)\n__attribute__((aligned(16))) /* the flash's 128-bit lines */\n#endif\n"
        f"const float tf_policy_constants[{constants.size}] = {c.array(constants)};\n\n{source}",
        constants=constants.astype("<f4").tobytes(),
        act=act,
    )


def _entries(layers: Sequence[Layer]) -> list[str]:
    """Each layer's tf_layer_t over the constants."""
    entries, at = [], 0
    for layer in layers:
        outputs, inputs = layer.weight.shape
        weight = at + padded(outputs)
        entries.append(f"{{{inputs}, {outputs}, tf_policy_constants + {at}, tf_policy_constants + {weight}}}")
        at = weight + padded(outputs) * inputs
    return entries
