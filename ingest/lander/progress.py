"""How far the landers are behind Kafka, seen from outside: the ledger against the topics' ends."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from ingest.lander.ledger import landed_offsets
from ingest.lander.source import Partition


def lag(
    connection: psycopg.Connection, ends: Mapping[Partition, int], topic_ids: Mapping[str, str]
) -> dict[Partition, int]:
    """(topic, partition) to the number of messages before its end that are not landed yet.

    Args:
        connection: to the ledger.
        ends: (topic, partition) to the offset after the last message that counts.
        topic_ids: the topics' ids now; what was landed of a topic that had another id says nothing of this one.
    """
    landed = landed_offsets(connection, topic_ids)
    return {partition: max(0, end - landed.get(partition, 0)) for partition, end in ends.items()}
