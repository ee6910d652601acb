"""Is it the chip we think it is, and is it whole? A failure here: wrong image, or damaged flash."""

import pytest

from tinyfly_hil.build import board
from tinyfly_hil.damage import flip
from tinyfly_hil.protocol import name_of
from tinyfly_hil.target import Refused
from tinyfly_hil.world import LEVEL


def state(body):
    return name_of("state", body.state)


def reason_of(body):
    return name_of("reason", body.reason)


def test_the_chip_carries_this_policy_and_contract(target, policy):
    i = target.identity
    assert (i.policy_crc, i.contract_hash) == (policy.crc32(), policy.contract.hash())
    assert (i.inputs, i.rate_hz) == (policy.contract.size, policy.contract.rate_hz)


def test_the_chip_starts_disarmed_with_its_motors_off(target):
    assert name_of("state", target.identity.state) == "disarmed"
    assert not target.tick(0).motors.any()


def test_self_test_compares_every_golden_vector_and_finds_none_different(target, policy):
    found = target.self_test()
    assert name_of("reason", found.reason) == "none"
    in_the_image = board(target.identity.target)["build"]["golden_vectors"]
    assert (found.mismatches, found.vectors) == (0, min(in_the_image, policy.golden_action.shape[1]))


def test_every_boot_has_another_nonce(target):
    nonces = {target.identity.boot_nonce} | {target.restart().boot_nonce for _ in range(3)}
    assert len(nonces) == 4


OTHERS = {"boot_nonce": "bad_nonce", "policy_crc": "policy_crc", "contract_hash": "contract_mismatch"}


@pytest.mark.parametrize(("field", "reason"), OTHERS.items(), ids=OTHERS)
def test_an_arm_that_does_not_match_is_refused_by_name(target, field, reason):
    with pytest.raises(Refused) as refusal:
        target.arm(**{field: getattr(target.identity, field) ^ 1})
    assert (refusal.value.reason, refusal.value.state) == (reason, "disarmed")


def test_an_arm_without_half_a_second_of_good_states_is_refused(target):
    target.lock_step()
    with pytest.raises(Refused) as refusal:
        target.arm()
    assert refusal.value.reason == "stale_state"
    for k in range(40):
        target.step(10_000 * k, LEVEL)
    with pytest.raises(Refused) as refusal:
        target.arm()
    assert refusal.value.reason == "link_not_settled"


DAMAGES = {
    "a bit of the weights": ("tf_policy_constants", 1000, 0, "policy_crc"),
    "the last bit of a golden action": ("tf_golden_action", 0, 0, "golden_mismatch"),
    "the last bit of the last of them": ("tf_golden_action", -4, 0, "golden_mismatch"),
    "the network's inputs": ("tf_policy_network", 0, 1, "contract_mismatch"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_an_image_with_a_damage_is_refused_and_stays_refused(target, open_port, tmp_path, what):
    if target.build is None:
        pytest.skip("flash on a board is not damaged for a test")
    symbol, byte, bit, reason = DAMAGES[what]
    image = flip(target.build.elf, symbol, byte, bit, tmp_path / "damaged.elf")
    with open_port(target.with_image(image)) as damaged:
        assert (state(damaged.identity), reason_of(damaged.identity)) == ("refused", reason)
        for request in (damaged.arm, damaged.disarm):
            with pytest.raises(Refused) as refusal:
                request()
            assert (refusal.value.reason, refusal.value.state) == (reason, "refused")
        assert not damaged.tick(0).motors.any()
        found = damaged.self_test()
        assert (state(found), reason_of(found)) == ("refused", reason)
        assert found.mismatches == (reason == "golden_mismatch")
