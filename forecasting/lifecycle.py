"""States of hotspots, alerts and recommendations: which change may follow which, and what is said when one may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.errors import PlimsollError


class DecisionRefused(PlimsollError):
    """A person's decision cannot be carried out."""


class UnknownRecord(DecisionRefused):
    """The tenant has no such hotspot, alert or recommendation."""


class WrongState(DecisionRefused):
    """The record's state does not allow this change."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class RecordExpired(WrongState):
    """What the decision is about is over."""


@dataclass(frozen=True)
class Lifecycle:
    """The legal changes of one kind of record.

    Attributes:
        name: what a person calls the record.
        changes: by state, the states that may follow.
    """

    name: str
    changes: Mapping[str, frozenset[str]]

    def require(self, from_state: str, to_state: str) -> None:
        """Let a legal change pass.

        Raises:
            RecordExpired: the record has expired.
            WrongState: any other change that is not legal; the message says what could be done instead.
        """
        allowed = self.changes[from_state]
        if to_state in allowed:
            return
        if from_state == "expired":
            raise RecordExpired(f"this {self.name} has expired and can no longer be {to_state}", from_state)
        could = f"it can be {' or '.join(sorted(allowed))}" if allowed else "that is final"
        raise WrongState(f"this {self.name} is {from_state} and cannot be {to_state}: {could}", from_state)


HOTSPOT = Lifecycle(
    "hotspot",
    {
        "pending": frozenset({"firing", "expired"}),
        "firing": frozenset({"acknowledged", "resolved", "expired"}),
        "acknowledged": frozenset({"resolved", "expired"}),
        # Crowded again within the cool-down: the same episode goes on.
        "resolved": frozenset({"firing"}),
        "expired": frozenset({"firing"}),
    },
)

ALERT = Lifecycle("alert", HOTSPOT.changes)

RECOMMENDATION = Lifecycle(
    "recommendation",
    {
        # Who acts at once need not accept first.
        "proposed": frozenset({"accepted", "dismissed", "executed", "expired"}),
        "accepted": frozenset({"dismissed", "executed", "expired"}),
        "dismissed": frozenset(),
        "executed": frozenset(),
        "expired": frozenset(),
    },
)
