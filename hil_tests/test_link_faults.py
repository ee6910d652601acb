"""What happens when the line fails? A failure here: framing, sequence numbers, time-outs, supervisor."""

import pytest

from tinyfly_hil import protocol
from tinyfly_hil.faults import LINK, Injector, parse
from tinyfly_hil.flight import Chip, FaultyChip, fly, lift
from tinyfly_hil.protocol import name_of
from tinyfly_hil.target import Refused
from tinyfly_hil.world import LEVEL, Scenario

HOVER = Scenario("hover", 1.5)


def flown(target, faults, scenario=HOVER, seed=0):
    """A flight with faults; nothing that must hold may have been broken."""
    chip = FaultyChip(target, Injector(parse(faults), seed))
    flight = fly(scenario, chip)
    assert chip.broken == []
    return flight, chip


def state(control):
    return name_of("state", control.state), name_of("reason", control.reason)


def test_link_loss_levels_at_100_ms_and_cuts_the_motors_at_500_ms(target):
    control = lift(target, HOVER, LEVEL)
    lost = control.time_us
    seen = {}
    for late_us in (1_000, 99_999, 100_000, 499_999, 500_000, 500_001):
        control = target.tick(lost + late_us)
        seen[late_us] = (*state(control), bool(control.motors.any()))
    assert seen == {
        1_000: ("flying", "none", True),
        99_999: ("flying", "none", True),
        100_000: ("degraded", "stale_state", True),
        499_999: ("degraded", "stale_state", True),
        500_000: ("failsafe", "link_lost", False),
        500_001: ("failsafe", "link_lost", False),
    }


def test_after_link_loss_nothing_turns_until_states_settle_and_it_is_armed_again(target):
    lost = lift(target, HOVER, LEVEL).time_us + 600_000
    target.tick(lost)
    for k in range(100):
        assert not target.step(lost + 10_000 * k, LEVEL).motors.any()
    with pytest.raises(Refused) as refusal:
        target.arm()
    assert refusal.value.reason == "not_disarmed"
    target.disarm()
    target.arm()
    assert state(target.step(lost + 1_010_000, LEVEL)) == ("armed", "none")


def test_stop_turns_the_motors_off_at_once_and_for_good(target):
    now = lift(target, HOVER, LEVEL).time_us
    target.stop()
    for k in range(1, 20):
        control = target.step(now + 10_000 * k, LEVEL)
        assert not control.motors.any() and name_of("state", control.state) == "stopped"


def test_a_lone_stop_frame_works_whatever_its_sequence_number(target):
    now = lift(target, HOVER, LEVEL).time_us
    target.link.write(protocol.encode("stop", 1))  # long past, by its number
    assert not target.tick(now + 10_000).motors.any()


@pytest.mark.parametrize("noise", [b"\xff", b"\x01", b"\x05ab"])
def test_noise_on_the_idle_line_does_not_cost_the_frame_behind_it(target, noise):
    now = lift(target, HOVER, LEVEL).time_us
    before = target.stats()
    target.link.write(noise)
    assert state(target.step(now + 10_000, LEVEL)) == ("flying", "none")
    target.link.write(noise)
    number = target.link.send("stop")
    target.link.wait(lambda f: f.sequence == number, "stop")
    assert target.stats().bad_frame - before.bad_frame == 2  # the noise, and nothing else


def test_another_program_s_question_does_not_end_a_flight(target):
    now = lift(target, HOVER, LEVEL).time_us
    for ahead in (100, 1000, 0x7FFF):  # by number newer than ours
        target.link.write(protocol.encode("hello", (target.link.sequence + ahead) & 0xFFFF))
    target.link.write(protocol.seal(bytes([protocol.VERSION, 0x7E, 0xFF, 0x7F])))  # of no type that we know
    for k in range(1, 20):
        assert state(target.step(now + 10_000 * k, LEVEL)) == ("flying", "none")


def test_a_replayed_arm_frame_does_nothing(target):
    lift(target, HOVER, LEVEL)
    identity = target.identity
    target.stop()
    target.disarm()
    arm = {"policy_crc": identity.policy_crc, "contract_hash": identity.contract_hash}
    target.link.write(protocol.encode("arm", 3, boot_nonce=identity.boot_nonce, **arm))
    assert name_of("state", target.identify().state) == "disarmed"


def test_lost_states_up_to_100_ms_are_flown_through(target):
    flight, chip = flown(target, "drop=1@0.5s..0.58s,duplicate=0.5,reorder=0.1@1s..1.2s")
    assert chip.watch.state == "flying"
    assert flight.error_m[-1] < 0.2


SPECS = {kind: f"{kind}=0.3" for kind in LINK} | {
    "noise": "noise=0.01",
    "flood": "flood=200",
    "delay": "delay=30ms@0.5s..0.9s",
    "stall": "stall@0.5s..0.8s",
}


def test_the_supervisor_does_what_its_specification_says_when_all_goes_wrong_at_once(target):
    flown(target, "drop=0.1,corrupt=0.1,truncate=0.1,duplicate=0.1,reorder=0.1,flood=50")


@pytest.mark.thorough
@pytest.mark.parametrize("faults", SPECS.values(), ids=SPECS)
def test_the_supervisor_does_what_its_specification_says_under(target, faults):
    flown(target, faults)


def test_a_reset_asked_for_in_flight_is_refused_and_the_flight_goes_on(target):
    flight, chip = flown(target, "reset@0.5s,reset@0.7s")
    assert chip.watch.state == "flying"
    assert flight.error_m[-1] < 0.2


@pytest.mark.parametrize("kind", ["power", "brown_out"])
def test_a_chip_that_lost_its_power_in_flight_stays_off(target, kind):
    _, chip = flown(target, f"{kind}@0.5s", Scenario("hover", 1.0))
    assert all(not c.motors.any() for c in chip.controls[50:])
    assert name_of("state", chip.controls[-1].state) == "disarmed"


def test_every_damaged_frame_is_counted(target):
    before = target.stats()
    good = protocol.encode("hello", 9)
    content = bytearray(protocol.cobs.decode(good[:-1]))
    content[-1] ^= 1
    target.link.write(protocol.cobs.encode(bytes(content)) + b"\0")  # CRC
    target.link.write(protocol.seal(bytes([protocol.VERSION + 1, 1, 0, 0])))  # another version
    target.link.write(b"\x05\x01\0")  # not COBS
    after = target.stats()
    found = {k: getattr(after, k) - getattr(before, k) for k in ("bad_crc", "bad_version", "bad_frame")}
    assert found == {"bad_crc": 1, "bad_version": 1, "bad_frame": 1}


def test_frames_numbered_around_the_end_are_neither_old_nor_missed(target):
    target.link.start_over(after=65_530)  # 11 minutes of a flight
    target.identify()
    before = target.stats()
    for _ in range(10):
        target.lock_step()
    after = target.stats()
    assert target.link.sequence == 8
    assert (after.sequence_gaps, after.duplicates) == (before.sequence_gaps, before.duplicates)


def test_no_frame_is_lost_in_a_clean_flight(target):
    fly(HOVER, Chip(target))
    stats = target.stats()
    troubles = stats.bad_crc, stats.bad_frame, stats.sequence_gaps, stats.overruns, stats.stale
    assert not any(troubles)
