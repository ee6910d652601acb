"""Symmetric policies: a quadrotor has two planes of symmetry, and so has the best way to fly it.

A policy that has the symmetry answers the mirrored observation with the mirrored action. Its hidden units
come in fours, of which each sees what its sisters see in a mirror. In sums and differences of sisters, and
of the four motors (thrust, pitch, roll, yaw), such a network falls apart: a mode of one layer hears only the
same mode of the layer before, and of the state only the values that change their signs in mirrors as the mode
does. Training has the weights in these modes. So it searches among symmetric policies alone, every flight
counts as four (what is learnt from it is what its mirror images would have taught as well), and the products
with past actions and between the hidden layers are a quarter of the work. What the chip gains: `modal`.

The change of coordinates is orthonormal: gradients, norms and Muon's steps mean in modes what they mean for
the whole network. An airframe that is only symmetric left to right has two modes, pairs in place of fours;
one that is not at all has one, the network itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyfly.columns import input_scale, mirror_signs
from tinyfly.contract import Contract
from tinyfly.mirror import Mirror
from tinyfly.weights import Weights

Array = NDArray[np.floating]


class Symmetry:
    """A contract's actors of one width, in some mirrors. With any, the width must be a multiple of four.

    The identity and the mirrors are a group of ``order`` elements, and there are as many modes. Unit
    ``order * g + k`` of the whole network is what element k makes of unit ``order * g``; the actor has its
    units sister by sister, all of element 0 first.
    """

    def __init__(self, found: Sequence[Mirror], contract: Contract, width: int) -> None:
        if found and width % 4:
            raise ValueError(f"hidden width {width} is not a multiple of four")
        self.found, self.order, self.width = found, 1 + len(found), width
        k = np.arange(self.order)
        self._between = k[:, None] ^ k  # (element, element): which one leads from one to the other
        self._characters = 1.0 - 2.0 * (np.bitwise_count(k[:, None] & k) % 2)  # (mode, element): +-1
        self.fold = self._characters / np.sqrt(self.order)  # sisters -> modes, and back
        motors = np.stack([np.arange(4), *(m.motors for m in found)])
        self._motors = motors[:, motors.min(0) == np.arange(4)]  # (element, image of one of the first motors)
        self.fold_motors = np.zeros((self.order, 4 // self.order, 4))  # actions -> modes
        for place, images in enumerate(self._motors.T):
            self.fold_motors[:, place, images] = self.fold
        # Of the first matrix, past actions and what comes after them; all columns as the actor has them.
        count, self.history = len(input_scale(contract)), 4 * contract.history_length
        signs = [np.ones(count), *(mirror_signs(contract, m) for m in found)]
        self._heard = self._of_mode(np.stack(signs)[:, self.history :])
        past = 4 * np.arange(contract.history_length)[:, None] + self._motors[:, None]
        self._first = np.append(past, np.arange(self.history, count))
        # Of the others, units and the bias.
        self._one = self._of_mode(np.ones((self.order, 1)))
        self._units = np.arange(width).reshape(-1, self.order).T.ravel()
        self._biased = np.append(self._units, width)

    def modes(self, w: Weights) -> Weights:
        """The symmetric part of a whole network's weights (or of their gradient), mode by mode.

        (modes, units of a mode, its past actions slot by slot and then all other columns, nought where it is
        deaf), (modes, units, units + 1), (modes, motors of a mode, units + 1).
        """
        return Weights(
            self._to_modes(w.first[self._units][:, self._first], self._heard),
            self._to_modes(w.second[self._units][:, self._biased], self._one),
            self.last_modes(w.last[:, self._biased]),
        )

    def whole(self, w: Weights) -> Weights:
        """The whole network's weights; what mirrors make alike is so to the last bit, as `modal` wants it."""
        first, second = (np.empty((self.width, n), w.first.dtype) for n in (len(self._first), self.width + 1))
        last = np.empty((4, self.width + 1), w.last.dtype)
        first[np.ix_(self._units, self._first)] = self._to_whole(w.first, self._heard)
        second[np.ix_(self._units, self._biased)] = self._to_whole(w.second, self._one)
        last[:, self._biased] = self.last(w.last)
        return Weights(first, second, last)

    def last_modes(self, whole: Array) -> Array:
        """The last matrix, (4, width + 1) with the units as the actor has them -> its modes."""
        return self._to_modes(whole[self._motors.ravel()], self._one)

    def last(self, modes: Array) -> Array:
        """The modes of the last matrix -> (4, width + 1), with the units as the actor has them."""
        whole = np.empty((4, self.width + 1), modes.dtype)
        whole[self._motors.ravel()] = self._to_whole(modes, self._one)
        return whole

    def heard(self, first: Array) -> Array:
        """(modes, units, columns after the past actions) -> the same, nought where the mode is deaf."""
        return first * self._heard[:, None]

    def inputs(self, columns: Array) -> Array:
        """A number for each of the first matrix's whole columns -> (columns of a mode,).

        The four motors of a slot must have the same.
        """
        past = columns[: self.history].reshape(-1, 4)[:, : 4 // self.order]
        return np.append(past, columns[self.history :])

    def basis(self, values: Sequence[tuple[str, int]]) -> Array:
        """(modes, places, values): from values to those that each mode hears; orthonormal.

        ``values`` are kinds, with how many of each: "motors" come in fours, "rotation" in nines, what has an
        axis in threes ("polar" and "axial" mirror as `Mirror` says), and a "scalar" alone. Modes that hear
        fewer end with noughts.
        """
        signs, rows = [], []
        for kind, count in values:
            if kind == "motors":
                sign, row = np.repeat(self._characters.T, 4 // self.order, 1), self.fold_motors.reshape(4, 4)
            else:
                mirrors = [np.ones(1) if kind == "scalar" else getattr(m, kind) for m in self.found]
                size = {"scalar": 1, "rotation": 9}.get(kind, 3)
                sign, row = np.stack([np.ones(size), *mirrors]), np.eye(size)
            signs += [sign] * (count // len(row))
            rows += [row] * (count // len(row))
        whole, heard = _block_diagonal(rows), self._of_mode(np.concatenate(signs, 1))
        basis = np.zeros((self.order, heard.sum(1).max(), len(whole)), np.float32)
        for mode, mine in zip(basis, heard, strict=True):
            mode[: mine.sum()] = whole[mine]
        return basis

    def _of_mode(self, signs: Array) -> NDArray[np.bool_]:
        """(modes, values): whether a mode hears them, by their signs (elements, values)."""
        return (self._characters[:, :, None] == signs).all(1)

    def _to_modes(self, x: Array, heard: NDArray[np.bool_]) -> Array:
        """(sisters, sisters and then values), element by element -> (modes, rows, columns, then values)."""
        sisters, values = np.split(x.reshape(self.order, -1, x.shape[1]), [-heard.shape[1]], 2)
        sisters = sisters.reshape(*sisters.shape[:2], self.order, -1)
        # Sisters are folded twice, as rows k and as columns l, into the same mode j; values once, as rows.
        of_sisters = np.einsum("jk,jl,krlc->jrc", self.fold, self.fold, sisters)
        of_values = np.einsum("jk,krv->jrv", self.fold, values) * heard[:, None]
        return np.concatenate([of_sisters, of_values], 2).astype(x.dtype)

    def _to_whole(self, x: Array, heard: NDArray[np.bool_]) -> Array:
        """The other way: the symmetric matrix that has these modes."""
        sisters, values = np.split(x, [-heard.shape[1]], 2)
        images = (np.tensordot(self._characters, sisters, 1) / self.order)[self._between].swapaxes(1, 2)
        parts = (
            images.reshape(self.order * x.shape[1], -1),
            np.einsum("jk,jrv->krv", self.fold, values * heard[:, None]).reshape(-1, heard.shape[1]),
        )
        return np.concatenate(parts, 1).astype(x.dtype)


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    out, at = np.zeros((sum(map(len, blocks)),) * 2), 0
    for b in blocks:
        out[at : at + len(b), at : at + len(b)] = b
        at += len(b)
    return out
