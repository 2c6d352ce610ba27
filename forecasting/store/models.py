"""The model registry in PostgreSQL: versions with their artefact, errors and fate. One champion per tenant and group.

Whether one model is better than another is decided elsewhere; here the decision is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from forecasting.plain import plain
from plimsoll.errors import PlimsollError

_LOCK_SPACE = 7_305_803  # first half of advisory locks on a tenant's models


class ModelNotFound(PlimsollError):
    """The tenant has no such model version, or none to go back to."""


@dataclass(frozen=True)
class StoredModel:
    """One model version as registered; `artefact` is empty in lists."""

    model_version: str
    series_group: str
    status: str
    trained_from: datetime
    trained_to: datetime
    created_at: datetime
    decided_at: datetime | None
    decision: dict[str, Any]
    metadata: dict[str, Any]
    artefact: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class ChampionErrors:
    """A champion with the errors of its trial; a measure is None where it was promoted without one."""

    tenant_id: str
    series_group: str
    model_version: str
    trained_to: datetime
    wape: float | None
    baseline_wape: float | None
    coverage_80: float | None


def save_model(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    group: str,
    model_version: str,
    artefact: bytes,
    trained_from: datetime,
    trained_to: datetime,
    metadata: Mapping[str, Any],
) -> bool:
    """Register a trained model as challenger, if this version is not registered yet.

    Returns:
        Whether the version still awaits its trial: it is new, or the trial was broken off.
    """
    connection.execute(
        """
        INSERT INTO forecast.models
            (tenant_id, series_group, model_version, status, trained_from, trained_to, metadata, artefact)
        VALUES (%s, %s, %s, 'challenger', %s, %s, %s, %s)
        ON CONFLICT (tenant_id, model_version) DO NOTHING
        """,
        [tenant_id, group, model_version, trained_from, trained_to, Jsonb(plain(metadata)), artefact],
    )
    row = connection.execute(
        "SELECT decided_at IS NULL FROM forecast.models WHERE tenant_id = %s AND model_version = %s",
        [tenant_id, model_version],
    ).fetchone()
    return row is not None and bool(row[0])


def promote(
    connection: psycopg.Connection,
    tenant_id: str,
    model_version: str,
    *,
    decision: Mapping[str, Any],
    now: datetime,
) -> str | None:
    """Make a version the champion of its group, record why, and return the version it replaces.

    Promoting the present champion changes nothing.

    Raises:
        ModelNotFound: the tenant has no such version.
    """
    with connection.transaction():
        _lock_models(connection, tenant_id)
        champion = _champion_version(connection, tenant_id, _require_model(connection, tenant_id, model_version))
        if champion == model_version:
            return None
        _set_status(connection, tenant_id, champion, "retired", now)
        record = dict(decision) | {"replaces": champion}
        _set_status(connection, tenant_id, model_version, "champion", now, record)
        return champion


def reject(
    connection: psycopg.Connection,
    tenant_id: str,
    model_version: str,
    *,
    decision: Mapping[str, Any],
    now: datetime,
) -> None:
    """Record why a challenger was not promoted.

    Raises:
        ModelNotFound: the tenant has no such version.
        PlimsollError: the version is the champion; promote another or roll back instead.
    """
    with connection.transaction():
        _lock_models(connection, tenant_id)
        group = _require_model(connection, tenant_id, model_version)
        if _champion_version(connection, tenant_id, group) == model_version:
            raise PlimsollError(f"model {model_version} is the champion: promote another or roll back instead")
        _set_status(connection, tenant_id, model_version, "rejected", now, dict(decision))


def rollback(
    connection: psycopg.Connection, tenant_id: str, group: str, *, actor: str, reason: str, now: datetime
) -> str:
    """Give the place of the group's champion back to the version it replaced; return that version.

    Raises:
        ModelNotFound: there is no champion, or it replaced none.
    """
    with connection.transaction():
        _lock_models(connection, tenant_id)
        row = connection.execute(
            """
            SELECT champion.model_version, earlier.model_version, earlier.decision
            FROM forecast.models AS champion
            LEFT JOIN forecast.models AS earlier
                ON earlier.tenant_id = champion.tenant_id
                AND earlier.model_version = champion.decision ->> 'replaces'
            WHERE champion.tenant_id = %s AND champion.series_group = %s AND champion.status = 'champion'
            """,
            [tenant_id, group],
        ).fetchone()
        if row is None or row[1] is None:
            raise ModelNotFound(
                f"tenant {tenant_id!r} has no earlier champion of group {group!r} to go back to; "
                "`plimsoll forecast list` shows its models"
            )
        champion, earlier, decision = row
        note = {"rolled_back_from": champion, "by": actor, "reason": reason, "at": now.isoformat()}
        _set_status(connection, tenant_id, champion, "retired", now)
        _set_status(connection, tenant_id, earlier, "champion", now, decision | {"rollback": note})
        return str(earlier)


def list_models(connection: psycopg.Connection, tenant_id: str) -> list[StoredModel]:
    """All versions of the tenant by group, newest first, without their artefacts."""
    with connection.cursor(row_factory=class_row(StoredModel)) as cursor:
        return cursor.execute(
            """
            SELECT model_version, series_group, status, trained_from, trained_to, created_at, decided_at, decision,
                metadata
            FROM forecast.models WHERE tenant_id = %s ORDER BY series_group, created_at DESC, model_version
            """,
            [tenant_id],
        ).fetchall()


def champion_errors(connection: psycopg.Connection) -> list[ChampionErrors]:
    """Every tenant's champions by group, with what their trials measured; the baseline is the four-week mean."""
    with connection.cursor(row_factory=class_row(ChampionErrors)) as cursor:
        return cursor.execute(
            """
            SELECT champion.tenant_id, champion.series_group, champion.model_version, champion.trained_to,
                own.wape, baseline.wape AS baseline_wape, own.coverage_80
            FROM forecast.models AS champion
            LEFT JOIN forecast.backtests AS own
                ON (own.tenant_id, own.model_version) = (champion.tenant_id, champion.model_version)
                AND own.method = 'champion'
            LEFT JOIN forecast.backtests AS baseline
                ON (baseline.tenant_id, baseline.model_version, baseline.horizon_h)
                    = (own.tenant_id, own.model_version, own.horizon_h)
                AND baseline.method = 'four_week_mean'
            WHERE champion.status = 'champion'
            ORDER BY champion.tenant_id, champion.series_group
            """
        ).fetchall()


