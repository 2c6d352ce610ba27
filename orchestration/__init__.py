"""Dagster: which asset follows which, when each runs, and what must hold before the next. No business logic."""
