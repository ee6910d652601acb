"""The command line. It sits on top of everything and imports late; nothing imports it.

Each command is a frozen dataclass: its fields are the flags, its docstrings are the help, ``run`` does the
work and returns the JSON result, ``show`` prints that result for people.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

# One thread, whatever the shell says: the matrices are tiny, a second BLAS thread only spins, and with it a
# seed would not give the same bytes. Must be set before NumPy loads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import tyro

from tinyfly.cli.chips import Build, Export, Flash
from tinyfly.cli.complaint import in_one_line
from tinyfly.cli.hil import Hil
from tinyfly.cli.policies import Evaluate, Report, Train
from tinyfly.cli.whole import Doctor, Fly
from tinyfly.console import print_json, say
from tinyfly.errors import UserError

COMMANDS: dict[str, Any] = {
    "fly": Fly,
    "train": Train,
    "evaluate": Evaluate,
    "export": Export,
    "build": Build,
    "hil": Hil,
    "report": Report,
    "flash": Flash,
    "doctor": Doctor,
}
ABOUT = "Teach a quadrotor to fly in about a second, and prove the policy in the chip that will fly it."


def main(argv: list[str] | None = None) -> None:
    """Run one command and exit.

    0: done; 1: a test or check failed; 2: bad input, or a result that cannot be written; 130: interrupted.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill cleans up as Ctrl-C does
    _replace_closed_streams()
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
    except UserError as e:
        say(f"tinyfly: {e}")
        code = 2
    except KeyboardInterrupt:
        say("tinyfly: interrupted")
        code = 130
    if code:
        sys.exit(code)


def _run(args: list[str]) -> int:
    command = None
    with _output():
        command = _parse(args)
    if command is None:  # the help's reader has seen enough
        return 0
    result = command.run()
    failed = 1 if result.get("failed") else 0
    try:
        with _output():
            if command.json:
                print_json(result)
            else:
                command.show(result)
    except UserError as e:
        say(f"tinyfly: {e}")
        return failed or 2
    return failed


def _parse(args: list[str]) -> Any:
    config = (tyro.conf.FlagCreatePairsOff,)
    if args and args[0] in COMMANDS:  # one command's parser alone: a tenth of the start-up of all of them
        prog = f"tinyfly {args[0]}"
        with in_one_line(prog):
            return tyro.cli(COMMANDS[args[0]], prog=prog, args=args[1:], config=config)
    if args and not args[0].startswith("-"):
        raise UserError(f"no command {args[0]!r}: expected one of {', '.join(COMMANDS)}")
    with in_one_line("tinyfly"):
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="tinyfly", description=ABOUT, args=args or ["--help"], config=config
        )


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """The body writes to stdout. A reader who left has seen enough; UserError when it takes nothing more."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `tinyfly ... | head`
        _forget_output()
    except OSError as e:
        _forget_output()
        raise UserError(f"the result cannot be written: {e.strerror}") from None


def _forget_output() -> None:
    """What is left in stdout's buffer must not fail again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _replace_closed_streams() -> None:
    """Closed (`>&-`), they are None in Python, and the next file that is opened would get their number."""
    if sys.stdout is None:  # what is written to it fails, and that is said
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
