"""Observation noise and gusts of the training environments, drawn once: drawing takes longer than flying."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.episodes import DT
from tinyfly.physics import POSITION, RATE, ROTATION, ROWS, VELOCITY
from tinyfly.task import Task

Array = NDArray[np.floating]

BANK = 512  # steps


def noise_bank(task: Task, rng: np.random.Generator, n: int, dtype: type[np.floating]) -> Array:
    """(BANK, 18, n) white observation noise. A quaternion's noise counts twice in a rotation matrix."""
    std = np.empty((ROWS, 1))
    std[RATE], std[POSITION] = task.noise.rate_rad_s, task.noise.position_m
    std[VELOCITY], std[ROTATION] = task.noise.velocity_m_s, 2 * task.noise.attitude
    return (rng.standard_normal((BANK, ROWS, n), np.float32) * std).astype(dtype)


def gust_bank(task: Task, rng: np.random.Generator, n: int, dtype: type[np.floating]) -> Array:
    """(BANK, 3, n) of an Ornstein-Uhlenbeck process with variance 1."""
    keep = np.exp(-DT / task.wind.gust_s)
    gusts = rng.standard_normal((BANK, 3, n), np.float32).astype(dtype)
    for now, before in zip(gusts[1:], gusts[:-1], strict=True):
        now *= np.sqrt(1 - keep * keep)
        now += keep * before
    return gusts
