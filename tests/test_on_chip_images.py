"""The on-chip benchmark times an image that somebody else linked, and refuses one whose answers are wrong."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from policies import random_policy

from tinyfly.contract import Channel, Contract
from tinyfly.errors import UserError
from tinyfly.policy import Policy

pytest.importorskip("unicorn")
pytest.importorskip("capstone")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def on_chip(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("on_chip")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / "on_chip.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def image(tmp_path: Path, policy: Policy, extra: str = "", wrong: str = "0") -> Path:
    """A plain loop over the policy, linked as a stranger would link their runtime."""
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("arm-none-eabi-gcc is not installed")
    from chip_variants import plain_loop

    from tinyfly_export.cortex_m import build

    (source,) = plain_loop(policy, tmp_path)
    text = source.read_text().replace("= tanhf(s);", f"= tanhf(s) + ({wrong});")
    source.write_text(text + extra)
    return build([source], [], tmp_path / "a stranger's.elf", "M4F", "-O2")


@pytest.mark.parametrize("content", [None, "empty", "text"])
def test_a_folder_without_a_usable_image_gives_one_line(tmp_path: Path, policy: Policy, content) -> None:
    file = policy.save(tmp_path / "a.policy")
    folder = tmp_path / "images"
    if content is not None:
        (folder / "M4F").mkdir(parents=True)
    if content == "text":
        (folder / "M4F/mine.elf").write_text("no ELF")
    p = run(file, "--images", folder)
    assert p.returncode == 2
    assert len(p.stderr.splitlines()) == 1 and str(folder) in p.stderr, p.stderr


def test_images_without_their_policy_give_one_line(tmp_path: Path) -> None:
    p = run("--images", tmp_path)
    assert p.returncode == 2
    assert p.stderr == "on_chip.py: --images holds images of one policy: name that POLICY, and no other\n"


def test_an_image_is_a_row_and_so_is_each_of_its_other_functions(
    tmp_path: Path, policy: Policy, on_chip: ModuleType
) -> None:
    extra = '\n__attribute__((used, section(".text.bench"))) void bench_copy(void) { bench_input[0] = 1; }\n'
    rows = on_chip.measure_image(policy, image(tmp_path, policy, extra), "M4F")
    names, instructions = [r[0] for r in rows], [int(r[1].replace(",", "")) for r in rows]
    assert names == ["a stranger's", "a stranger's, copy"]
    assert instructions[0] > policy.multiply_adds > instructions[1] > 0
    assert float(rows[0][-1]) < 1e-5 and rows[1][-1] == ""


@pytest.mark.parametrize("wrong", ["0.3f", '__builtin_nanf("")'])
def test_an_image_with_wrong_actions_is_refused(
    tmp_path: Path, policy: Policy, on_chip: ModuleType, wrong: str
) -> None:
    with pytest.raises(UserError, match="not this policy"):
        on_chip.measure_image(policy, image(tmp_path, policy, wrong=wrong), "M4F")


def test_an_image_of_another_shape_is_refused(tmp_path: Path, policy: Policy, on_chip: ModuleType) -> None:
    other = random_policy(Contract((Channel("position_error", 3), Channel("rotation", 9)), history_length=0))
    with pytest.raises(UserError, match=r"bench_input is not the 48 bytes"):
        on_chip.measure_image(other, image(tmp_path, policy), "M4F")


def test_an_image_that_crashes_is_refused(tmp_path: Path, policy: Policy, on_chip: ModuleType) -> None:
    crash = (
        '\n__attribute__((used, section(".text.bench"))) void bench_setup(void)'
        " { *(volatile int *)0x40000000 = 1; }\n"
    )
    with pytest.raises(UserError, match="bench_setup did not return"):
        on_chip.measure_image(policy, image(tmp_path, policy, crash), "M4F")
