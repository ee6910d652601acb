"""A flight in rerun's viewer while it happens: vehicle and path in space, errors and motors over time.

An optional extra, `pip install -e '.[rerun]'`; `watch` takes it where it is installed and has a screen.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfly.console import say
from tinyfly.state import ANGULAR_VELOCITY, POSITION, QUATERNION, REFERENCE_POSITION

if TYPE_CHECKING:
    from rerun import RecordingStream

ARM_M = 0.05  # as drawn
TRAIL = 300  # steps of the path that stay visible
FLOWN, WANTED = [0x2F, 0x81, 0xD0], [0x7D, 0x85, 0x90]


def available() -> bool:
    """Whether rerun is installed and has a screen to open a window on."""
    screen = sys.platform != "linux" or any(os.environ.get(k) for k in ("DISPLAY", "WAYLAND_DISPLAY"))
    return screen and importlib.util.find_spec("rerun") is not None


class Viewer:
    """Draws into a recording; a call has the arguments of `watch.View`."""

    def __init__(self, recording: RecordingStream):
        import rerun

        self._rerun, self._recording = rerun, recording
        self._flown: list[Any] = []
        self._wanted: list[Any] = []
        recording.log("world", rerun.ViewCoordinates.FLU, static=True)
        arms = [[(1, -1, 0), (-1, 1, 0)], [(1, 1, 0), (-1, -1, 0)], [(0, 0, 0), (1.5, 0, 0)]]  # and the nose
        drawn = rerun.LineStrips3D((ARM_M * np.array(arms)).tolist(), radii=0.004, colors=FLOWN)
        recording.log("world/vehicle/body", drawn, static=True)

    def __call__(self, time_s: float, state: Any, reference: Any, command: Any) -> None:
        rerun, log = self._rerun, self._recording.log
        position, wanted = state[POSITION], reference[REFERENCE_POSITION]
        w, x, y, z = (float(v) for v in state[QUATERNION])
        self._flown = [*self._flown[-TRAIL:], position.tolist()]
        self._wanted = [*self._wanted[-TRAIL:], wanted.tolist()]
        self._recording.set_time("flight", duration=time_s)
        log(
            "world/vehicle",
            rerun.Transform3D(translation=position, quaternion=rerun.Quaternion(xyzw=[x, y, z, w])),
        )
        log("world/flown", rerun.LineStrips3D([self._flown], radii=0.003, colors=FLOWN))
        log("world/reference", rerun.LineStrips3D([self._wanted], radii=0.002, colors=WANTED))
        log("error_m", rerun.Scalars(float(np.linalg.norm(position - wanted))))
        log("rates_rad_s", rerun.Scalars(state[ANGULAR_VELOCITY]))
        log("motors", rerun.Scalars(command))


def open_viewer(label: str) -> Viewer | None:
    """A window of its own that stays open after the flight; None, and a line why, if it does not open."""
    import rerun

    recording = rerun.RecordingStream(f"tinyfly: {label}")
    # rerun looks for its program on the path, where that of an environment that is not activated is not.
    beside = Path(sys.executable).with_name("rerun")
    program = str(beside) if beside.exists() else None
    try:
        rerun.spawn(recording=recording, executable_path=program, hide_welcome_screen=True)
    except (RuntimeError, OSError, ValueError) as e:
        reason = next((line.strip() for line in str(e).splitlines() if line.strip()), type(e).__name__)
        say(f"rerun's viewer does not open ({reason}): watching in the terminal")
        return None
    return Viewer(recording)
