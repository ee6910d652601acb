"""The one exception a user is meant to see: a line that says what is wrong and what to do."""


class UserError(Exception):
    """Bad input (a file, a flag, a number, a port). The command line prints its one line and exits with 2."""
