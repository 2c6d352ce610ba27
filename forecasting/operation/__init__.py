"""A tenant's forecasts in operation: train, judge, promote, predict, watch, explain.

Joins the forecasting core, which knows no database, with its store. What runs when is decided by the orchestrator.
"""
