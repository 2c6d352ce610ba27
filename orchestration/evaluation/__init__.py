"""Joins the simulated city, which knows the truth, with hotspots and recommendations, which must find it."""
