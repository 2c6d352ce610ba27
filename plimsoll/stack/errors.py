"""The errors of the local stack; their messages are written for the person at the keyboard."""

from plimsoll.errors import PlimsollError


class StackError(PlimsollError):
    """Says what is wrong with the local stack, where, and what to do about it."""


class NoBrokerError(StackError):
    """Says why no Kafka can be had on this machine at all, and the ways to get one."""
