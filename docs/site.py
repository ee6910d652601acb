"""What mkdocs does not do by itself: the reference, made from the code, and pages that file themselves.

- reference/commands.md is what every command's --help says; reference/modules.md names every public module.
- A page of docs/ that mkdocs.yml does not name appears under "How it works".
- Links to files of the repository outside docs/ become the file's path: the site has no such pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PACKAGES = ("training/tinyfly", "export/tinyfly_export", "hil_tests/tinyfly_hil")
TINYFLY = (sys.executable, "-c", "from tinyfly.cli import main; main()")
FRAME = re.compile(r"^[╭╰]─*|─*[╮╯]$|^│ ?| *│$")  # of tyro's boxes


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and name the pages that nobody has named."""
    for name, make in (("commands", commands), ("modules", modules)):
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    named = re.findall(r"[\w/-]+\.md", str(config["nav"]))
    others = [f.src_uri for f in files.documentation_pages() if f.src_uri not in named]
    (section,) = (entry for entry in config["nav"] if "How it works" in entry)
    section["How it works"] = sorted(others)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """`[text](../file)` -> text (`file`), where the file lies outside docs/."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def replace(match: re.Match[str]) -> str:
        text, target = match[1], (folder / match[2].split("#")[0]).resolve()
        if not target.exists() or target.is_relative_to(ROOT / "docs"):
            return match[0]
        path = f"`{target.relative_to(ROOT)}`"
        return path if text.strip("`") in path else f"{text} ({path})"

    return re.sub(r"\[([^\]]+)\]\(((?![a-z]+:)[^)\s]+)\)", replace, markdown)


def commands() -> str:
    """A page with every command's help."""
    from tinyfly.cli import COMMANDS

    parts = ["# Commands", "Every command also takes `--json`: one JSON object on stdout. Exit code 0: done; "
             "1: a check failed; 2: bad input; 130: interrupted."]  # fmt: skip
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    for name in COMMANDS:
        run = [*TINYFLY, name, "--help"]
        text = subprocess.run(
            run, check=True, capture_output=True, text=True, env=environment, timeout=60
        ).stdout
        lines = [FRAME.sub("", FRAME.sub("", line)).rstrip() for line in text.splitlines()]
        parts += [f"## tinyfly {name}", "```text\n" + "\n".join(lines).strip() + "\n```"]
    return "\n\n".join(parts) + "\n"


def modules() -> str:
    """A page that lets mkdocstrings document every public module."""
    parts = ["# Python modules"]
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = path.relative_to((ROOT / package).parent).with_suffix("")
            names = [n for n in module.parts if n != "__init__"]
            if not any(n.startswith("_") for n in names):
                parts.append(f"::: {'.'.join(names)}")
    return "\n\n".join(parts) + "\n"
