"""Every export is proven in its real runtime, and kept whole or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policies import WIDTHS, any_policy, random_policy, symmetric_policy

from tinyfly.contract import Channel, Contract, paper_contract
from tinyfly.errors import UserError
from tinyfly.observation import Observer
from tinyfly.policy import Policy
from tinyfly.state import SENSED
from tinyfly_export.bundle import bundle, export_bundle
from tinyfly_export.c import write_together
from tinyfly_export.formats import FORMATS, export
from tinyfly_export.integer_c import export_integer
from tinyfly_export.proof import plausible, prove

STATE_ONLY = Contract((Channel("position_error", 3), Channel("rotation", 9)), history_length=0)
POLICIES = st.builds(any_policy, st.sampled_from([STATE_ONLY, paper_contract()]), WIDTHS, st.booleans())


def test_golden_vectors_that_a_flight_could_hold_are_most_of_them(policy: Policy) -> None:
    assert 180 <= plausible(policy).sum() < 256


def test_a_runtime_that_differs_is_refused(policy: Policy) -> None:
    with pytest.raises(UserError, match=r"differs by up to 0\.5"):
        prove(policy, "onnx", "a runtime", lambda x: policy.act_exact(x) + np.float32(0.5), 1e-5)


def test_a_runtime_that_gives_nan_is_refused(policy: Policy) -> None:
    with pytest.raises(UserError, match="nan"):
        prove(policy, "onnx", "a runtime", lambda x: policy.act_exact(x) * np.float32(np.nan), 1e-5)


def test_an_unknown_format_is_refused_by_name(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'onxx'.*onnx"):
        export(policy, "onxx", tmp_path)


def test_nothing_is_written_when_the_proof_fails(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("tinyfly_export.onnx.BOUND", 0.0)
    with pytest.raises(UserError, match="nothing written"):
        export(policy, "onnx", tmp_path)
    assert not list(tmp_path.iterdir())


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policy=POLICIES)
def test_any_network_is_the_same_in_onnx_runtime(tmp_path: Path, policy: Policy) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (done,), contract = export(policy, "onnx", tmp_path), policy.contract
    model = onnx.load(done.files[0])
    names = [i.name for i in model.graph.input]
    assert names == (["action_history", "state"] if contract.history_length else ["state"])
    kept = {p.key: p.value for p in model.metadata_props}
    assert Contract.from_json(kept["contract"]) == contract
    assert int(kept["policy_crc32"], 16) == policy.crc32()


@settings(max_examples=6)
@given(policy=POLICIES)
def test_any_network_is_the_same_in_tflite_micro(policy: Policy) -> None:
    pytest.importorskip("tflite_micro")
    from tinyfly_export.tflite import export_tflite, export_tflite_int8

    files, (proof,) = export_tflite(policy)
    assert proof.max_error <= 1e-5
    assert files["policy.tflite"][4:8] == b"TFL3"
    files, (proof,) = export_tflite_int8(policy, policy.golden_observation[:, plausible(policy)])
    assert proof.max_error <= 0.2
    rows = sum(len(layer.bias) for layer in policy.layers)
    assert len(files["policy_int8.tflite"]) < policy.multiply_adds + 16 * rows + 16000  # a byte a weight


@settings(max_examples=4, deadline=None)
@given(policy=POLICIES)
def test_any_network_is_the_same_in_torch(policy: Policy) -> None:
    pytest.importorskip("torch")
    from tinyfly_export.torch import export_torch

    _, (proof,) = export_torch(policy)
    assert proof.max_error <= 1e-5


@pytest.mark.parametrize("compiler", [c for c in ("gcc", "clang") if shutil.which(c)])
@settings(max_examples=4, deadline=None)
@given(policy=POLICIES)
def test_any_network_is_the_same_in_the_c_bundle(compiler: str, policy: Policy) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", compiler)
        _, (proof,) = export_bundle(policy)
    assert (proof.runtime, proof.vectors, proof.max_error) == (compiler, 256, 0)


def test_one_folder_that_cannot_be_written_leaves_none_written(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyfly_export.formats.FORMATS", ("c", "c-int16"))
    (tmp_path / "c-int16").write_text("in the way")
    with pytest.raises(UserError, match="c-int16 cannot be written"):
        export(policy, "all", tmp_path)
    assert not list((tmp_path / "c").glob("*"))


def test_tflite_as_a_c_array_is_the_file(policy: Policy) -> None:
    pytest.importorskip("tflite_micro")
    from tinyfly_export.tflite import export_tflite

    files, _ = export_tflite(policy)
    source = files["policy_tflite.c"].decode()
    numbers = source.split("{", 1)[1].split("}")[0].replace("\n", " ").strip().rstrip(",").split(",")
    assert bytes(map(int, numbers)) == files["policy.tflite"]


def test_the_torch_module_trains_on_and_the_saved_program_runs(policy: Policy, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tinyfly_export.torch import to_torch

    module = to_torch(policy)
    x = policy.golden_observation[:, :8]
    y = module(torch.from_numpy(np.ascontiguousarray(x.T)))
    assert np.abs(y.detach().numpy().T - policy.act(x)).max() < 1e-5
    y.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_c_bundle_is_reproducible_byte_for_byte(policy: Policy) -> None:
    assert bundle(policy) == bundle(policy)


@pytest.fixture(scope="module", params=[random_policy, symmetric_policy], ids=["whole", "in modes"])
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy = request.param(paper_contract(), (24, 20))
    (done,) = export(policy, "c", tmp_path_factory.mktemp("bundle"))
    for bits in (16, 8):
        files, _ = export_integer(policy, policy.golden_observation[:, plausible(policy)], bits)
        write_together(done.files[0].parent, files)
    return done.files[0].parent


def test_the_c_bundle_builds_and_checks_itself_with_make(unpacked: Path, tmp_path: Path) -> None:
    shutil.copytree(unpacked, tmp_path / "away")
    done = subprocess.run(["make"], cwd=tmp_path / "away", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "256 of 256 golden vectors bit for bit" in done.stdout


STRICT = "-O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -c"
COMPILERS = [
    *("gcc -std=c99", "gcc -std=c11", "clang -std=c99", "clang -std=c11"),
    *("g++ -x c++ -std=c++17", "clang++ -x c++ -std=c++17"),
    *(
        f"arm-none-eabi-gcc -std=c99 -mthumb -mcpu={cpu}"
        for cpu in (
            "cortex-m0",
            "cortex-m3",
            "cortex-m4 -mfloat-abi=soft",
            "cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
            "cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -fno-omit-frame-pointer",
            "cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard",
        )
    ),
    "arm-none-eabi-g++ -x c++ -std=c++17 -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_compiles_without_a_warning(unpacked: Path, tmp_path: Path, compiler: str) -> None:
    if not shutil.which(compiler.split()[0]):
        pytest.skip(f"{compiler.split()[0]} is not installed")
    for source in ("policy.c", "policy_i16.c", "policy_i8.c"):
        command = [*compiler.split(), *STRICT.split(), source, "-o", str(tmp_path / "policy.o")]
        done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_c_bundle_keeps_its_bits_where_the_compiler_would_fuse(unpacked: Path, tmp_path: Path) -> None:
    if "fma" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no fused multiply-add")
    for compiler in ("gcc -std=gnu11", "clang"):
        command = [
            *compiler.split(),
            "-O3",
            "-mfma",
            "policy_check.c",
            "policy.c",
            "-o",
            str(tmp_path / "check"),
        ]
        subprocess.run(command, cwd=unpacked, check=True)
        assert subprocess.run([tmp_path / "check"], capture_output=True, check=False).returncode == 0


def test_the_c_bundle_flies_as_the_observer_and_the_policy_do(tmp_path: Path) -> None:
    policy = random_policy(paper_contract(rate_hz=200.0, history_rate_hz=100.0), (24,))
    (done,) = export(policy, "c", tmp_path)
    rng = np.random.default_rng(0)
    states = rng.standard_normal((12, SENSED.stop)).astype(np.float32)
    main = (
        '#include <stdio.h>\n#include "policy.h"\n'
        "int main(void) { static policy_t p; float m[4]; tf_state_t s;\n"
        "policy_init(&p); const tf_reference_t r = {{0}, {0}, {0}, {{0}}};\n"
        "for (uint32_t k = 0; fread(&s, sizeof s, 1, stdin); k++) { policy_step(&p, 5000 * k, &s, &r, m);\n"
        "fwrite(m, sizeof m, 1, stdout); } return 0; }\n"
    )
    folder = done.files[0].parent
    (folder / "main.c").write_text(main)
    subprocess.run(["cc", "-O2", "main.c", "policy.c", "-o", "fly"], cwd=folder, check=True)
    out = subprocess.run(["./fly"], cwd=folder, input=states.tobytes(), capture_output=True, check=True)
    motors = np.frombuffer(out.stdout, np.float32).reshape(-1, 4)
    observer = Observer(policy.contract, 1)
    for k, state in enumerate(states):
        observation = observer.observe(5000 * k, state[:, None], np.zeros((9, 1), np.float32))
        action = policy.act_exact(observation)
        observer.record(action)
        assert np.array_equal((action[:, 0] + np.float32(1)) * np.float32(0.5), motors[k])


def test_to_all_writes_every_format(policy: Policy, tmp_path: Path) -> None:
    for package in ("onnxruntime", "tflite_micro", "torch"):
        pytest.importorskip(package)
    done = export(policy, "all", tmp_path)
    assert [e.format for e in done] == list(FORMATS)
    assert all(f.exists() for e in done for f in e.files)
    assert all(p.max_error <= p.bound for e in done for p in e.proofs)
    assert json.dumps([p.runtime for e in done for p in e.proofs])