def load_champion(connection: psycopg.Connection, tenant_id: str, group: str) -> StoredModel | None:
    """The group's champion with its artefact, however old."""
    return champion_or_none(connection, tenant_id, group, now=datetime.now(UTC), max_age=None)


def champion_or_none(
    connection: psycopg.Connection, tenant_id: str, group: str, *, now: datetime, max_age: timedelta | None
) -> StoredModel | None:
    """The group's champion, unless there is none or its training data end more than `max_age` before `now`."""
    oldest = None if max_age is None else now - max_age
    with connection.cursor(row_factory=class_row(StoredModel)) as cursor:
        return cursor.execute(
            """
            SELECT model_version, series_group, status, trained_from, trained_to, created_at, decided_at, decision,
                metadata, artefact
            FROM forecast.models
            WHERE tenant_id = %s AND series_group = %s AND status = 'champion'
                AND (%s::timestamptz IS NULL OR trained_to >= %s)
            """,
            [tenant_id, group, oldest, oldest],
        ).fetchone()


def load_model(connection: psycopg.Connection, tenant_id: str, model_version: str) -> StoredModel | None:
    """Any registered version with its artefact."""
    with connection.cursor(row_factory=class_row(StoredModel)) as cursor:
        return cursor.execute(
            """
            SELECT model_version, series_group, status, trained_from, trained_to, created_at, decided_at, decision,
                metadata, artefact
            FROM forecast.models WHERE tenant_id = %s AND model_version = %s
            """,
            [tenant_id, model_version],
        ).fetchone()


def save_backtests(
    connection: psycopg.Connection, tenant_id: str, model_version: str, backtests: Iterable[Mapping[str, Any]]
) -> int:
    """Record measured errors, replacing those of the same version, method and horizon; return how many.

    Args:
        connection: an open connection.
        tenant_id: whose model.
        model_version: a registered version.
        backtests: mappings with `method, horizon_h, origins, window_from, window_to, wape, mase, bias, coverage_80`;
            a measure that is NaN or absent is stored as null.
    """
    measures = ("wape", "mase", "bias", "coverage_80")
    rows = [
        [
            *(tenant_id, model_version, row["method"], int(row["horizon_h"]), int(row["origins"])),
            *(row["window_from"], row["window_to"]),
            *(plain(row.get(name)) for name in measures),
        ]
        for row in backtests
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO forecast.backtests (tenant_id, model_version, method, horizon_h, origins,
                                            window_from, window_to, wape, mase, bias, coverage_80)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (tenant_id, model_version, method, horizon_h) DO UPDATE SET
                origins = excluded.origins, window_from = excluded.window_from, window_to = excluded.window_to,
                wape = excluded.wape, mase = excluded.mase, bias = excluded.bias,
                coverage_80 = excluded.coverage_80, created_at = excluded.created_at
            """,
            rows,
        )
    return len(rows)


def _lock_models(connection: psycopg.Connection, tenant_id: str) -> None:
    """Let one decision at a time be taken on a tenant's models, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_SPACE, tenant_id])


def _champion_version(connection: psycopg.Connection, tenant_id: str, group: str) -> str | None:
    row = connection.execute(
        "SELECT model_version FROM forecast.models WHERE tenant_id = %s AND series_group = %s AND status = 'champion'",
        [tenant_id, group],
    ).fetchone()
    return row[0] if row else None


def _require_model(connection: psycopg.Connection, tenant_id: str, model_version: str) -> str:
    """The group of a registered version."""
    row = connection.execute(
        "SELECT series_group FROM forecast.models WHERE tenant_id = %s AND model_version = %s",
        [tenant_id, model_version],
    ).fetchone()
    if row is None:
        raise ModelNotFound(
            f"tenant {tenant_id!r} has no model {model_version!r}; `plimsoll forecast list` shows those it has"
        )
    return str(row[0])


def _set_status(
    connection: psycopg.Connection,
    tenant_id: str,
    model_version: str | None,
    status: str,
    now: datetime,
    decision: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        """
        UPDATE forecast.models SET status = %s, decided_at = %s, decision = coalesce(%s, decision)
        WHERE tenant_id = %s AND model_version = %s
        """,
        [status, now, None if decision is None else Jsonb(plain(decision)), tenant_id, model_version],
    )
