"""Hotspots: where it is too full now or will be, found with hysteresis and recorded with their life cycle.

The decisions (`live`, `ahead`) are pure; `observations` and `forecasts` read, `records` writes, `detection` joins them.
"""

from forecasting.hotspots.detection import DetectionResult, detect
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.hotspots.records import acknowledge

__all__ = ["DetectionResult", "Entity", "Hotspot", "HotspotPolicy", "acknowledge", "detect"]
