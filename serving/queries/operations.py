"""Hotspots, recommendations and alerts as recorded in `ops`."""

HOTSPOTS = """
    SELECT
        h.hotspot_id, h.entity_kind, h.entity_id, h.direction_id, h.rule, h.source, h.state, h.severity, h.threshold,
        h.load_factor, h.peak_load_factor, h.crowded_passenger_minutes, h.first_seen_at, h.started_at, h.observed_at,
        h.ended_at, h.window_from, h.window_to, h.evidence,
        coalesce(s.name, r.route_name || ' → ' || r.headsign, t.location, h.evidence ->> 'name', h.entity_id) AS name
    FROM ops.hotspots AS h
    LEFT JOIN registry.sites AS s ON s.tenant_id = h.tenant_id AND s.site_id = h.entity_id AND h.entity_kind = 'site'
    LEFT JOIN registry.routes AS r
        ON r.tenant_id = h.tenant_id AND r.route_id = h.entity_id AND r.direction_id = h.direction_id
        AND h.entity_kind = 'route'
    LEFT JOIN live.traffic AS t
        ON t.tenant_id = h.tenant_id AND t.stream_id::text = h.entity_id AND h.entity_kind = 'site'
    WHERE h.tenant_id = %(tenant_id)s
        AND h.state = ANY(%(states)s)
        AND (%(source)s::text IS NULL OR h.source = %(source)s)
        AND (%(kind)s::text IS NULL OR h.entity_kind = %(kind)s)
        AND (%(entity_id)s::text IS NULL OR h.entity_id = %(entity_id)s)
        AND (
            %(after_minutes)s::double precision IS NULL
            OR (h.crowded_passenger_minutes, h.hotspot_id) < (%(after_minutes)s, %(after_id)s::uuid)
        )
    ORDER BY h.crowded_passenger_minutes DESC, h.hotspot_id DESC
    LIMIT %(limit)s
"""

RECOMMENDATIONS = """
    SELECT
        recommendation_id, hotspot_id, action, summary, entity_kind, entity_id, direction_id, state, confidence,
        preconditions, evidence, expected_effect, created_at, expires_at, decided_at, decided_by, reason
    FROM ops.recommendations
    WHERE tenant_id = %(tenant_id)s
        AND state = ANY(%(states)s)
        AND (NOT %(only_open)s OR expires_at > now())
        AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s)
        AND (
            %(after_at)s::timestamptz IS NULL
            OR (created_at, recommendation_id) < (%(after_at)s, %(after_id)s::uuid)
        )
    ORDER BY created_at DESC, recommendation_id DESC
    LIMIT %(limit)s
"""

ALERTS = """
    SELECT
        alert_id, rule, entity_kind, entity_id, state, severity, message, evidence, first_seen_at, started_at, ended_at,
        updated_at, announced_at
    FROM ops.alerts
    WHERE tenant_id = %(tenant_id)s
        AND state = ANY(%(states)s)
        AND (%(rule)s::text IS NULL OR rule = %(rule)s)
        AND (
            %(after_at)s::timestamptz IS NULL
            OR (first_seen_at, alert_id) < (%(after_at)s, %(after_id)s::uuid)
        )
    ORDER BY first_seen_at DESC, alert_id DESC
    LIMIT %(limit)s
"""
