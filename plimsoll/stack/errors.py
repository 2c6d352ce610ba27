"""The one error of the local stack; its message is written for the person at the keyboard."""

from plimsoll.errors import PlimsollError


class StackError(PlimsollError):
    """Says what is wrong with the local stack, where, and what to do about it."""
