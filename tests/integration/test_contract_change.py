"""A new field and a whole new stream, by YAML alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer

from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]

NEW_FIELD = (
    "      - {name: people_waiting, logicalType: integer, physicalType: integer, description: People at the stop.}\n"
)

# Every logical type that the other contracts do not use.
OF_OTHER_TYPES = """
      - {name: doors, logicalType: array, description: "State of each door, front first."}
      - {name: scale, logicalType: object, description: What the scale says of itself.}
      - {name: is_full, logicalType: boolean, description: Whether nobody fits in.}
      - {name: checked_on, logicalType: date, description: Day of the last inspection.}
"""


@pytest.fixture
def changed(tmp_path: Path, platform_env: dict[str, str]) -> dict[str, str]:
    """An installation's own copy of the contracts, with a field added to one and a stream added beside them."""
    contracts, dbt_project = tmp_path / "data" / "contracts", tmp_path / "dbt_project"
    shutil.copytree(PROJECT_DIR / "data" / "contracts", contracts)
    (dbt_project / "models" / "staging").mkdir(parents=True)
    occupancy = contracts / "occupancy.events.yaml"
    occupancy.write_text(occupancy.read_text().replace("    properties:\n", f"    properties:\n{NEW_FIELD}", 1))
    stream = f"lift.loads.{uuid.uuid4().hex[:6]}"
    text = (contracts / "device.heartbeats.yaml").read_text()
    text = text.replace("device.heartbeats", stream).replace("device_heartbeats", "lift_loads")
    text = text.replace("name: uptime_s,", "name: load_kg,").replace("[uptime_s]", "[load_kg]")
    text = text.replace("    properties:\n", f"    properties:{OF_OTHER_TYPES}", 1)
    text = text.replace("table: device,", "table: lift,").replace("columns: [uptime_s,", "columns: [load_kg, scale,")
    (contracts / "lift.loads.yaml").write_text(text)
    return {"PLIMSOLL_CONTRACTS_DIR": str(contracts), "PLIMSOLL_DBT_PROJECT_DIR": str(dbt_project), "stream": stream}


def test_a_field_and_a_stream_are_added_with_yaml_only(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll, changed: dict[str, str]
) -> None:
    stream = changed.pop("stream")

    behind = plimsoll("contracts", "check", check=False, **changed)
    plimsoll("contracts", "migrate", "--name", "lift loads", **changed)
    plimsoll("migrate", **changed)
    plimsoll("topics", **changed)
    plimsoll("contracts", "check", **changed)
    site = f"yaml-{uuid.uuid4().hex[:8]}"
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    producer.send(
        "occupancy.events",
        json.dumps(
            {"site_id": site, "ts_device": "2026-01-15T12:00:00Z", "occupancy": 3, "people_waiting": 11}
        ).encode(),
    )
    lift = {"device_id": "L1", "ts_device": "2026-01-15T12:00:00Z", "load_kg": 450}
    others = {"doors": ["open", 1, None], "scale": {"é": [{"by": 2**70}]}, "is_full": False, "checked_on": "2026-01-02"}
    for sent in (lift | others, lift | {"load_kg": -1}, lift | {"doors": {"front": 1}}, lift | {"device_id": "L2"}):
        producer.send(stream, json.dumps(sent).encode())
    producer.flush()
    plimsoll("lander", "run", "--until-caught-up", **changed)

    assert behind.returncode == 1
    assert "raw.occupancy_events.people_waiting: missing" in behind.stdout
    assert "raw.lift_loads: missing" in behind.stdout
    assert connection.execute(
        "SELECT people_waiting FROM raw.occupancy_events WHERE site_id = %s", [site]
    ).fetchone() == (11,)
    rows = connection.execute(
        "SELECT device_id, load_kg, doors, scale, is_full, checked_on::text, extra FROM raw.lift_loads ORDER BY 1"
    ).fetchall()
    assert rows == [("L1", 450, *others.values(), None), ("L2", 450, None, None, None, None, None)]
    lifts = connection.execute("SELECT device_id, scale FROM live.lift ORDER BY device_id").fetchall()
    assert lifts == [("L1", others["scale"]), ("L2", None)]
    assert connection.execute(
        "SELECT field FROM ingest.rejected_messages WHERE topic = %s ORDER BY field", [stream]
    ).fetchall() == [("doors",), ("load_kg",)]
