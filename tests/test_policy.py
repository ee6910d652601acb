"""The policy file: what goes in comes out, and what is not one is refused in one line."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import random_policy

from tinyfly.activation import tanh_exact, tanh_table
from tinyfly.contract import Channel, Contract, paper_contract
from tinyfly.errors import UserError
from tinyfly.network import Layer
from tinyfly.policy import GOLDEN_VECTORS, Policy, write_atomically


@pytest.fixture(scope="module")
def saved(policy, tmp_path_factory):
    return policy.save(tmp_path_factory.mktemp("policy") / "a.policy")


def test_a_saved_policy_comes_back_bit_for_bit(policy, saved):
    again = Policy.load(saved)
    assert again.contract == policy.contract
    assert again.crc32() == policy.crc32()
    for a, b in zip(again.layers, policy.layers, strict=True):
        assert a.weight.tobytes() == b.weight.tobytes()
        assert a.bias.tobytes() == b.bias.tobytes()
    assert again.golden_action.tobytes() == policy.golden_action.tobytes()


def test_an_observation_that_is_no_column_is_refused(policy):
    for x in (
        np.zeros(policy.contract.size, np.float32),
        np.zeros((policy.contract.size - 1, 2), np.float32),
    ):
        for act in (policy.act, policy.act_exact):
            with pytest.raises(UserError, match=r"observations of shape .*: expected \(146, n\)"):
                act(x)


def test_policies_can_be_compared_and_kept_in_sets(policy, saved):
    assert policy == policy
    assert len({policy, Policy.load(saved)}) == 2  # the same bits, yet not the same object


def test_a_file_whose_last_bits_are_not_ours_is_refused(policy, tmp_path):
    other = replace(policy, golden_action=np.nextafter(policy.golden_action, np.float32(2)))
    with pytest.raises(UserError, match=r"made by another version of tinyfly, .*: train it again"):
        Policy.load(other.save(tmp_path / "old.policy"))


def test_saving_twice_gives_the_same_bytes(policy, saved, tmp_path):
    assert policy.save(tmp_path / "b.policy").read_bytes() == saved.read_bytes()


def test_the_exact_step_agrees_with_the_fast_one(policy):
    x = np.random.default_rng(1).standard_normal((policy.contract.size, 500), dtype=np.float32)
    assert np.abs(policy.act(x) - policy.act_exact(x)).max() < 1e-5


@pytest.mark.parametrize("columns", [1, 3, 8, 9])
def test_the_exact_step_has_the_same_bits_however_many_fly(policy, columns):
    x = 5 * np.random.default_rng(2).standard_normal((policy.contract.size, 72), dtype=np.float32)
    x[:, 3], x[5, 4] = np.inf, np.nan
    parts = [policy.act_exact(x[:, i : i + columns]) for i in range(0, 72, columns)]
    np.testing.assert_array_equal(np.concatenate(parts, 1).view("u4"), policy.act_exact(x).view("u4"))


def test_golden_vectors_are_finite_and_reach_the_extremes(policy):
    assert policy.golden_observation.shape[1] == GOLDEN_VECTORS
    assert np.isfinite(policy.golden_observation).all()
    assert np.isfinite(policy.golden_action).all()
    assert np.abs(policy.golden_observation).max() > 1e38


def test_the_crc_notices_one_flipped_bit_anywhere(policy):
    for i in range(len(policy.layers)):
        layers = list(policy.layers)
        weight = layers[i].weight.copy()
        weight.view(np.uint32).ravel()[7] ^= 1
        layers[i] = Layer(weight, layers[i].bias)
        assert Policy.create(policy.contract, tuple(layers), {}, {}).crc32() != policy.crc32()


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_gets_one_line_or_is_unharmed(saved, tmp_path_factory, data):
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, 1500))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "x.policy"
    path.write_bytes(content)
    try:
        Policy.load(path)
    except UserError as e:
        assert str(path) in str(e)
        assert "\n" not in str(e)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04 not a policy", b"{}", b"\xff" * 4096])
def test_a_foreign_file_is_named_and_refused(content, tmp_path):
    path = tmp_path / "foreign.policy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"foreign\.policy"):
        Policy.load(path)


def test_a_safetensors_file_of_another_kind_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.policy"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(UserError, match="not a tinyfly policy"):
        Policy.load(path)


def test_a_layer_of_another_kind_is_refused_by_name(saved, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load, save_file

    with safe_open(saved, "numpy") as f:
        metadata = f.metadata()
    tensors = load(saved.read_bytes()) | {"gru\n0.weight": np.zeros((3, 3), np.float32)}
    save_file(tensors, tmp_path / "p.policy", metadata)
    with pytest.raises(UserError, match=r"no part of tinyfly knows: 'gru\\n0\.weight'$"):
        Policy.load(tmp_path / "p.policy")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="tinyfly train"):
        Policy.load(tmp_path / "none.policy")


def test_a_network_that_does_not_fit_its_contract_is_refused():
    contract = paper_contract()
    wrong = Layer(np.zeros((4, 10), np.float32), np.zeros(4, np.float32))
    with pytest.raises(UserError, match="takes 10 inputs"):
        Policy.create(contract, (wrong,), {}, {})
    not_a_number = Layer(np.full((4, 146), np.nan, np.float32), np.zeros(4, np.float32))
    with pytest.raises(UserError, match="not finite"):
        Policy.create(contract, (not_a_number,), {}, {})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    target = tmp_path / "a.policy"
    target.write_bytes(b"old")
    monkeypatch.setattr(
        "os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(UserError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_strings_in_the_metadata_are_only_data(tmp_path):
    contract = Contract(channels=(Channel("rotation", 9),), history_length=0)
    rng = np.random.default_rng(0)
    layer = Layer(rng.standard_normal((4, 9)).astype(np.float32), np.zeros(4, np.float32))
    nasty = {"name": '"; system("x"); //\n\0'}
    p = Policy.create(contract, (layer,), nasty, {})
    assert Policy.load(p.save(tmp_path / "n.policy")).airframe == nasty


# ------------------------------------------------------------------------------------------------ activation


def test_tanh_is_within_4e_7_everywhere_it_is_sampled():
    x = np.concatenate([np.linspace(-10, 10, 1_000_001), np.geomspace(1e-30, 1e30, 10_001)]).astype(
        np.float32
    )
    assert np.abs(tanh_exact(x) - np.tanh(x.astype(np.float64))).max() < 4e-7


def test_tanh_is_odd_zero_at_zero_and_total():
    x = np.linspace(0, 12, 10_001, dtype=np.float32)
    assert (tanh_exact(-x) == -tanh_exact(x)).all()
    assert tanh_exact(np.float32([0.0])) == 0
    assert np.isfinite(tanh_exact(np.float32([np.nan, np.inf, -np.inf]))).all()


def test_the_tanh_table_is_the_same_on_every_machine():
    """A changed table changes every golden vector: the checksum changes only with the file version."""
    assert zlib.crc32(tanh_table().astype("<f4").tobytes()) == 0xE9F23781


def test_provenance_is_readable_json(saved):
    header = saved.read_bytes()
    n = int.from_bytes(header[:8], "little")
    metadata = json.loads(header[8 : 8 + n])["__metadata__"]
    assert json.loads(metadata["provenance"]) == {"seed": 0}


def test_a_policy_needs_no_hidden_layer():
    assert random_policy(paper_contract(), widths=()).multiply_adds == 4 * 146
