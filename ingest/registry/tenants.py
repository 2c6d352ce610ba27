"""Tenants: whose sites, devices and events they are."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row


def put_tenant(connection: psycopg.Connection, tenant_id: str, name: str | None = None) -> None:
    """Register a tenant, or name one anew; without a name it is called by its id until it has one."""
    connection.execute(
        """
        INSERT INTO registry.tenants (tenant_id, name) VALUES (%(tenant_id)s, coalesce(%(name)s, %(tenant_id)s))
        ON CONFLICT (tenant_id) DO UPDATE SET name = coalesce(%(name)s, tenants.name)
        """,
        {"tenant_id": tenant_id, "name": name},
    )


def list_tenants(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """Every tenant with its number of active sites and of devices that are valid now."""
    query = """
        SELECT tenant_id, name,
            (SELECT count(*) FROM registry.sites AS s WHERE s.tenant_id = t.tenant_id AND is_active) AS sites,
            (SELECT count(DISTINCT device_id) FROM registry.devices AS d
             WHERE d.tenant_id = t.tenant_id AND now() >= valid_from AND now() < valid_to) AS devices
        FROM registry.tenants AS t ORDER BY tenant_id
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()
