"""Reading images that others have built, and that may be damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tinyfly.errors import UserError


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Makes one line of whatever a file trips in here; only reading belongs in such a block.

    pyelftools believes what it reads: in a damaged file it asserts, indexes and decodes, and raises anything.

    Raises:
        UserError: the file cannot be read, is no ELF file, or is a damaged one.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as e:
        raise UserError(
            f"image {path} does not read ({e.strerror}): give firmware.elf, not firmware.bin"
        ) from None
    except Exception as e:
        why = " ".join(str(e).split()) or type(e).__name__
        raise UserError(
            f"image {path} does not read (not an ELF file, or damaged: {why}): "
            "build it again, and give firmware.elf, not firmware.bin"
        ) from None
