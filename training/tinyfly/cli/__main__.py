"""`python -m tinyfly.cli` is `tinyfly`."""

from tinyfly.cli import main

main()
