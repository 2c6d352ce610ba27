"""How far the landers are behind Kafka, seen from outside: the ledger against the topics' ends."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from ingest.lander.ledger import landed_offsets
from ingest.lander.source import Partition


def lag(connection: psycopg.Connection, ends: Mapping[Partition, int]) -> dict[Partition, int]:
    """(topic, partition) to the number of messages before its end that are not landed yet."""
    landed = landed_offsets(connection)
    return {partition: max(0, end - landed.get(partition, 0)) for partition, end in ends.items()}
