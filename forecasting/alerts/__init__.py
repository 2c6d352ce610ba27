"""Alerts: what a person should know of, told once, until it is over.

`model` has the rules and the life cycle (pure), `signals` reads what is wrong, `records` writes, `watching` joins them;
`delivery` tells people and `channels` how. Whoever notices something by itself calls `raise_alert` and `resolve_alert`.
"""

from forecasting.alerts.model import Alert, Condition
from forecasting.alerts.records import acknowledge, raise_alert, resolve_alert

__all__ = ["Alert", "Condition", "acknowledge", "raise_alert", "resolve_alert"]
