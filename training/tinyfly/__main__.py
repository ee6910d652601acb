"""Where a `tinyfly` process begins; also `python -m tinyfly`."""

import signal


def main() -> None:
    """Import the command line and run it."""
    # Imports take a third of a second, and there is nothing to clean up yet: Ctrl-C just ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tinyfly import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    main()
