"""A learning curve reaches TensorBoard as it was."""

import json

import pytest

from tinyfly.learning import Row
from tinyfly.tensorboard import write_events

pytest.importorskip("tensorboardX")


def test_every_update_is_there_with_its_wall_time_and_the_provenance_beside_it(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    rows = [Row(0.5 * k, k / 3, 10.0 / k, 0.1 * k) for k in (1, 2, 3)]
    write_events(tmp_path / "run", rows, {"seed": 7})
    (file,) = (tmp_path / "run").iterdir()
    events = [Event.FromString(record) for record in records(file.read_bytes())]
    values = [(e.step, e.wall_time, v) for e in events for v in e.summary.value]
    losses = [(step, wall, v.simple_value) for step, wall, v in values if v.tag == "train/loss"]
    assert [step for step, _, _ in losses] == [1, 2, 3]
    assert [x for _, _, x in losses] == pytest.approx([10.0, 5.0, 10 / 3])
    assert losses[2][1] - losses[0][1] == pytest.approx(1.0, abs=1e-3)
    (text,) = (v for _, _, v in values if v.tag.startswith("provenance"))
    assert json.loads(text.tensor.string_val[0]) == {"seed": 7}


def records(data: bytes):
    """The payloads of a TFRecord file: length, CRC, payload, CRC."""
    while data:
        size = int.from_bytes(data[:8], "little")
        yield data[12 : 12 + size]
        data = data[16 + size :]
