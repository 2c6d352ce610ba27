"""Which services run on which day: calendar.txt by weekday and period, calendar_dates.txt by date."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from ingest.registry.gtfs.cells import whole

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEDNESDAY, _WORKING_DAYS = range(2, 3), range(5)
_AHEAD_DAYS = 12 * 7

Row = Mapping[str, str]


@dataclass(frozen=True)
class Period:
    """A service on some weekdays (Monday 0) from a first to a last day, counted as `date.toordinal` does."""

    service_id: str
    weekdays: frozenset[int]
    first: int
    last: int


@dataclass
class ServiceDays:
    """The calendar of a feed.

    Attributes:
        periods: of calendar.txt; without a date they have no first or no last day.
        added: day to the services that run on it besides.
        removed: day to the services that do not run on it.
    """

    periods: list[Period] = field(default_factory=list)
    added: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    removed: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, calendar: Iterable[Row], dates: Iterable[Row], gaps: Counter[str]) -> ServiceDays:
        """What the rows of calendar.txt and calendar_dates.txt say."""
        days = cls()
        for row in calendar:
            weekdays = frozenset(number for number, name in enumerate(WEEKDAYS) if whole(row.get(name, "")) == 1)
            first, last = _day(row.get("start_date")), _day(row.get("end_date"))
            days.periods.append(
                Period(row.get("service_id", ""), weekdays, first or date.min.toordinal(), last or date.max.toordinal())
            )
        for row in dates:
            day, kind = _day(row.get("date")), whole(row.get("exception_type", ""))
            changed = {1: days.added, 2: days.removed}.get(kind or 0)
            if day is None or changed is None:
                gaps["service exceptions have no usable date or type and are left out"] += 1
            else:
                changed[day].add(row.get("service_id", ""))
        return days

    def services(self, day: int) -> frozenset[str]:
        """The services that run on a day."""
        weekday = (day - 1) % 7
        usual = {p.service_id for p in self.periods if weekday in p.weekdays and p.first <= day <= p.last}
        return frozenset((usual - self.removed.get(day, set())) | self.added.get(day, set()))

    def usual(self, trips: Mapping[str, int], today: date) -> frozenset[str]:
        """The services of a usual Wednesday of the twelve weeks ahead, or of the last ones of a feed that is over.

        Usual is the level of service that stands for most trips: a day's number of trips times the days with at least
        as many. So neither holidays, nor days with extra trips, nor what is left when most services have ended, is
        usual. Where no Wednesday is served, it is that of working days, else of all days; no services where none is.

        Args:
            trips: how many each service has.
            today: where the weeks ahead begin.
        """
        for weekdays in (_WEDNESDAY, _WORKING_DAYS, range(7)):
            by_day = [self.services(day) for day in self._ahead(today.toordinal()) if (day - 1) % 7 in weekdays]
            counted = [(sum(trips.get(service, 0) for service in services), services) for services in by_day]
            ranked = enumerate(sorted(counted, key=lambda day: day[0], reverse=True), start=1)
            _, (count, services) = max(ranked, key=lambda r: r[0] * r[1][0], default=(0, (0, frozenset[str]())))
            if count:
                return services
        return frozenset()

    def _ahead(self, today: int) -> range:
        firsts = [*(p.first for p in self.periods), *self.added]
        lasts = [*(p.last for p in self.periods), *self.added]
        if not firsts:
            return range(0)
        begin = max(min(firsts), min(today, max(lasts) - _AHEAD_DAYS + 1))
        return range(begin, min(max(lasts) + 1, begin + _AHEAD_DAYS))


def _day(text: str | None) -> int | None:
    try:
        return date.fromisoformat((text or "").removesuffix(".0")).toordinal()
    except ValueError:
        return None
