"""README and manual tell the truth: their commands exist and run, their links resolve, their site builds."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyfly.cli import COMMANDS, _parse, main
from tinyfly.policy import Policy

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(p for name in ("README", "CONTRIBUTING", "SECURITY") if (p := ROOT / f"{name}.md").exists()),
]
TINYFLY = (sys.executable, "-c", "from tinyfly.cli import main; main()")
# Run as they stand; the others need a compiler or an emulator: parsed here, run by the chip's own suites.
RUN = ("train", "export", "doctor")
# Run from every page, with so many more flags that they take a second.
JUDGES = {"evaluate": ["--episodes", "10"], "report": ["--episodes", "10"], "export": []}
# Programs of the system, which we take at their word.
SYSTEM = {
    "apt",
    "apt-get",
    "arm-none-eabi-nm",
    "brew",
    "cd",
    "cfloader",
    "cp",
    "git",
    "mkdir",
    "openocd",
    "source",
    "sudo",
}

INDENTED = "tinyfly|pytest|python|make|pip|pio|arm-none-eabi-nm"
PYTEST = {"--junitxml"}  # pytest's own flags; all others are our plugin's


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def indented(page: Path) -> Iterator[str]:
    """The commands in blocks that are only indented: a line's first column, what it does comes after it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(rf"^    ((?:\.venv/bin/)?(?:{INDENTED}) .*)$", text, re.MULTILINE):
        yield re.split(r" {2,}", line)[0]


def commands() -> list[tuple[str, str]]:
    """(page, command) for every command in a ```sh block or an indented one, once per page."""
    found: dict[tuple[str, str], None] = {}
    for page in PAGES:
        for block in (*blocks(page, "sh"), *indented(page)):
            for line in block.replace("\\\n", " ").splitlines():
                for command in line.split(" #")[0].split("&&"):
                    if command.strip() and not command.strip().startswith("#"):
                        found[str(page.relative_to(ROOT)), command.strip()] = None
    return list(found)


def words_of(command: str) -> list[str]:
    """A command without its redirection and its VARIABLE=value prefixes."""
    words = shlex.split(re.sub(r"[0-9]?>+\s*\S+|\|.*$", "", command))
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return [w.removeprefix(".venv/bin/") for w in words]


def flags(arguments: list[str]) -> set[str]:
    return {a.split("=")[0] for a in arguments if a.startswith("--")}


def test_indented_commands_are_found() -> None:
    pages = [str(page.relative_to(ROOT)) for page in PAGES for _ in indented(page)]
    assert {"docs/hil.md", "docs/firmware.md", "docs/training.md", "CONTRIBUTING.md"} <= set(pages)
    assert len(pages) > 30


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_in_the_manual_exists(page: str, command: str) -> None:
    program, *arguments = words_of(command)
    match program:
        case "tinyfly" if arguments and arguments[0] in COMMANDS:
            _parse(arguments)  # exits when a flag does not exist
        case "tinyfly":
            assert arguments[0] in ("--help", "--tyro-print-completion"), f"{page}: no command {arguments[0]}"
        case "make" if "-C" in arguments:
            assert (ROOT / arguments[arguments.index("-C") + 1] / "Makefile").exists()
        case "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert {a for a in arguments if "=" not in a and not a.startswith("-")} <= set(targets)
        case "pip" | "pip3":
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            for extra in re.findall(r"\[([\w,]+)\]", command):
                assert set(extra.split(",")) <= set(extras)
        case "python" | "python3" if arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]), f"{page}: no module {arguments[1]}"
        case "python" | "python3":
            script = (ROOT / arguments[0]).read_text()
            ast.parse(script)
            assert {f for f in flags(arguments) if f'"{f}"' not in script} == set(), f"{page}: {command}"
        case "pytest":
            plugin = (ROOT / "hil_tests/tinyfly_hil/plugin.py").read_text()
            assert {f for f in flags(arguments) - PYTEST if f'"{f}"' not in plugin} == set()
            for path in (a.split("::")[0] for a in arguments if a.startswith(("tests", "hil_tests"))):
                assert (ROOT / path).exists(), f"{page}: no {path}"
        case "pio":
            if "-e" in arguments:
                assert (
                    f"[env:{arguments[arguments.index('-e') + 1]}]" in (ROOT / "platformio.ini").read_text()
                )
        case "mkdocs" | "ruff" | "mypy" | "lint-imports" | "qemu-system-arm":
            pass
        case _ if "/" in program:
            assert (ROOT / program).exists(), f"{page}: no {program}"
        case _:
            assert program in SYSTEM, f"{page}: is {program!r} a program that a reader has?"


