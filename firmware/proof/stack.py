"""The deepest the stack can get, from GCC's call graph: every function's frame, every call, no recursion."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_FRAME = re.compile(r"(\d+) bytes \((\w+)\)")
INDIRECT = "__indirect_call"
# Calls through pointers: the requests' table; every other one is a function of the port, not counted here.
HANDLERS = re.compile(r"(^|:)(on_\w+|tf_app_on_\w+)$")
DISPATCH = "tf_app_handle"


@dataclass
class CallGraph:
    """Frames in bytes and calls by function, joined over all files."""

    frame: dict[str, int] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    library: set[str] = field(default_factory=set)  # called, but compiled elsewhere

    @staticmethod
    def read(folder: Path) -> CallGraph:
        """From the .ci files that -fcallgraph-info=su left in the folder."""
        graph = CallGraph()
        for path in sorted(folder.glob("*.ci")):
            for line in path.read_text().splitlines():
                if node := _NODE.match(line):
                    graph._add(node[1], node[2])
                elif edge := _EDGE.match(line):
                    graph.calls.setdefault(edge[1], set()).add(edge[2])
        handlers = {name for name in graph.frame if HANDLERS.search(name)}
        graph.calls[DISPATCH] |= handlers
        called = set().union(*graph.calls.values())
        graph.library = called - graph.frame.keys() - {INDIRECT}
        return graph

    def _add(self, name: str, label: str) -> None:
        if frame := _FRAME.search(label):
            if frame[2] != "static":
                sys.exit(f"{name} has a frame of {frame[2]} size")
            self.frame[name] = int(frame[1])

    def deepest(self, root: str, above: tuple[str, ...] = ()) -> tuple[int, list[str]]:
        """Bytes on the deepest path from root, and the path; recursion ends the proof."""
        if root in above:
            sys.exit(f"recursion: {' -> '.join([*above, root])}")
        below = (self.deepest(f, (*above, root)) for f in self.calls.get(root, ()) if f in self.frame)
        size, path = max(below, default=(0, []))
        return self.frame[root] + size, [root, *path]
