"""The terminal view of a flight says what the vehicle does, whatever it does."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from policies import random_policy
from rich.console import Console

from tinyfly import viewer
from tinyfly.airframe import Airframe
from tinyfly.contract import paper_contract
from tinyfly.report.live import watch_flight
from tinyfly.state import euler_rad
from tinyfly.watch import panel, sparkline, watch

LEVEL = np.array([0.003, -0.004, 0.0, 1, 0, 0, 0, 0, 0, 0, math.radians(90), 0, 0])


def picture(state: np.ndarray, command: np.ndarray) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(panel("hil", 1.25, state, np.zeros(9), command, [1.0, 0.1, 0.001]))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_panel_shows_error_rates_and_motors() -> None:
    text = picture(LEVEL, np.array([0.0, 0.25, 0.5, 1.0]))
    assert "hil  1.25 s" in text
    assert "5.0 mm" in text
    assert "+90.0" in text
    assert "M4" in text and "█" * 20 in text


def test_panel_survives_a_state_that_is_not_a_number() -> None:
    assert "nan" in picture(np.full(13, np.nan), np.full(4, np.nan))


def test_sparkline_rises_with_the_error() -> None:
    blocks = sparkline([0.0005, 0.001, 0.01, 0.1, 1.0, 50.0])
    assert list(blocks) == sorted(blocks)
    assert blocks[0] == "▁" and blocks[-1] == "█"
    assert sparkline([math.nan]) == "x"


@pytest.mark.parametrize("axis", range(3))
def test_euler_angles_of_a_turn_about_one_axis(axis: int) -> None:
    q = np.array([math.cos(0.3), 0.0, 0.0, 0.0])
    q[1 + axis] = math.sin(0.3)
    expected = np.zeros(3)
    expected[axis] = 0.6
    np.testing.assert_allclose(euler_rad(q), expected, atol=1e-12)


def test_the_viewer_needs_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not viewer.available()


def test_a_flight_is_recorded_for_the_viewer(tmp_path: Path) -> None:
    rerun = pytest.importorskip("rerun", reason="pip install -e '.[rerun]'")
    recording = rerun.RecordingStream("tinyfly")
    recording.save(tmp_path / "flight.rrd")
    draw = viewer.Viewer(recording)
    for k in range(3):
        draw(0.01 * k, LEVEL, np.zeros(9), np.full(4, 0.5))
    recording.disconnect()
    written = (tmp_path / "flight.rrd").read_bytes()
    assert all(name in written for name in (b"world/vehicle", b"world/flown", b"error_m", b"motors"))


def test_a_viewer_that_does_not_open_leaves_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rerun = pytest.importorskip("rerun", reason="pip install -e '.[rerun]'")

    def refuse(**_: object) -> None:
        raise RuntimeError("\nno viewer on this machine\n")

    monkeypatch.setattr(rerun, "spawn", refuse)
    assert viewer.open_viewer("hover") is None
    assert "no viewer on this machine" in capsys.readouterr().err


def test_watch_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with watch("train") as view:
        view(0.0, LEVEL, np.zeros(3), np.zeros(4))
    assert capsys.readouterr().err == ""


def test_watch_draws_on_a_terminal_but_not_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    times = iter([0.0, 0.01, 0.02, 0.5])
    monkeypatch.setattr("tinyfly.watch.monotonic", lambda: next(times))
    with watch("train") as view:
        for i in range(4):
            view(float(i), LEVEL, np.zeros(3), np.zeros(4))
    text = screen.getvalue()
    assert "0.00 s" in text and "3.00 s" in text
    assert "1.00 s" not in text


def test_a_flight_is_shown_from_its_start_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, now = io.StringIO(), [0.0]
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    for module in ("tinyfly.watch", "tinyfly.report.live"):
        monkeypatch.setattr(f"{module}.monotonic", lambda: now[0])
    monkeypatch.setattr("tinyfly.report.live.sleep", lambda s: now.__setitem__(0, now[0] + s))
    watch_flight(random_policy(paper_contract()), Airframe.load("crazyflie"), "paper")
    assert now[0] == pytest.approx(13.0)  # it took as long as the flight
    assert "paper  0.01 s" in screen.getvalue()
    assert "paper  12.9" in screen.getvalue()