def test_quick_commands_of_readme_and_tutorial_run(tmp_path: Path) -> None:
    """In their order, in an empty folder: what one command leaves is what the next one finds."""
    done = set()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    for page, command in commands():
        words = words_of(command)
        if (
            words[0] != "tinyfly"
            or words[1] not in RUN
            or command in done
            or page not in ("README.md", "docs/tutorial.md")
        ):
            continue
        run = [*TINYFLY, *words[1:]]
        result = subprocess.run(
            run, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300
        )
        expected = (0, 1) if words[1] == "doctor" else (0,)  # 1: something is missing on this machine
        assert result.returncode in expected, f"{page}: {command}\n{result.stderr}"
        done.add(command)
    assert any(" train " in command for command in done)


def judging() -> list[tuple[str, str]]:
    """Commands that need no more than a policy, one of each kind; --hil needs a flight of the chip."""
    kinds = {}
    for page, command in commands():
        program, *words = words_of(command)
        if program == "tinyfly" and words[0] in JUDGES and "--hil" not in words:
            kind = words[0], *(w for w in words if w.startswith("--") and w != "--out")
            kinds.setdefault(kind, (page, command))
    return list(kinds.values())


@pytest.mark.parametrize(("page", "command"), judging())
def test_commands_that_judge_a_policy_run(
    page: str, command: str, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with what the pages take for granted: policies, and an airframe that one of them writes."""
    if "--figures" in command:
        pytest.importorskip("matplotlib")
    from tinyfly.report import robustness

    for name, few in (("LATENCIES_MS", (0.0,)), ("WINDS", (0.0,)), ("BATTERIES", (1.0,)), ("EPISODES", 2)):
        monkeypatch.setattr(robustness, name, few)
    monkeypatch.chdir(tmp_path)
    words = words_of(command)[1:]
    for word in words:
        if word == "POLICY" or word.endswith(".policy"):
            policy.save(word)
    (airframe,) = blocks(ROOT / "docs/how-to/airframe.md", "toml")
    Path("mine.toml").write_text(airframe)
    main([*words, *JUDGES[words[0]]])


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_printed(shell: str) -> None:
    run = [*TINYFLY, "--tyro-print-completion", shell]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    assert "tinyfly" in result.stdout
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=result.stdout, text=True).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_inside_the_repository_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"no {target}"
        if anchor:
            assert anchor in anchors(file), f"no heading {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_in_the_manual_imports_what_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinyfly"):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name) or importlib.util.find_spec(
                        f"{node.module}.{alias.name}"
                    )


def test_what_is_missing_is_installed_from_the_checkout() -> None:
    """There is no tinyfly on an index: `pip install 'tinyfly[torch]'` finds none, or another."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = [
        p for top in ("training", "export", "hil_tests", "benchmarks") for p in (ROOT / top).rglob("*.py")
    ]
    for path in (*PAGES, *(p for p in sources if p.name != "td3.py")):
        for how, what, extra in re.findall(r"pip install (-e )?'(tinyfly|\.)\[(\w+)\]'", path.read_text()):
            assert (how, what) == ("-e ", ".") and extra in extras, f"{path}: {what}[{extra}]"


def test_the_tasks_table_has_the_latencies_that_are_trained() -> None:
    from tinyfly.airframe import Airframe
    from tinyfly.task import TASKS, make_task

    page = (ROOT / "docs/how-it-trains.md").read_text()
    for name in TASKS:
        (row,) = re.findall(rf"^\| `{name}` .*$", page, re.MULTILINE)
        latency_ms = 1e3 * make_task(name, Airframe.load("crazyflie")).latency_s
        assert f"latency 0..{latency_ms:g} ms" in row


def test_reward_page_s_task_can_be_made() -> None:
    from tinyfly import task
    from tinyfly.airframe import Airframe

    (block,) = blocks(ROOT / "docs/how-to/reward.md", "python")
    recipe, _, training = block.partition("policy = train(")
    assert training
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "TASKS", dict(task.TASKS))
        exec(recipe, names)
        made = task.make_task("quiet", Airframe.load("crazyflie"))
    assert (made.name, made.loss.change) == ("quiet", 20.0)


def test_airframe_page_s_example_flies(tmp_path: Path) -> None:
    from tinyfly.airframe import Airframe

    (block,) = blocks(ROOT / "docs/how-to/airframe.md", "toml")
    path = tmp_path / "mine.toml"
    path.write_text(block)
    Airframe.load(path).require_flyable()


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings_handlers"):
        if not importlib.util.find_spec(package):
            pytest.skip(f"needs {package}: pip install -e '.[docs]'")
    run = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "tinyfly train" in (tmp_path / "site/reference/commands.html").read_text()
    assert "tinyfly.policy.Policy" in (tmp_path / "site/reference/modules.html").read_text()
    loaded = r"""<(?:script[^>]+src|link[^>]+rel="stylesheet"[^>]+href)=["']?(https?:)?//"""
    assert not [p for p in (tmp_path / "site").rglob("*.html") if re.search(loaded, p.read_text())]


def anchors(page: Path) -> set[str]:
    """The headings of a page as mkdocs and GitHub name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", h.lower()).strip()) for h in headings}
