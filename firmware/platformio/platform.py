"""PlatformIO's view of this project's boards: everything comes from PATH and from pip, nothing is downloaded.

PlatformIO insists on two packages of its own registry, ``tool-scons`` for building and ``tool-cppcheck`` for
``pio check``. Both exist already on the machine (pip's scons, the system's cppcheck), so they are put where
PlatformIO looks for them. That has to happen when this module is imported: later it has already asked.
"""

import json
import shutil
from pathlib import Path

from platformio.dependencies import get_core_dependencies
from platformio.platform.base import PlatformBase
from platformio.project.config import ProjectConfig

SCONS = """import sys
from SCons.Script import main
sys.exit(main())
"""


def _provide(name: str, file: str, content: str | Path) -> None:
    """Lay down package `name` holding one file (text, or a link to a program), unless it is there already."""
    folder = Path(ProjectConfig.get_instance().get("platformio", "packages_dir")) / name
    version = get_core_dependencies()[name].lstrip("~")
    try:
        if json.loads((folder / ".piopm").read_text())["version"] == version and (folder / file).exists():
            return
    except (OSError, ValueError, KeyError):
        pass
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).unlink(missing_ok=True)
    if isinstance(content, Path):
        (folder / file).symlink_to(content)
    else:
        (folder / file).write_text(content)
    spec = {"owner": "platformio", "id": None, "name": name, "requirements": None, "uri": None}
    (folder / "package.json").write_text(json.dumps({"name": name, "version": version}))
    metadata = {"type": "tool", "name": name, "version": version, "spec": spec}
    (folder / ".piopm").write_text(json.dumps(metadata))


_provide("tool-scons", "scons.py", SCONS)
if cppcheck := shutil.which("cppcheck"):
    _provide("tool-cppcheck", "cppcheck", Path(cppcheck))


class TinyflyPlatform(PlatformBase):
    """Boards in boards/*.json; the builder picks the compiler each names."""
