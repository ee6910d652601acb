"""The firmware core's sources put together into few files that stand alone."""

from __future__ import annotations

import re

from tinyfly_export.c import CORE


class Amalgam:
    """Sources with each of their own headers in place at its first use; system headers come first of all."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts, self.taken = texts, set[str]()

    def take(self, name: str) -> str:
        if name in self.taken:
            return ""
        self.taken.add(name)
        text = self.texts.get(name) or (CORE / name).read_text()
        text = re.sub(r"#include <[a-z]+\.h>\n", "", text)
        return re.sub(r'#include "(\w+\.h)"\n', lambda m: self.take(m[1]), text)
