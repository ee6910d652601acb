"""Faults as a library: they read as they are written, repeat by seed, and shrink to a failure's cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfly.errors import UserError
from tinyfly_hil import campaign, faults
from tinyfly_hil.faults import CHIP, KINDS, Fault, Injector, parse, show
from tinyfly_hil.world import LEVEL


def test_a_failure_shrinks_to_its_cause():
    sequence = parse("drop=0.5,nan=1@0.2s..1.8s,flood=100,delay=30ms@0.1s..1.9s")

    def fails(candidate):  # whenever a NaN comes at 1.2 s
        return any(f.kind == "nan" and f.active(1.2) for f in candidate)

    shrunk = campaign.shrink(sequence, fails)
    assert [f.kind for f in shrunk] == ["nan"]
    assert fails(shrunk) and shrunk[0].end_s - shrunk[0].start_s < 0.02


def test_shrinking_stops_when_its_runs_are_spent():
    asked = []
    sequence = parse("nan=1@0s..2s,inf=1@0s..2s")
    campaign.shrink(sequence, lambda candidate: bool(asked.append(candidate)) or True, runs=5)
    assert len(asked) == 5


@given(st.integers(0, 10_000))
def test_faults_read_as_they_are_written(seed):
    sequence = campaign.draw(seed)
    assert show(parse(show(sequence))) == show(sequence)


@given(st.integers(0, 1000))
def test_the_same_seed_gives_the_same_bytes_and_faults_do_not_disturb_each_other(seed):
    def wire(text):
        injector = Injector(parse(text), seed)
        frames = (bytes([k % 255 + 1]) * 60 + b"\0" for k in range(20))
        return [injector.carry(k * 0.01, LEVEL, lambda state, age, f=f: f) for k, f in enumerate(frames)]

    assert wire("corrupt=0.5,drop=0.3") == wire("corrupt=0.5,drop=0.3")
    with_drop, without = wire("corrupt=0.5,drop=0.3"), wire("corrupt=0.5")
    assert all(a in (b, b"") for a, b in zip(with_drop, without, strict=True))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dorp=0.1", "fault 'dorp=0.1' does not read"),
        ("drop=2", "drop takes 0..1"),
        ("drop=5ms", "the value of drop is a plain number"),
        ("delay=30", "the value of delay is a time such as 30ms"),
        ("nan@2s..1s", "its end must follow its start"),
        ("drop=1e", "not a number"),
    ],
)
def test_a_fault_that_does_not_read_is_refused(text, complaint):
    with pytest.raises(UserError, match=complaint.replace(".", r"\.")):
        parse(text)


def test_every_kind_of_fault_does_something():
    for kind in KINDS.keys() - CHIP.keys():
        clean, faulty = [], []
        for injector, out in ((Injector(()), clean), (Injector((Fault(kind, KINDS[kind][1]),)), faulty)):
            for k in range(200):
                told = injector.sense(k * 0.01, LEVEL + k % 7)
                frame = told.tobytes().replace(b"\0", b"\1") + b"\0"
                out.append(injector.carry(k * 0.01, told, lambda state, age, f=frame: f))
        assert clean != faulty, kind
    assert set(faults.KINDS) == set(faults.LINK) | set(faults.SENSORS) | set(faults.CHIP)
