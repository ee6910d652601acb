"""A policy in C is the policy: the same bits from every compiler, and nothing of its strings is code."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import SOURCES, Native
from policies import random_policy

from tinyfly.activation import tanh_exact
from tinyfly.contract import paper_contract
from tinyfly.errors import UserError
from tinyfly.network import Layer, act_exact
from tinyfly.policy import Policy
from tinyfly_export.c import CORE, TANH_HEADER, export_c, tanh_header
from tinyfly_export.c_source import numbers, string
from tinyfly_export.float_c import float_kernel
from tinyfly_export.native import FLAGS, compile_library

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]


@pytest.fixture(scope="module", params=COMPILERS)
def native(request: pytest.FixtureRequest) -> Native:
    return Native.build(request.param)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32))


@st.composite
def networks(draw: st.DrawFn) -> tuple[Layer, ...]:
    """1 to 4 layers, 1 to 256 wide, ending in four motors."""
    widths = draw(st.lists(st.integers(1, 256), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1e-3, 0.1, 1.0, 30.0]))
    shapes = list(zip([*widths[1:], 4], widths, strict=True))
    return tuple(
        Layer(
            (scale * rng.standard_normal(shape)).astype(np.float32),
            rng.standard_normal(shape[0]).astype(np.float32),
        )
        for shape in shapes
    )


def special_inputs(size: int) -> np.ndarray:
    """(size, 12): ordinary, subnormal, overflowing, infinite and not-a-number inputs."""
    x = np.random.default_rng(size).standard_normal((size, 12)).astype(np.float32)
    x[:, 4] *= np.float32(1e20)
    x[:, 5], x[:, 6], x[:, 7] = np.float32(1e-40), np.float32(3e38), np.float32(-0.0)
    x[0, 8], x[-1, 9], x[:, 10], x[0, 11] = np.nan, np.inf, -np.inf, np.uint32(0xFFC12345).view(np.float32)
    return x


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(layers=networks(), split=st.floats(0, 1))
def test_every_network_gives_the_same_bits_in_c_whole_or_split(
    native: Native, layers: tuple[Layer, ...], split: float
) -> None:
    x = special_inputs(layers[0].weight.shape[1])
    expected = act_exact(layers, x)
    assert same_bits(native.act(layers, x), expected)
    assert same_bits(native.act(layers, x, n_old=int(split * x.shape[0])), expected)


@settings(max_examples=500)
@given(bits=st.integers(0, 2**32 - 1))
def test_tanh_has_the_same_bits_for_any_float(native: Native, bits: int) -> None:
    x = np.array([bits], np.uint32).view(np.float32)
    assert np.float32(native.tanh(float(x[0]))).view(np.uint32) == tanh_exact(x).view(np.uint32)[0]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_tanh_keeps_its_bound_on_a_million_floats(tmp_path: Path, compiler: str) -> None:
    program = tmp_path / "tanh_bound"  # without the stride it takes all 2^32: `make prove`
    source = CORE.parents[1] / "benchmarks" / "tanh_bound.c"
    command = [compiler, *FLAGS, f"-I{CORE}", str(source), str(CORE / "tf_tanh.c"), "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program, "4099"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_tanh_is_total(native: Native) -> None:
    largest = native.tanh(np.inf)
    assert 1 - 3e-7 < largest <= 1
    assert native.tanh(-np.inf) == -largest
    assert native.tanh(np.nan) == native.tanh(-np.nan) == largest
    assert native.tanh(0.0) == native.tanh(-0.0) == 0


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("optimise", ["-O0", "-O3"])
def test_generated_c_reproduces_every_golden_vector(
    policy: Policy, tmp_path: Path, compiler: str, optimise: str
) -> None:
    _, source = export_c(policy, tmp_path)
    library = compile_library(
        [*SOURCES, source], [CORE, tmp_path], compiler, (*FLAGS, optimise, "-Wpedantic")
    )
    network = ctypes.byref(ctypes.c_char.in_dll(library, "tf_policy_network"))
    inputs = policy.contract.size
    observation = np.ctypeslib.as_array(
        (ctypes.c_float * (256 * inputs)).in_dll(library, "tf_golden_observation")
    )
    expected = np.ctypeslib.as_array((ctypes.c_float * 1024).in_dll(library, "tf_golden_action")).reshape(
        256, 4
    )
    assert same_bits(observation.reshape(256, inputs), policy.golden_observation.T)
    assert same_bits(expected, policy.golden_action.T)
    for x, a in zip(observation.reshape(256, inputs), expected, strict=True):
        got = np.empty(4, np.float32)
        library.tf_network_step(network, ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(got.ctypes.data))
        assert same_bits(got, a)


def test_the_stated_checksum_is_over_the_constants_in_the_image(policy: Policy, tmp_path: Path) -> None:
    header, source = export_c(policy, tmp_path, golden=1)
    library = compile_library([source], [CORE, tmp_path])
    macro = dict(re.findall(r"#define (\w+) (\S+)", header.read_text()))
    constants = float_kernel(policy).constants
    image = bytes((ctypes.c_char * len(constants)).in_dll(library, "tf_policy_constants"))
    assert image == constants
    assert zlib.crc32(image) == int(macro["TF_WEIGHTS_CRC32"].rstrip("u"), 16)
    assert int(macro["TF_POLICY_CRC32"].rstrip("u"), 16) == policy.crc32()
    assert int(macro["TF_CONTRACT_HASH"].rstrip("ul"), 16) == policy.contract.hash()


def test_the_checksum_covers_the_contract(policy: Policy, tmp_path: Path) -> None:
    other = random_policy(paper_contract(rate_hz=200.0))
    texts = [export_c(p, tmp_path / str(i), golden=1)[0].read_text() for i, p in enumerate((policy, other))]
    checksums = [re.search(r"TF_WEIGHTS_CRC32 (\w+)", text)[1] for text in texts]
    assert checksums[0] != checksums[1]


def test_export_is_reproducible_byte_for_byte(policy: Policy, tmp_path: Path) -> None:
    first, second = export_c(policy, tmp_path / "a"), export_c(policy, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_fewer_golden_vectors_still_span_ordinary_to_extreme(policy: Policy, tmp_path: Path) -> None:
    _, source = export_c(policy, tmp_path, golden=6)
    library = compile_library([source], [CORE, tmp_path])
    inputs = policy.contract.size
    kept = np.ctypeslib.as_array((ctypes.c_float * (6 * inputs)).in_dll(library, "tf_golden_observation"))
    assert same_bits(kept.reshape(6, inputs), policy.golden_observation.T[[0, 51, 102, 153, 204, 255]])


@pytest.mark.parametrize("golden", [0, -1, 257])
def test_an_impossible_number_of_golden_vectors_is_refused(
    policy: Policy, tmp_path: Path, golden: int
) -> None:
    with pytest.raises(UserError, match="1 to 256"):
        export_c(policy, tmp_path, golden=golden)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_one_clear_line(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        export_c(policy, tmp_path / "file")


@settings(max_examples=100)
@given(text=st.text(max_size=40))
def test_no_text_escapes_its_string_literal(text: str) -> None:
    literal = string(text, 23)
    assert re.fullmatch(r'"([A-Za-z0-9 _.,:+=()-]|\\[0-3][0-7]{2})*"', literal)
    decoded = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), literal[1:-1].encode()).decode()
    assert text.startswith(decoded) and len(decoded.encode()) <= 23
    assert text == decoded or len(decoded.encode()) >= 20


def test_a_hostile_name_stays_a_string(policy: Policy, tmp_path: Path) -> None:
    name = '"\n#error ??/ \\'
    _, source = export_c(policy, tmp_path, golden=1, name=name)
    probe = tmp_path / "probe.c"
    probe.write_text('#include "tf_policy_data.h"\nconst char name[] = TF_POLICY_NAME;\n')
    library = compile_library([probe, source], [CORE, tmp_path])
    assert ctypes.c_char_p(ctypes.addressof(ctypes.c_char.in_dll(library, "name"))).value == name.encode()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_c_numbers_lose_no_bit(values: list[float]) -> None:
    text = numbers(np.array(values, np.float32))
    assert [float.fromhex(t.rstrip("f")) for t in text] == values
    assert all(
        np.signbit(float.fromhex(t.rstrip("f"))) == np.signbit(v) for t, v in zip(text, values, strict=True)
    )


def test_the_committed_tanh_table_is_the_definition() -> None:
    assert TANH_HEADER.read_text() == tanh_header(), "run `python -m tinyfly_export.c`"


def test_the_headers_refuse_fast_math() -> None:
    command = ["cc", "-std=c11", "-ffast-math", "-fsyntax-only", f"-I{CORE}", str(CORE / "tf_network.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "-ffast-math" in done.stderr
