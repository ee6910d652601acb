"""A run leaves a log that plays back bit for bit, on this target and on another."""

import zipfile

import numpy as np
import pytest

from tinyfly.errors import UserError
from tinyfly_hil import log
from tinyfly_hil.faults import Injector, parse
from tinyfly_hil.flight import Chip, FaultyChip, fly
from tinyfly_hil.world import Scenario, thrown

SHORT = thrown(4, duration_s=0.5)


@pytest.fixture
def recorded(target, recorder, tmp_path):
    """The log of a short flight."""
    fly(SHORT, Chip(target), recorder.observe)
    return recorder.save(tmp_path / "flight.npz")


def test_a_flight_replays_bit_for_bit(target, recorded):
    target.restart()
    assert log.replay(log.load(recorded), target) is None


@pytest.mark.thorough
def test_a_flight_replays_bit_for_bit_on_the_host_build(recorded, open_port):
    with open_port("host") as host:
        assert log.replay(log.load(recorded), host) is None


def test_a_flight_with_faults_and_a_power_failure_replays(target, recorder, tmp_path):
    faults = parse("corrupt=0.3,duplicate=0.3,nan=0.1,flood=40,power@0.4s")
    fly(Scenario("faults", 0.6), FaultyChip(target, Injector(faults, 1)))
    path = recorder.save(tmp_path / "faults.npz")
    target.restart()
    assert log.replay(log.load(path), target) is None


@pytest.mark.thorough
def test_a_replay_names_the_first_difference(target, recorded):
    changed = log.load(recorded)
    row = next(i for i, x in enumerate(changed.columns["received"]) if i > 80 and x)
    answer = log.Decoder().feed(bytes.fromhex(str(changed.columns["received"][row])))[0]
    body = answer.body._asdict() | {"motors": np.nextafter(answer.body.motors, np.float32(2))}
    changed.columns["received"] = changed.columns["received"].astype(object)
    changed.columns["received"][row] = log.protocol.encode("control", answer.sequence, **body).hex()
    target.restart()
    difference = log.replay(changed, target)
    assert difference is not None and difference.row == row
    assert difference.expected.startswith("control #") and difference.got.startswith("control #")


@pytest.mark.thorough
def test_a_log_is_columns_of_equal_length_with_the_flight_in_them(recorded):
    read = log.load(recorded)
    assert {len(c) for c in read.columns.values()} == {len(read)}
    flown = ~np.isnan(read.columns["position_x"])
    assert flown.sum() == SHORT.steps
    assert np.abs(read.columns["position_x"][flown][0] - SHORT.start[0]) < 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["missing", "text", "half", "no columns"])
def test_a_damaged_log_is_refused_with_one_line(recorded, damage, tmp_path):
    path = tmp_path / "x.npz"
    if damage == "text":
        path.write_text("step,time\n")
    elif damage == "half":
        path.write_bytes(recorded.read_bytes()[:1000])
    elif damage == "no columns":
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("a.txt", "b")
    with pytest.raises(UserError) as error:
        log.load(path)
    assert "\n" not in str(error.value)
