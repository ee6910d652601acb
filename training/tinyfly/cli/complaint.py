"""What tyro says about flags, a box of several lines, as the one line that the command line promises."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator

from tinyfly.errors import UserError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TITLE = re.compile(
    r"^(╭─ .* ─*╮| *[A-Z][\w ]*\n *-{9,} *)$", re.MULTILINE
)  # where ASCII is all there is: the 2nd
_RULE = re.compile(r"^[ ╰]*[─-]{9,}[ ╯]*$", re.MULTILINE)
_EXPECTED = {"INT": "a whole number", "FLOAT": "a number"}
_FLAG = re.compile(r"^ *(--[\w-]+)", re.MULTILINE)


@contextlib.contextmanager
def in_one_line(prog: str) -> Iterator[None]:
    """While the body parses: where tyro would print a box and exit with 2, raise a UserError of one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as e:
        if not e.code:  # --help
            raise
        raise UserError(one_line(said.getvalue(), prog)) from None
    sys.stderr.write(said.getvalue())  # a warning, say


def one_line(box: str, prog: str) -> str:
    """The content of tyro's box: which flag, what was given, what is expected."""
    bare = _TITLE.sub("", _COLOURS.sub("", box), count=1).replace("│", " ")
    what, _, more = _RULE.sub("\0", bare).partition("\0")
    what = " ".join(what.split())
    if found := re.match(r"Error parsing (\S+): .*'(.*)'$", what):
        flag, given = found.groups()
        kind = re.search(rf"{re.escape(flag)} (\w+)", more)
        return f"{flag} {given}: expected {_EXPECTED.get(kind[1], kind[1]) if kind else 'something else'}"
    if found := re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)\.$", what):
        given, flag, choices = found.groups()
        return f"{flag} {given}: expected one of {choices.replace(chr(39), '').rstrip(',')}"
    help_ = f"see {prog} --help"
    if found := re.match(r"Missing value for argument '(.*)'\.", what):
        return f"{found[1]} has no value after it; {help_}"
    if found := re.match(r"Missing from .*?: (\S+)", what):
        return f"{found[1]} is missing; {help_}"
    if found := re.match(r"Unrecognized options: (.*)$", what):
        close = " or ".join(dict.fromkeys(_FLAG.findall(more)))
        return f"{found[1].replace(', ', ' ')} is unknown{f', {close} is not' * bool(close)}; {help_}"
    return f"{what}; {help_}"
