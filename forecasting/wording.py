"""A forecast in words that an operator reads: what is usual, what is expected, and why. No feature is named raw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
TODAY, DAYS, WEEKS, PEERS, YEAR, HOLIDAY, SCHOOL, PATTERN = (
    "today", "days", "weeks", "peers", "year", "holiday", "school", "pattern",
)  # fmt: skip
THEMES: Mapping[str, tuple[str, ...]] = {
    TODAY: ("today", "hours_known_today", "last_hour", "hour_before", "two_hours_before", "last_hour_ratio",
            "last_hour_turn", "silence_h"),
    DAYS: ("level_1_day", "level_3_days", "level_7_days", "level_28_days", "same_hour_last_day", "same_hour_smoothed",
           "same_hour_3_days", "same_hour_7_days"),
    WEEKS: ("fast", "last_week", "two_weeks_ago", "three_weeks_ago", "four_week_mean", "five_week_median", "like_days"),
    PEERS: ("peers_3_hours", "peers_today", "peers_1_day"),
    YEAR: ("year_ago_hour", "year_ago_day", "year_ago_date", "year_ago_season"),
    HOLIDAY: ("is_holiday", "is_event", "holiday_yesterday", "holiday_tomorrow", "event_effect", "eve_effect",
              "after_effect", "like_sunday"),
    SCHOOL: ("is_school_holiday", "school_shift", "school_shift_week"),
}  # fmt: skip
_THEME_OF = {name: theme for theme, names in THEMES.items() for name in names}
# The feature whose value, over the usual level, says by how much; see `features._levels`.
_MEASURES = {TODAY: "today", DAYS: "level_7_days", PEERS: "peers_today"}
_SAID = {TODAY: "today has run {} usual so far", DAYS: "the last seven days ran {} usual",
         PEERS: "the others run {} usual today"}  # fmt: skip
_OTHERWISE = {
    TODAY: ("the last hours ran above usual", "the last hours ran below usual"),
    DAYS: ("the last days ran above usual at this hour", "the last days ran below usual at this hour"),
    WEEKS: ("the last weeks were fuller at this hour than those before",
            "the last weeks were emptier at this hour than those before"),
    PEERS: ("the others run above usual", "the others run below usual"),
    YEAR: ("these days were fuller a year ago", "these days were emptier a year ago"),
    HOLIDAY: ("an event that is over still shows", "an event that is over still shows"),
    SCHOOL: ("school holidays fill it", "school holidays empty it"),
    PATTERN: ("such hours turn out fuller than the average says", "such hours turn out emptier than the average says"),
}  # fmt: skip
# Below this share of what is expected a reason is not worth a reader's time; nor are more reasons than this.
SMALLEST_SHARE, MOST_DRIVERS = 0.02, 4


@dataclass(frozen=True)
class Driver:
    """One reason why a forecast is not just what is usual.

    Attributes:
        words: what a person calls it.
        effect: what it adds, people (negative: takes away).
    """

    words: str
    effect: float


def drivers(
    shares: Mapping[str, float], values: Mapping[str, float], calendar: Sequence[str], expected: float, *,
    has_peers: bool = True,
) -> list[Driver]:  # fmt: skip
    """The reasons worth telling, largest first.

    Args:
        shares: what each feature adds, in people.
        values: the features, in units of the site's scale.
        calendar: what the calendar says of the day and its neighbours, in words.
        expected: the forecast, people.
        has_peers: whether there are other series; without, what they do is what the site itself does today.
    """
    effects: dict[str, float] = {}
    for name, share in shares.items():
        theme = _THEME_OF.get(name, PATTERN)
        theme = TODAY if theme == PEERS and not has_peers else theme
        effects[theme] = effects.get(theme, 0.0) + share
    worth = [
        Driver(_words(theme, effect, values, calendar), round(effect, 1))
        for theme, effect in sorted(effects.items(), key=lambda item: -abs(item[1]))
        if abs(effect) >= max(SMALLEST_SHARE * expected, 0.05)
    ]
    return worth[:MOST_DRIVERS]


def summary(
    local: datetime, usual: float, expected: float, band: tuple[float, float], reasons: Sequence[Driver],
    calendar: Sequence[str] = (),
) -> str:  # fmt: skip
    """The forecast in two or three sentences.

    Args:
        local: the hour, on the site's clock.
        usual: what the weekly pattern says, people.
        expected: the forecast, people.
        band: ends of the 80 % band.
        reasons: as `drivers` gives them.
        calendar: what the calendar says of the day, told even where it changes little.
    """
    said = [
        f"{WEEKDAYS[local.weekday()]} {local:%H:%M} are usually {_people(usual)}.",
        f"Expected: {_people(expected)}{_against(expected, usual)}, between {_people(band[0])} and {_people(band[1])} "
        "in 8 of 10 cases.",
    ]
    if reasons:
        told = [f"{reason.words} ({_signed(reason.effect)})" for reason in reasons]
        said.append(f"Why: {'; '.join(told)}.")
    unsaid = [words for words in calendar if not any(words in reason.words for reason in reasons)]
    if unsaid:
        said.append(f"Calendar: {', '.join(unsaid)}.")
    return " ".join(said)


def _words(theme: str, effect: float, values: Mapping[str, float], calendar: Sequence[str]) -> str:
    if theme == HOLIDAY and calendar:
        return ", ".join(calendar)
    level, measured = values.get("profile", 0.0), values.get(_MEASURES.get(theme, ""), float("nan"))
    if theme in _SAID and level > 0 and abs(measured / level) >= 0.02 and (measured > 0) == (effect > 0):
        way = "above" if measured > 0 else "below"
        return _SAID[theme].format(f"{abs(measured / level):.0%} {way}")
    return _OTHERWISE[theme][effect < 0]


def _against(expected: float, usual: float) -> str:
    if usual < 0.5 or abs(expected / usual - 1) < 0.005:
        return ""
    return f" ({abs(expected / usual - 1):.0%} {'above' if expected > usual else 'below'})"


def _people(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}".removesuffix(".0")


def _signed(number: float) -> str:
    return f"{number:+.0f}" if abs(number) >= 10 else f"{number:+.1f}"
