"""Whose columns are whose: the first layer as training has it, and as the contract says.

Training's columns are the action history, the rows of `rollout`'s state in its own units, a row of ones, the
reference. The contract's are its channels, in its order and at its scales.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.contract import Channel, Contract
from tinyfly.felt import FORCE_UNIT
from tinyfly.mirror import Mirror
from tinyfly.network import Layer
from tinyfly.physics import POSITION, RATE, ROTATION, VELOCITY
from tinyfly.turning import TURNING_UNIT
from tinyfly.weights import Weights

Array = NDArray[np.floating]

ROWS = {
    "position_error": POSITION,
    "velocity_error": VELOCITY,
    "angular_velocity": RATE,
    "position_integral": POSITION,  # training adds it to the position
}
ACCELERATION_UNIT = 0.1  # of the reference's
UNITS = {  # of training's inputs, where they are not SI
    "specific_force": FORCE_UNIT,
    "angular_acceleration": TURNING_UNIT,
    "reference_acceleration": ACCELERATION_UNIT,
    "acceleration_preview": ACCELERATION_UNIT,
}
REFERENCE = ("reference_acceleration", "acceleration_preview")


def layers(c: Contract, w: Weights) -> tuple[Layer, ...]:
    """Weights as the policy file keeps them: columns in the contract's order and units, biases apart."""
    channels = _columns(c)
    order = [i for _, columns in channels for i in columns]
    units = np.array([_scale(channel) for channel, columns in channels for _ in columns])
    return (
        Layer(w.first[:, order] / units, w.first[:, bias_column(c)]),
        Layer(w.second[:, :-1], w.second[:, -1]),
        Layer(w.last[:, :-1], w.last[:, -1]),
    )


def input_scale(c: Contract) -> Array:
    """(columns of the first matrix,): the contract's inputs over training's; 1 for the bias."""
    scale = np.ones(_width(c), np.float32)
    for channel, columns in _columns(c):
        scale[columns] = _scale(channel)
    return scale


def mirror_signs(c: Contract, m: Mirror) -> Array:
    """(columns of the first matrix,): the sign with which a mirror shows each; past actions change places."""
    signs = np.ones(_width(c))
    for channel, columns in _columns(c):
        signs[columns] = m.signs(channel)
    return signs


def bias_column(c: Contract) -> int:
    """That of the row of ones."""
    return 4 * c.history_length + ROTATION.stop + 3 * len(kept_rows(c))


def kept_rows(c: Contract) -> dict[str, slice]:
    """Rows of what a policy finds from the state's changes, by channel; the row of ones comes after them."""
    found = [name for name, settings in c.kept.items() if settings and name not in ROWS]
    return {name: slice(ROTATION.stop + 3 * i, ROTATION.stop + 3 * i + 3) for i, name in enumerate(found)}


def _width(c: Contract) -> int:
    return 1 + max(bias_column(c), *(i for _, columns in _columns(c) for i in columns))


def _scale(channel: Channel) -> np.float32:
    return np.float32(channel.scale / UNITS.get(channel.name, 1.0))


def _columns(c: Contract) -> list[tuple[Channel, list[int]]]:
    """Each channel's columns of training's first matrix."""
    past, reference = 4 * c.history_length, bias_column(c) + 1
    found: list[tuple[Channel, list[int]]] = []
    for channel in c.channels:
        if channel.name == "action_history":
            columns = list(range(past))
        elif channel.name == "rotation":  # training's is column by column
            columns = [past + ROTATION.start + 3 * j + i for i in range(3) for j in range(3)]
        elif channel.name in REFERENCE:  # in the contract's order
            columns = list(range(reference, reference + channel.size))
            reference += channel.size
        else:
            rows = (ROWS | kept_rows(c))[channel.name]
            columns = list(range(past + rows.start, past + rows.stop))
        found.append((channel, columns))
    return found
