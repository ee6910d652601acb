"""The command line. It sits on top of everything and imports late; nothing imports it.

Each command is a frozen dataclass: its fields are the flags, its docstrings are the help, ``run`` does the
work and returns the JSON result, ``show`` prints that result for people.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

# One thread, whatever the shell says: the matrices are tiny, a second BLAS thread only spins, and with it a
# seed would not give the same bytes. Must be set before NumPy loads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import tyro

from tinyfly.cli.chips import Build, Export, Flash
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
    """Run one command. Exit code 0: done; 1: a test or check failed; 2: bad input; 130: interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill cleans up as Ctrl-C does
    try:
        command = _parse(sys.argv[1:] if argv is None else argv)
        result = command.run()
        if command.json:
            print_json(result)
        else:
            command.show(result)
    except UserError as e:
        say(f"tinyfly: {e}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("tinyfly: interrupted")
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)  # the reader has seen enough: `tinyfly ... | head`
    if result.get("failed"):
        sys.exit(1)


def _parse(args: list[str]) -> Any:
    config = (tyro.conf.FlagCreatePairsOff,)
    if args and args[0] in COMMANDS:  # one command's parser alone: a tenth of the start-up of all of them
        return tyro.cli(COMMANDS[args[0]], prog=f"tinyfly {args[0]}", args=args[1:], config=config)
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="tinyfly", description=ABOUT, args=args or ["--help"], config=config
    )
