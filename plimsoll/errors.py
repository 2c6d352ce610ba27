"""The error that speaks to the person at the terminal."""


class PlimsollError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do.

    The command line prints the message without a traceback and exits 1.
    """
