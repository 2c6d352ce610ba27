"""GTFS static feeds: `feed` reads the files, `timetable` is what the platform takes from them, `store` writes it."""

from ingest.registry.gtfs.feed import read_feed
from ingest.registry.gtfs.store import store_feed
from ingest.registry.gtfs.timetable import Timetable

__all__ = ["Timetable", "read_feed", "store_feed"]
