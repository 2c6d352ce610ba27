"""What a lander tells Prometheus."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ingest.lander.landing import Batch
from ingest.lander.source import Partition
from plimsoll.metrics import new_registry

_BATCH_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class LanderMetrics:
    """The counters and gauges of one lander, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.registry = new_registry()
        name = "plimsoll_lander_{}".format
        self._rows = Counter(name("rows"), "Rows landed.", ["topic"], registry=self.registry)
        self._rejects = Counter(
            name("rejects"), "Messages refused, by reason code.", ["topic", "reason"], registry=self.registry
        )
        self._bytes = Counter(name("bytes"), "Size of the messages' values.", ["topic"], registry=self.registry)
        self._batches = Histogram(
            name("batch_seconds"), "Time to write and commit one batch.",
            buckets=_BATCH_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._lag = Gauge(
            name("partition_lag_messages"), "Messages in Kafka, not landed, of the partitions held here.",
            ["topic", "partition"], registry=self.registry,
        )  # fmt: skip
        self._landed_at = Gauge(
            name("last_landing_timestamp_seconds"), "When the last batch was committed.", registry=self.registry
        )

    def landed(self, batch: Batch) -> None:
        """Count a batch that was committed."""
        for topic, size in batch.bytes_read.items():
            self._bytes.labels(topic).inc(size)
            self._rows.labels(topic).inc(len(batch.rows.get(topic, ())))
        for reject in batch.rejects:
            self._rejects.labels(reject.message.topic, reject.error.code).inc()
        self._batches.observe(batch.write_s)
        self._landed_at.set(time.time())

    def lag(self, messages: Mapping[Partition, int]) -> None:
        """Take what each partition held here is behind; the others are another lander's."""
        self._lag.clear()
        for (topic, partition), count in messages.items():
            self._lag.labels(topic, str(partition)).set(count)
