"""A log of the line alone is enough to replay the chip's flights in the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinyfly.errors import UserError
from tinyfly.policy import Policy
from tinyfly_hil import scenes
from tinyfly_hil.log import Recorder
from tinyfly_hil.protocol import ENUMS, Decoder, encode

STATE, REASON = ENUMS["state"], ENUMS["reason"]
PERIOD_US = 10_000


class Line:
    """Writes a log, frame by frame, as a link would."""

    def __init__(self, policy: Policy) -> None:
        self.recorder = Recorder()
        self.recorder.meta |= {"boot_nonce": 1, "policy_crc": policy.crc32()}
        self.time_us = 4_294_000_000  # the clock wraps within the second second

    def say(self, sent: bytes, received: bytes) -> None:
        self.recorder.tap(sent, Decoder().feed(received))

    def setpoint(self, kind: str, values: list[float], reason: str = "none", sequence: int = 1) -> None:
        padded = np.array(values + [0.0] * (18 - len(values)), np.float32)
        body = {"kind": ENUMS["setpoint"][kind], "flags": 0, "reserved": 0, "values": padded}
        answer = encode("status", sequence, state=STATE["disarmed"], reason=REASON[reason], flags=0)
        self.say(encode("setpoint", sequence, **body), answer)

    def fly(self, position: tuple[float, float, float], steps: int, state: str = "flying") -> None:
        for _ in range(steps):
            self.time_us = (self.time_us + PERIOD_US) % (1 << 32)
            told = {"quaternion": [1, 0, 0, 0], "velocity": [0] * 3, "angular_velocity": [0] * 3}
            answer = {"motors": [0.5] * 4, "state": STATE[state], "reason": 0, "flags": 0, "cost": 0}
            self.say(
                encode("step", 2, time_us=self.time_us, position=position, **told),
                encode("control", 2, time_us=self.time_us, **answer),
            )


@pytest.fixture
def line(policy: Policy) -> Line:
    return Line(policy)


def read(line: Line, policy: Policy, folder: Path) -> list[scenes.ChipFlight]:
    line.recorder.save(folder / "test_it_flies.npz")
    return scenes.flights([folder], policy)


def test_a_flight_is_what_lies_between_take_off_and_landing(
    line: Line, policy: Policy, tmp_path: Path
) -> None:
    line.setpoint("position", [0.0, 0.0, 1.0])
    line.fly((0, 0, 0), 50, "disarmed")
    line.fly((0.0, 0.0, 0.75), 151)
    line.fly((0, 0, 0), 50, "stopped")
    (flight,) = read(line, policy, tmp_path)
    assert (flight.kind, flight.about, flight.clean) == ("position", "it flies", True)
    assert flight.duration_s == pytest.approx(1.5)
    np.testing.assert_allclose(flight.error_m, 0.25, atol=1e-6)
    assert flight.end == "stopped afterwards"


def test_the_reference_runs_from_the_first_control_step_that_uses_it(
    line: Line, policy: Policy, tmp_path: Path
) -> None:
    line.setpoint("figure_eight", [0, 0, 0, 1, 1, 2.0, 0.0])
    line.fly((0, 0, 0), 70, "disarmed")
    line.fly((0, 0, 0), 201)
    (flight,) = read(line, policy, tmp_path)
    np.testing.assert_allclose(flight.reference[0], 0, atol=1e-6)
    np.testing.assert_allclose(flight.reference[50], [-1, 0, 0], atol=1e-3)  # a quarter of the round


def test_a_refused_setpoint_is_not_flown(line: Line, policy: Policy, tmp_path: Path) -> None:
    line.setpoint("position", [0.0, 0.0, 1.0])
    line.setpoint("position", [9.0, 9.0, 9.0], reason="bad_setpoint", sequence=2)
    line.fly((0, 0, 1), 120)
    (flight,) = read(line, policy, tmp_path)
    assert flight.reference[-1].tolist() == [0, 0, 1]


def test_where_the_sensors_lie_there_is_no_vehicle(line: Line, policy: Policy, tmp_path: Path) -> None:
    line.setpoint("position", [0.0, 0.0, 1.0])
    line.fly((0, 0, 1), 120)
    line.fly((3e38, 0, float("nan")), 4, "degraded")
    (flight,) = read(line, policy, tmp_path)
    assert not flight.clean
    assert np.isnan(flight.states[-4:]).all() and np.isfinite(flight.states[:-4]).all()
    scene = flight.on_stage("chip-1")
    assert np.isnan(scene["flown"][0]["position"][:, -1]).all()
    assert len(scene["reference"][0]) == len(scene["flown"][0]["error_mm"]) == 62  # shown at 50 Hz


def test_clean_flights_are_shown_first(line: Line, policy: Policy, tmp_path: Path) -> None:
    line.fly((0, 0, 1), 300, "degraded")
    line.fly((0, 0, 0), 1, "stopped")
    line.setpoint("hover", [])
    line.fly((0, 0, 1), 120)
    assert [f.kind for f in read(line, policy, tmp_path)] == ["hover", "no set-point"]


def test_a_log_of_another_policy_is_refused(line: Line, policy: Policy, tmp_path: Path) -> None:
    line.recorder.meta["policy_crc"] ^= 1
    with pytest.raises(UserError, match="of another policy"):
        read(line, policy, tmp_path)


def test_a_log_without_a_flight_says_how_to_record_one(line: Line, policy: Policy, tmp_path: Path) -> None:
    line.fly((0, 0, 0), 50, "disarmed")
    with pytest.raises(UserError, match="--log DIR"):
        read(line, policy, tmp_path)


def test_chip_flights_and_the_table_are_in_the_report(
    line: Line, policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinyfly.cli import main
    from tinyfly.report import robustness

    file = policy.save(tmp_path / "p.policy")
    summary = tmp_path / "hil.json"
    summary.write_text(json.dumps({"policy_crc": policy.crc32(), "passed": 36, "failed": 0}))
    line.setpoint("hover", [])
    line.fly((0, 0, 1), 120)
    log = line.recorder.save(tmp_path / "test_it_hovers.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "EPISODES", 1)
        out = str(tmp_path / "r.html")
        main(["report", str(file), "--out", out, "--episodes", "10", "--hil", str(summary), str(log)])
    text = (tmp_path / "r.html").read_text()
    assert '"Chip: hover, 1.2 s"' in text
    assert "<td>it hovers</td>" in text and "<td>checks passed</td><td>36</td>" in text
