"""The state of the platform's parts. What is not about a tenant says nothing of any tenant's data."""

LANDING = """
    SELECT
        o.topic,
        jsonb_object_agg(o.partition, o.next_offset) FILTER (WHERE o.partition >= 0) AS next_offsets,
        max(b.landed_at) AS last_landed_at,
        max(b.newest_event_at) AS newest_event_at
    FROM ingest.offsets AS o
    LEFT JOIN LATERAL (
        SELECT landed_at, newest_event_at
        FROM ingest.landing_batches
        WHERE topic = o.topic
        ORDER BY landed_at DESC
        LIMIT 1
    ) AS b ON true
    GROUP BY o.topic
    ORDER BY o.topic
"""

# The tenant whose newest forecast is the oldest: one that is forgotten must not hide behind the others.
FORECAST_AGE = """
    SELECT newest.origin_at, newest.model_version, newest.created_at
    FROM registry.tenants AS t
    CROSS JOIN LATERAL (
        SELECT origin_at, model_version, created_at
        FROM forecast.occupancy_hourly AS f
        WHERE f.tenant_id = t.tenant_id
        ORDER BY origin_at DESC
        LIMIT 1
    ) AS newest
    ORDER BY newest.origin_at
    LIMIT 1
"""

# The newest figure, and the newest event that landed: the mart is behind when the second is much younger.
MARTS_AGE = """
    SELECT
        (SELECT refreshed_at FROM marts.fct_occupancy_hourly ORDER BY refreshed_at DESC LIMIT 1) AS refreshed_at,
        (SELECT max(landed_at) FROM ingest.offsets WHERE topic = 'occupancy.events') AS landed_at
"""

# Dead letters have a place in the ledger, and are no streams.
STREAMS = """
    SELECT
        o.topic,
        coalesce(sum(b.rows_landed), 0)::bigint AS landed_last_hour,
        coalesce(sum(b.rows_rejected), 0)::bigint AS rejected_last_hour,
        o.last_landed_at,
        max(b.newest_event_at) AS newest_event_at
    FROM (
        SELECT topic, max(landed_at) AS last_landed_at
        FROM ingest.offsets
        WHERE right(topic, 4) <> '.dlq'
        GROUP BY topic
    ) AS o
    LEFT JOIN ingest.landing_batches AS b ON b.topic = o.topic AND b.landed_at > now() - interval '1 hour'
    GROUP BY o.topic, o.last_landed_at
    ORDER BY o.topic
"""

DEVICES = """
    SELECT coalesce(status, 'unknown') AS status, count(*) AS devices
    FROM live.device
    WHERE tenant_id = %(tenant_id)s
    GROUP BY 1
"""

CHAMPIONS = """
    SELECT
        m.series_group, m.model_version, m.trained_from, m.trained_to, m.created_at,
        coalesce(
            (
                SELECT jsonb_agg(
                    jsonb_build_object(
                        'method', b.method, 'horizon_h', b.horizon_h, 'wape', b.wape, 'mase', b.mase,
                        'bias', b.bias, 'coverage_80', b.coverage_80
                    ) ORDER BY b.horizon_h, b.method
                )
                FROM forecast.backtests AS b
                WHERE b.tenant_id = m.tenant_id AND b.model_version = m.model_version
            ),
            '[]'
        ) AS errors
    FROM forecast.models AS m
    WHERE m.tenant_id = %(tenant_id)s AND m.status = 'champion'
    ORDER BY m.series_group
"""
