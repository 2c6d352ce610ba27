"""How fast events come in, beside the limit and a peer, on one PostgreSQL and one Kafka: `make bench-ingest`.

`python bench/ingest_all.py [PART …]`; without a part, all of them. What is measured in one run can be compared; on a
machine that has other work to do only the ratios count.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import ingest_fleet
import ingest_gateways
import ingest_growth
import ingest_lander
import ingest_latency
import ingest_limit
import ingest_peer
import ingest_profile
import typer
from ingest_ground import Ground, Row, console, ground
from rich.table import Table


@dataclass
class Options:
    """The size of a run."""

    events: int
    peer_events: int
    seconds: float
    history: list[int]
    buses: int
    minutes: float


def _landing(on: Ground, options: Options) -> list[Row]:
    on.produce_until(options.events)
    limit = ingest_limit.copy_limit(on, min(options.events, 300_000))
    rows = [Row("limit: psycopg binary COPY of the decoded rows", f"{limit:,.0f} rows/s")]
    rows += ingest_lander.measure(on, limit)
    for client in ingest_lander.CLIENTS:
        rows += ingest_profile.measure(on, client, min(options.events, 100_000))
    return rows


def _two_landers(on: Ground, options: Options) -> list[Row]:
    on.produce_until(options.events)
    return ingest_lander.measure_two(on)


def _peer(on: Ground, options: Options) -> list[Row]:
    on.produce_until(options.events)
    with console.status("one lander, kafka-python"):
        ours = ingest_lander.land(on, "kafka-python").rate
    return ingest_peer.measure(on, options.peer_events, ours)


def _latency(on: Ground, options: Options) -> list[Row]:
    return [row for client in ingest_lander.CLIENTS for row in ingest_latency.measure(on, client, options.seconds)]


def _gateways(on: Ground, options: Options) -> list[Row]:
    return ingest_gateways.measure(on, options.seconds)


def _growth(on: Ground, options: Options) -> list[Row]:
    return ingest_growth.measure(on, options.history)


def _fleet(on: Ground, options: Options) -> list[Row]:
    return ingest_fleet.measure(on, options.buses, options.minutes)


PARTS: dict[str, Callable[[Ground, Options], list[Row]]] = {
    "landing": _landing,
    "two": _two_landers,
    "peer": _peer,
    "latency": _latency,
    "gateways": _gateways,
    "growth": _growth,
    "fleet": _fleet,
}


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; default: all.")] = None,
    events: Annotated[int, typer.Option(min=50_000, help="Events that each lander lands.")] = 400_000,
    peer_events: Annotated[int, typer.Option(min=10_000, help="Events that the peer lands.")] = 100_000,
    seconds: Annotated[float, typer.Option(min=2, help="How long each rate is kept up.")] = 10,
    history: Annotated[
        list[int] | None, typer.Option(help="Rows of history to grow to; repeat it. Default: 2000000.")
    ] = None,
    buses: Annotated[int, typer.Option(min=2, help="Buses of the fleet, each at 1 Hz.")] = 1_000,
    minutes: Annotated[float, typer.Option(min=0.2, help="How long the fleet drives.")] = 1,
) -> None:
    """Measure and print a table; a line per part as it is done."""
    unknown = set(parts or ()) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    options = Options(events, peer_events, seconds, history or [2_000_000], buses, minutes)
    table = Table(title=f"Ingest, {os.cpu_count()} cores, Python {platform.python_version()}")
    for column in ("what", "measured", "wanted", ""):
        table.add_column(column, overflow="fold")
    with ground() as on:
        for part in parts or PARTS:
            started = time.monotonic()
            rows = PARTS[part](on, options)
            for row in rows:
                mark = "" if row.is_met is None else "met" if row.is_met else "missed"
                table.add_row(row.what, row.figure, row.wanted, mark)
                console.print(f"{row.what}: {row.figure}  {row.wanted} {mark}", highlight=False)
            console.print(f"[dim]{part}: {time.monotonic() - started:.0f} s[/]")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
