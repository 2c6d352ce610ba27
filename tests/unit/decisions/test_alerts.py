"""How an alert goes from one look to the next, and when people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from forecasting.alerts.channels import channels
from forecasting.alerts.model import Alert, Condition, announcement, is_over, noticed
from plimsoll.errors import PlimsollError

NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)
LATE = Condition("data_late", "stream", "occupancy.events", "nothing landed")
FAILED = Condition("system_error", "system", "refresh_marts", "it failed")


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def told(alert: Alert, now: datetime) -> Alert:
    said = announcement(alert, now)
    return replace(alert, announced_state=said, announced_at=now) if said else alert


def test_what_does_not_last_never_fires() -> None:
    pending, _ = noticed(None, LATE, at(0))
    still, change = noticed(pending, LATE, at(4))
    gone, over = is_over(still, at(4.5))
    assert (pending.state, still.state, change) == ("pending", "pending", None)
    assert over is not None and (gone.state, gone.started_at) == ("expired", None)
    assert announcement(gone, at(5)) is None


def test_what_lasts_fires_once_and_clears_after_it_has_been_well_for_a_while() -> None:
    alert, _ = noticed(None, LATE, at(0))
    alert, change = noticed(alert, LATE, at(5))
    assert change is not None and (alert.state, announcement(alert, at(5))) == ("firing", "firing")
    alert = told(alert, at(5))
    assert announcement(noticed(alert, LATE, at(6))[0], at(6)) is None
    clearing, none = is_over(alert, at(10))
    again, _ = noticed(clearing, LATE, at(12))
    assert none is None and again.cleared_since is None
    clearing, _ = is_over(again, at(13))
    resolved, change = is_over(clearing, at(18))
    assert change is not None and (resolved.state, announcement(resolved, at(18))) == ("resolved", "resolved")


def test_a_fluttering_alert_is_one_episode_announced_once_per_cool_down() -> None:
    alert = told(noticed(None, FAILED, at(0))[0], at(0))
    resolved = told(is_over(alert, at(5))[0], at(5))
    again, change = noticed(resolved, FAILED, at(10))
    assert change is not None and change.reason == "again within the cool-down"
    assert (again.alert_id, again.state) == (alert.alert_id, "firing")
    assert announcement(again, at(10)) is None
    assert announcement(is_over(again, at(20))[0], at(20)) is None  # people believe already that it is over
    assert announcement(again, at(35)) == "firing"  # it burns on: they must know


def test_an_acknowledged_alert_stays_so_until_it_is_over() -> None:
    alert = replace(noticed(None, FAILED, at(0))[0], state="acknowledged", announced_state="firing")
    assert noticed(alert, FAILED, at(1))[0].state == "acknowledged"
    assert is_over(alert, at(2))[0].state == "resolved"


@pytest.mark.parametrize(
    "configured", ["json://user:hush@example.org", "a=json://x/hush a=json://y", "a=nothing//hush"]
)
def test_a_channel_that_cannot_be_read_is_refused_without_showing_its_secret(configured: str) -> None:
    with pytest.raises(PlimsollError, match="PLIMSOLL_ALERT_CHANNELS") as refused:
        channels(configured)
    assert "hush" not in str(refused.value)


def test_the_log_is_always_a_channel(caplog: pytest.LogCaptureFixture) -> None:
    assert channels("")["log"]("[high] data_late", "nothing landed\nsince noon", "firing", "high") is None
    assert caplog.messages == ["[high] data_late: nothing landed since noon"]
