"""The command line as a user or a script meets it. Each test is one process, as theirs is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfly import seeds
from tinyfly.cli import main
from tinyfly.cli.policies import Evaluate
from tinyfly.console import show_table
from tinyfly.policy import Policy

COMMANDS = ("fly", "train", "evaluate", "export", "build", "hil", "report", "flash", "doctor")


def tinyfly(*args: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tinyfly", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    p = tinyfly(command, "--help")
    assert p.returncode == 0
    assert "--json" in p.stdout


def test_ctrl_c_while_it_still_imports_ends_it_without_a_traceback():
    hasty = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever this test's own process inherited
class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == "tinyfly.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
from tinyfly.__main__ import main
main()
"""
    p = subprocess.run(
        [sys.executable, "-c", hasty], capture_output=True, text=True, check=False, timeout=120
    )
    assert (p.returncode, p.stderr) == (-signal.SIGINT, "")


def test_a_start_loads_no_checker_that_its_flags_do_not_need():
    """tyro would load typeguard for `Path | None`: a tenth of the half second that training takes."""
    code = "import sys; from tinyfly.cli import _parse; _parse(['train']); print('typeguard' in sys.modules)"
    p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert p.stdout.strip() == "False"


def test_the_overview_names_every_command():
    p = tinyfly("--help")
    assert p.returncode == 0
    assert all(command in p.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train --sed 1", "--sed 1 is unknown, --seed or --seeds is not; see tinyfly train --help"),
        ("train --seed 1.5", "--seed 1.5: expected a whole number"),
        ("train --budget soon", "--budget soon: expected a number"),
        ("train --task foo", "--task foo: expected one of crazyflie, paper, tracking"),
        ("export P --to foo", "--to foo: expected one of c, c-int16, c-int8, onnx, tflite, torch, all"),
        ("hil P --port", "--port has no value after it; see tinyfly hil --help"),
        ("hil", "POLICY is missing; see tinyfly hil --help"),
        ("hil P Q", "Q is unknown; see tinyfly hil --help"),
        ("--fast", "--fast is unknown; see tinyfly --help"),
        ("flie", f"no command 'flie': expected one of {', '.join(COMMANDS)}"),
    ],
)
def test_a_wrong_flag_is_one_line_with_what_was_given_and_what_is_expected(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    assert end.value.code == 2
    assert capsys.readouterr() == ("", f"tinyfly: {said}\n")


def in_a_shell(words, tools=True):
    """A command line with redirections; without ``tools`` on the PATH, `tinyfly doctor` has failed."""
    return subprocess.run(
        [shutil.which("bash"), "-c", f'"{sys.executable}" -m tinyfly {words}'],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | ({} if tools else {"PATH": "/nowhere"}),
    )


@pytest.mark.parametrize("form", ["", "--json"])
def test_the_exit_code_is_the_result_s_when_nobody_reads_it(form):
    failed = in_a_shell(f"doctor {form} | :; exit ${{PIPESTATUS[0]}}", tools=False)
    assert (failed.returncode, failed.stderr) == (1, "")
    good = in_a_shell(f"export --help {form} | :; exit ${{PIPESTATUS[0]}}")
    assert (good.returncode, good.stderr) == (0, "")


def test_a_table_that_nobody_reads_is_no_failure(policy, tmp_path):
    path = policy.save(tmp_path / "a.policy")
    p = in_a_shell(f"evaluate '{path}' --episodes 4 | :; exit ${{PIPESTATUS[0]}}")
    assert (p.returncode, p.stderr) == (0, "")


@pytest.mark.parametrize("stdout", [">/dev/full", ">&-"])
@pytest.mark.parametrize("form", ["", "--json"])
def test_a_result_that_cannot_be_written_is_one_line_and_never_exit_code_0(stdout, form):
    if stdout == ">/dev/full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    failed = in_a_shell(f"doctor {form} {stdout}", tools=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("tinyfly: the result cannot be written: ")
    assert failed.stderr.count("\n") == 1
    assert in_a_shell(f"--help {stdout}").returncode == 2


@pytest.mark.parametrize("command", ["evaluate", "export", "build", "hil", "report", "flash", "fly"])
def test_a_missing_policy_is_one_line_and_exit_code_2(command, tmp_path):
    p = tinyfly(command, "none.policy", "--json", cwd=tmp_path)
    assert p.returncode == 2
    assert p.stdout == ""
    assert "none.policy does not exist" in p.stderr.splitlines()[-1]


def test_an_unknown_airframe_is_named_with_those_that_exist(policy, tmp_path):
    policy.save(tmp_path / "a.policy")
    p = tinyfly("evaluate", "a.policy", "--airframe", "zeppelin", cwd=tmp_path)
    assert p.returncode == 2
    assert "zeppelin" in p.stderr
    assert "cf2x_L250" in p.stderr


def test_evaluate_prints_exactly_one_json_object_with_the_promised_keys(policy, tmp_path):
    policy.save(tmp_path / "a.policy")
    p = tinyfly("evaluate", "a.policy", "--episodes", "4", "--json", cwd=tmp_path)
    assert p.returncode == 0, p.stderr
    r = json.loads(p.stdout)
    assert {"policy", "airframe", "episodes", "results"} <= r.keys()
    assert [row["latency_ms"] for row in r["results"]] == [0, 10, 20]
    for row in r["results"]:
        assert {"survival", "hover_error_m", "figure_eight_rmse_m"} <= row.keys()
        assert 0 <= row["survival"] <= 1


def test_one_thread_computes_whatever_the_shell_says(monkeypatch):
    """With two, the same seed gives other bytes."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    code = "import tinyfly.cli, os; print(os.environ['OPENBLAS_NUM_THREADS'])"
    p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert p.stdout == "1\n"


def test_the_share_of_lost_flights_stands_beside_the_survivors_error(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    none_left = {"figure_eight_rmse_m": 2.0, "figure_eight_rmse_m_ci": [np.nan] * 2}
    some_left = {"figure_eight_rmse_m": 0.475, "figure_eight_rmse_m_ci": [0.4, 0.5]}
    hover = {"survival": 0.99, "hover_error_m": 0.01, "hover_error_m_ci": [0.009, 0.011]}
    rows = [
        {"latency_ms": 0, **hover, **some_left, "figure_eight_survival": 0.6},
        {"latency_ms": 20, **hover, **none_left, "figure_eight_survival": 0.0},
    ]
    Evaluate.show({"policy": "p", "airframe": "a", "episodes": 9, "results": rows})
    some, none = (line for line in capsys.readouterr().out.splitlines() if "ms" in line)
    assert "475.0 mm (400.0 to 500.0), 40 % lost" in some
    assert "10.0 mm (9.0 to 11.0)" in none
    assert "2000" not in none and none.count("lost") == 1


def test_doctor_lists_what_a_build_needs():
    p = tinyfly("doctor", "--json")
    found = {f["what"]: f for f in json.loads(p.stdout)["findings"]}
    assert {"arm-none-eabi-gcc", "qemu-system-arm", "newlib", "numpy"} <= found.keys()
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for dependency in project["dependencies"]:
        assert found[re.match(r"[\w-]+", dependency)[0]]["required"]
    assert all(f["found"] or f["install"] for f in found.values())


def test_a_table_shows_square_brackets_as_they_are(capsys):
    show_table("t", ("what", "found"), [("torch", "pip install -e '.[torch]'")])
    assert "'.[torch]'" in capsys.readouterr().out


def test_without_the_compiler_a_build_says_how_to_get_it_at_once(policy, tmp_path, monkeypatch):
    policy.save(tmp_path / "a.policy")
    monkeypatch.setenv("PATH", str(tmp_path))
    p = tinyfly("build", "a.policy", cwd=tmp_path)
    assert p.returncode == 2
    assert "arm-none-eabi-gcc is missing" in p.stderr
    assert "install" in p.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("train", "--seed", "-1"), "--seed -1"),
        (("train", "--out", "file/a.policy"), "file is not a folder"),
        (("train", "--out", "folder.policy"), "folder.policy is a folder"),
        (("train", "--out", "x" * 300), "File name too long"),
        (("train", "--airframe", "."), "does not read as an airframe"),
        (("train", "--log-dir", "file"), "file is not a folder"),
        (("train", "--algorithm", "td3"), "learns --task paper"),
        (("train", "--task", "paper", "--algorithm", "td3", "--budget", "1"), "it has no --budget"),
        (("evaluate", "file"), "file is not a tinyfly policy"),
        (("evaluate", "folder.policy"), "folder.policy is not a tinyfly policy"),
        (("evaluate", "a.policy", "--episodes", "0"), "0 episodes"),
        (("evaluate", "a.policy", "--plant", "nowhere"), "no plant 'nowhere'"),
        (("report", "a.policy", "--out", "folder.policy"), "folder.policy is a folder"),
        (("report", "a.policy", "--hil", "file"), "file is not the JSON summary"),
        (("export", "a.policy", "--out", "file"), "file/c cannot be written"),
        (("build", "a.policy", "--target", "toaster"), "unknown target 'toaster'"),
        (("hil", "a.policy", "--campaign", "-1"), "--campaign -1"),
        (("hil", "a.policy", "--faults", "drop=0.1", "--seed", "-1"), "--seed -1"),
        (("hil", "a.policy", "--free-run", "nan"), "--free-run nan"),
        (("hil", "a.policy", "--campaign", "0"), "--campaign 0: expected 1 to"),
        (("hil", "a.policy", "--free-run", "0"), "--free-run 0: expected 1 to"),
        (("hil", "a.policy", "--log", "file"), "file is a file"),
        (("hil", "a.policy", "--log", "file/logs"), "file/logs cannot be written: file is not a folder"),
        (("hil", "a.policy", "--junit", "folder.policy"), "folder.policy is a folder"),
        (("hil", "a.policy", "--junit", "file/hil.xml"), "file/hil.xml cannot be written"),
        (("hil", "a.policy", "--faults", ","), "--faults ',': no fault in it"),
        (("hil", "a.policy", "--faults", ""), "--faults '': no fault in it"),
        (("hil", "a.policy", "--faults", "nan", "--junit", "x"), "--junit has no meaning with --faults"),
        (("hil", "a.policy", "--faults", "nan", "--select", "x"), "--select has no meaning with --faults"),
        (("hil", "a.policy", "--faults", "nan", "--thorough"), "--thorough has no meaning with --faults"),
        (("hil", "a.policy", "--campaign", "3", "--log", "x"), "it is for --faults and the suite"),
        (("hil", "a.policy", "--image", "file", "--thorough"), "--thorough has no meaning with --image"),
        (("hil", "a.policy", "--free-run", "2", "--seed", "3"), "it is for --faults and --campaign"),
        (("hil", "a.policy", "--select", "and and"), "--select 'and and' is no expression such as"),
        (("hil", "a.policy", "--seed", "3"), "--seed has no meaning with the suite"),
        (("build", "a.policy", "--crazyflie-base", "."), "--crazyflie-base is for --target crazyflie"),
        (("flash", "a.policy", "--port", "x", "--crazyflie-base", "."), "--crazyflie-base is for --radio"),
        (("flash", "a.policy", "--radio", "x", "--target", "host"), "--target is for --port"),
        (("report", "a.policy", "--figures", "file"), "file is a file"),
        (("fly", "only-there/a.policy"), "a.hil.json is a folder"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments, complaint, policy, tmp_path, monkeypatch, capsys
):
    if "--log-dir" in arguments:
        pytest.importorskip("tensorboardX")
    monkeypatch.chdir(tmp_path)
    policy.save("a.policy")
    Path("file").touch()
    Path("folder.policy").mkdir()
    Path("only-there/a.hil.json").mkdir(parents=True)
    policy.save("only-there/a.policy")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    output = capsys.readouterr()
    assert end.value.code == 2
    assert output.out == ""
    assert complaint in output.err
    assert output.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_of_several_seeds_the_one_kept_gives_the_file_its_name(policy, tmp_path, monkeypatch, capsys):
    """Named after the first it would replace that seed's own file by another's."""
    kept = replace(policy, provenance=policy.provenance | {"seed": 2, "env_steps": 1})
    monkeypatch.setattr(seeds, "train_seeds", lambda *_: [seeds.Candidate(2, kept, 0, 0.01)])
    monkeypatch.chdir(tmp_path)
    first = policy.save("runs/crazyflie-0.policy")
    before = first.read_bytes()
    main(["train", "--seeds", "3", "--json"])
    assert json.loads(capsys.readouterr().out)["policy"] == "runs/crazyflie-2.policy"
    assert Policy.load("runs/crazyflie-2.policy").crc32() == policy.crc32()
    assert first.read_bytes() == before


def test_a_command_alone_shows_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0
    assert "train" in capsys.readouterr().out
