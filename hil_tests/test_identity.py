"""Is it the chip we think it is, and is it whole? A failure here: wrong image, or damaged flash."""

import pytest

from tinyfly_hil.protocol import name_of
from tinyfly_hil.target import Refused
from tinyfly_hil.world import LEVEL


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
    assert found.mismatches == 0 and 0 < found.vectors <= policy.golden_action.shape[1]


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
