"""Mirror images: a quadrotor has two planes of symmetry, and so has the best way to fly it.

Reflect vehicle and world left to right: the same physics, with M1..M4 in each other's places, turning the
other way. A policy that has the symmetry answers the mirrored observation with the mirrored action. Its
hidden units come in fours, of which each sees what its sisters see in a mirror, so a reflection only permutes
them, and the symmetric policies are a linear subspace of the weights. The mean of a gradient and its mirror
images is its projection onto that subspace, and what one would get by flying every flight's mirror images
too: each flight counts as four, at no cost. Muon's step stays in the subspace, because a polar factor
commutes with permutations and signs.

An airframe that is only symmetric left to right keeps that plane alone; one that is not at all keeps none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfly.actor import Actor, Weights
from tinyfly.airframe import Layout
from tinyfly.physics import ROWS

Array = NDArray[np.floating]
Index = NDArray[np.intp]

TOLERANCE = 1e-3  # of levers, relative to the mean one


@dataclass(frozen=True, slots=True)
class Mirror:
    """A reflection in the plane x = 0, in y = 0, or in both, which is half a turn."""

    x: int  # -1 where the axis is turned round
    y: int
    motors: Index  # (4,) which motor is found in each one's place

    @property
    def polar(self) -> Array:
        """Signs (3,) of position, velocity, acceleration and force, in the world and in the body."""
        return np.array([self.x, self.y, 1.0])

    @property
    def axial(self) -> Array:
        """Signs (3,) of angular velocity and torque."""
        return self.x * self.y * self.polar

    @property
    def rotation(self) -> Array:
        """Signs (9,) of a rotation matrix."""
        return np.outer(self.polar, self.polar).ravel()

    @property
    def sisters(self) -> int:
        """Units i and i ^ sisters of a hidden layer are each other's mirror image."""
        return (self.x < 0) + 2 * (self.y < 0)


def mirrors(layout: Layout) -> list[Mirror]:
    """The reflections that map a layout's roll, pitch and yaw levers (3, 4) onto themselves."""
    levers = np.array(layout)
    found = []
    for x, y in ((-1, 1), (1, -1), (-1, -1)):
        image = Mirror(x, y, np.arange(4)).axial[:, None] * levers
        apart = np.abs(levers[:, :, None] - image[:, None, :]).max(0)  # (motor, image of motor)
        motors = apart.argmin(0)
        if apart.min(0).max() <= TOLERANCE and len(set(motors)) == 4:
            found.append(Mirror(x, y, motors))
    return found


class Symmetry:
    """An actor's weights, in some mirrors. With any, hidden widths must be multiples of four."""

    def __init__(self, found: Sequence[Mirror], actor: Actor) -> None:
        widths = [h.shape[1] - 1 for h in actor.hidden]
        if found and any(w % 4 for w in widths):
            raise ValueError(f"hidden widths {widths} are not multiples of four")
        self.order = 1 + len(found)  # of the group: these and the identity
        self._images: list[list[tuple[Index, Array]]] = [[], [], []]  # of each matrix, in each mirror
        for m in found:
            one, two = (np.arange(w) ^ m.sisters for w in widths)
            past = (4 * np.arange(actor.history // 4)[:, None] + m.motors).ravel()
            first = np.append(past, actor.history + np.arange(actor.input.shape[1]))
            signs = np.append(np.ones(actor.history), _input_signs(m, actor))
            for images, rows, columns, sign in zip(
                self._images,
                (one, two, m.motors),
                (first, np.append(one, len(one)), np.append(two, len(two))),
                (signs, np.ones(len(one) + 1), np.ones(len(two) + 1)),
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


def _input_signs(m: Mirror, actor: Actor) -> Array:
    """Of the rows of `actor.input`: the state, what else is felt, a row of ones, references."""
    felt = (actor.differentiable - ROWS) // 3
    references = (actor.input.shape[1] - actor.differentiable - 1) // 3
    state = [m.axial, m.polar, m.polar, m.rotation]
    return np.concatenate([*state, *[m.polar] * felt, [1.0], *[m.polar] * references])
