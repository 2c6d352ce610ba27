"""Whether a new model takes the champion's place, and why. Pure: the caller measures and records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

# A champion is replaced by what is clearly better, so that noise does not make models come and go …
MIN_GAIN = 0.02
# … but one whose training data are this old, by what is not clearly worse: cities change.
REFRESH_AFTER = timedelta(days=28)


@dataclass(frozen=True)
class Decision:
    """What becomes of a new model.

    Attributes:
        promoted: whether it becomes the champion.
        reason: one sentence for people.
        numbers: what it rests on.
    """

    promoted: bool
    reason: str
    numbers: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """What is kept with the model."""
        return {"promoted": self.promoted, "reason": self.reason} | self.numbers


def decide(challenger_wape: float | None, champion_wape: float | None, champion_age: timedelta | None) -> Decision:
    """Compare a new model with the champion over the same hours.

    Args:
        challenger_wape: its backtest's WAPE; None where the history is too short for one.
        champion_wape: the champion's over the same origins and hours; None where that is not known.
        champion_age: since the end of its training data; None when there is no champion that can be read.
    """
    numbers = {"wape": challenger_wape, "champion_wape": champion_wape, "min_gain": MIN_GAIN}
    if champion_age is None:
        return Decision(True, "There is no champion to compare it with.", numbers)
    numbers["champion_age_days"] = round(champion_age / timedelta(days=1), 1)
    if challenger_wape is None or champion_wape is None or champion_wape <= 0:
        return Decision(False, "The history is too short to compare it with the champion.", numbers)
    gain = 1 - challenger_wape / champion_wape
    numbers["gain"] = round(gain, 5)
    compared = f"WAPE {challenger_wape:.1%} against the champion's {champion_wape:.1%}"
    if gain >= MIN_GAIN:
        return Decision(True, f"{compared}: better by {gain:.1%}.", numbers)
    if champion_age >= REFRESH_AFTER and gain > -MIN_GAIN:
        return Decision(
            True, f"{compared}: as good, and the champion's data end {champion_age.days} days ago.", numbers
        )
    return Decision(False, f"{compared}: {gain:+.1%}, and {MIN_GAIN:.0%} better is asked.", numbers)
