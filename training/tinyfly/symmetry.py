"""Symmetric policies: a quadrotor has two planes of symmetry, and so has the best way to fly it.

A policy that has the symmetry answers the mirrored observation with the mirrored action. Its hidden units
come in fours, of which each sees what its sisters see in a mirror, so a reflection only permutes them, and
the symmetric policies are a linear subspace of the weights. The mean of a gradient and its mirror images is
its projection onto that subspace, and what one would get by flying every flight's mirror images too: each
flight counts as four, at no cost. Muon's step stays in the subspace, because a polar factor commutes with
permutations and signs. What the chip gains by it: `modal`.

An airframe that is only symmetric left to right keeps that plane alone; one that is not at all keeps none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyfly.actor import Weights
from tinyfly.columns import mirrored
from tinyfly.contract import Contract
from tinyfly.mirror import Mirror

Array = NDArray[np.floating]
Index = NDArray[np.intp]


class Symmetry:
    """A contract's actors of one width, in some mirrors. With any, the width must be a multiple of four."""

    def __init__(self, found: Sequence[Mirror], contract: Contract, width: int) -> None:
        if found and width % 4:
            raise ValueError(f"hidden width {width} is not a multiple of four")
        self.order = 1 + len(found)  # of the group: these and the identity
        self._images: list[list[tuple[Index, Array]]] = [[], [], []]  # of each matrix, in each mirror
        for m in found:
            hidden = np.arange(width) ^ m.sisters
            first, signs = mirrored(contract, m)
            with_bias, ones = np.append(hidden, width), np.ones(width + 1)
            for images, rows, columns, sign in zip(
                self._images,
                (hidden, hidden, m.motors),
                (first, with_bias, with_bias),
                (signs, ones, ones),
                strict=True,
            ):
                images.append((rows[:, None] * len(columns) + columns, sign.astype(np.float32)))

    def project(self, w: Weights) -> None:
        """Replace weights, or their gradient, by the mean of their mirror images, in place."""
        for matrix, images in zip(w, self._images, strict=True):
            total = matrix.copy()
            for index, sign in images:
                total += matrix.take(index) * sign
            np.divide(total, self.order, out=matrix)

    def settle(self, w: Weights) -> None:
        """Project, and leave no two mirror images a last bit apart: `modal` asks for that."""
        self.project(w)
        for matrix, images in zip(w, self._images, strict=True):
            own = np.arange(matrix.size).reshape(matrix.shape)
            index = np.stack([own, *(i for i, _ in images)])
            sign = np.stack([np.ones_like(matrix), *(np.broadcast_to(s, matrix.shape) for _, s in images)])
            first = index.argmin(0)[None]  # of every set of images, the one that the others become
            matrix[:] = matrix.take(np.take_along_axis(index, first, 0)[0])
            matrix *= np.take_along_axis(sign, first, 0)[0]
