"""Whether a new model takes the champion's place, and why. Pure: the caller measures and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

# A champion is replaced by what is clearly better, so that noise does not make models come and go …
MIN_GAIN = 0.02
MAX_SEGMENT_LOSS = 0.05
COVERAGE, LOWEST_COVERAGE, HIGHEST_COVERAGE = 0.80, 0.75, 0.85
# … but one whose training data are this old, or that has drifted, by what is not clearly worse: cities change.
REFRESH_AFTER = timedelta(days=28)


@dataclass(frozen=True)
class Comparison:
    """A new model and the champion over the very same hours.

    Attributes:
        wape: of the new model's recipe, trained on what was known at each origin.
        champion_wape: of the champion as it is.
        gain_low: lower end of the 95 % block-bootstrap interval of the gain.
        gain_high: upper end.
        segments: gain by segment (days ahead, time of day, day type, size); negative where the new model is worse.
        coverage: share of hours in the new model's 80 % band.
        champion_coverage: the same of the champion.
        days: target days compared, the blocks of the bootstrap.
        champion_knew: share of the hours that the champion had learnt from, which favours it.
    """

    wape: float
    champion_wape: float
    gain_low: float
    gain_high: float
    segments: Mapping[str, float]
    coverage: float
    champion_coverage: float
    days: int
    champion_knew: float

    @property
    def gain(self) -> float:
        """Share of the champion's WAPE that the new model saves."""
        return 1 - self.wape / self.champion_wape


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
    numbers: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """What is kept with the model."""
        return {"promoted": self.promoted, "reason": self.reason} | self.numbers


def first(why: str, measured: Mapping[str, float]) -> Decision:
    """The decision where nothing can be compared: the new model speaks, whatever it measured."""
    return Decision(True, why, dict(measured))


def decide(comparison: Comparison | None, champion_age: timedelta, *, champion_drifts: bool = False) -> Decision:
    """Apply the promotion rule.

    Args:
        comparison: None where the history is too short for one.
        champion_age: since the end of its training data.
        champion_drifts: whether the champion has been found drifting.
    """
    numbers: dict[str, Any] = {
        "champion_age_days": round(champion_age / timedelta(days=1), 1),
        "champion_drifts": champion_drifts,
        "rule": {
            "min_gain": MIN_GAIN, "max_segment_loss": MAX_SEGMENT_LOSS,
            "coverage": [LOWEST_COVERAGE, HIGHEST_COVERAGE], "refresh_after_days": REFRESH_AFTER.days,
        },
    }  # fmt: skip
    if comparison is None:
        return Decision(False, "The history is too short to compare it with the champion.", numbers)
    numbers |= asdict(comparison) | {"gain": comparison.gain}
    compared = f"WAPE {comparison.wape:.1%} against the champion's {comparison.champion_wape:.1%}"
    interval = f"{comparison.gain:+.1%}, 95 % interval {comparison.gain_low:+.1%} to {comparison.gain_high:+.1%}"
    losses, band = _losses(comparison.segments), _odd_band(comparison)
    is_better = comparison.gain >= MIN_GAIN and comparison.gain_low > 0
    if is_better and not losses and not band:
        return Decision(True, f"{compared}: better ({interval}).", numbers)
    is_due = champion_drifts or champion_age >= REFRESH_AFTER
    # Keeping an old champion whose band is further off still would help nobody.
    band_is_no_worse = abs(comparison.coverage - COVERAGE) <= abs(comparison.champion_coverage - COVERAGE)
    if is_due and comparison.gain > -MIN_GAIN and not losses and (not band or band_is_no_worse):
        why = "the champion drifts" if champion_drifts else f"the champion's data end {champion_age.days} days ago"
        return Decision(True, f"{compared}: not clearly worse ({interval}), and {why}.", numbers)
    against = losses + band
    if is_better:
        return Decision(False, f"{compared}: better ({interval}), but {'; '.join(against)}.", numbers)
    asked = f"{MIN_GAIN:.0%} better with an interval above 0 is asked"
    return Decision(False, f"{compared}: {'; '.join([interval, *against])}; {asked}.", numbers)


def _losses(segments: Mapping[str, float]) -> list[str]:
    return [
        f"{-gain:.1%} worse for {name}"
        for name, gain in sorted(segments.items(), key=lambda item: item[1])
        if gain < -MAX_SEGMENT_LOSS
    ]


def _odd_band(comparison: Comparison) -> list[str]:
    if LOWEST_COVERAGE <= comparison.coverage <= HIGHEST_COVERAGE:
        return []
    return [
        f"its 80 % band covers {comparison.coverage:.0%} (the champion's {comparison.champion_coverage:.0%}), "
        f"{LOWEST_COVERAGE:.0%} to {HIGHEST_COVERAGE:.0%} is asked"
    ]
