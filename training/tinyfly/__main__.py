"""Where a `tinyfly` process begins; also `python -m tinyfly`."""

import signal


def main() -> None:
    """Import the command line and run it."""
    # Imports take a third of a second, and there is nothing to clean up yet: Ctrl-C just ends the process.
    found = signal.getsignal(signal.SIGINT)
    if found is not signal.SIG_IGN:  # which a script's background job inherits, and keeps
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tinyfly import cli

    signal.signal(signal.SIGINT, found)
    cli.main()


if __name__ == "__main__":
    main()
