"""`plimsoll load` and `plimsoll rejects`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest import options
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ingest.load import Loaded
    from ingest.rejects import DeadLetter, ReasonCount, Selection

rejects = typer.Typer(no_args_is_help=True, help="Messages that a contract refused: list, show, replay.")
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Refused since: 2026-01-15, 2026-01-15T12:00Z (UTC), or 90m, 2h, 7d.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Refused before; written like --since.")]
Topic = Annotated[str | None, typer.Option(help="Only this stream.")]
Reason = Annotated[str | None, typer.Option(help="Only this reason, such as invalid_field.")]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def load(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or NDJSON files; CSV and NDJSON also as .gz.")],
    map_: options.Map = None,
    set_: options.Set = None,
    tz: options.Zone = None,
    stream: options.Stream = options.DEFAULT_STREAM,
    tenant: options.Tenant = None,
    kind: options.Kind = "venue",
    hold: options.Hold = None,
) -> None:
    """Load history from files without Kafka, each row once, by the same contract.

    A load that was broken off goes on where it stopped when the same command is run again; a file that is loaded
    already is passed over. Sites that the registry lacks are registered. A file without a site column is one site,
    named after the file.

    plimsoll load dataset.csv --map site_id=SystemCodeNumber --map occupancy=Occupancy --map capacity=Capacity
    --map ts_device=LastUpdated --tz Europe/London
    """
    import signal
    import threading
    import time

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ingest.bulk import bulk_session
    from ingest.load import load as load_file
    from plimsoll.settings import Settings

    settings = Settings.load()
    options.check_kind(kind)
    plans = [options.plan(settings, file, stream, map_, set_, tz, tenant) for file in files]
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for plan in plans:
            task = progress.add_task(plan.file.name, total=None)
            started = time.monotonic()
            with bulk_session(settings.require_database_url(), f"load {plan.file.name}") as connection:
                options.require_tenant(connection, plan.tenant_id)
                loaded = load_file(
                    connection, plan, stop, partial(_show, progress, task, plan.file.name),
                    partial(options.register, connection, plan, kind, hold),
                )  # fmt: skip
            typer.echo(f"{plan.file.name}: {_outcome(loaded, time.monotonic() - started)}")
            if stop.is_set():
                raise typer.Exit(130)


def _show(progress: Progress, task: TaskID, name: str, doing: str, done: int, size: int) -> None:
    progress.update(task, description=f"{doing} {name}", completed=done, total=size)


def _outcome(loaded: Loaded, seconds: float) -> str:
    totals = f"{loaded.rows:,} rows landed, {loaded.rejected:,} rejected"
    if loaded.done_before_at is not None:
        return f"loaded already, on {loaded.done_before_at:%Y-%m-%d %H:%M} UTC ({totals}); nothing to do"
    if not loaded.is_complete:
        return f"stopped after {totals}; run the same command again to go on"
    earlier = loaded.rows + loaded.rejected - loaded.now
    before = f", {earlier:,} of them by an earlier run" if earlier else ""
    return f"{totals}{before} ({loaded.now / max(seconds, 1e-3):,.0f} rows/s)"


@rejects.command("list")
def list_(
    since: Since = None,
    until: Until = None,
    topic: Topic = None,
    reason: Reason = None,
    newest: Annotated[int, typer.Option(min=0, help="How many of the newest to show.")] = 10,
) -> None:
    """Count what was refused by reason, and show the newest."""
    from rich.console import Console

    from ingest import rejects as letters
    from plimsoll.database import connect, migrated
    from plimsoll.settings import Settings

    selection = _selection(since, until, topic, reason)
    with connect(Settings.load().require_database_url(), autocommit=True) as connection, migrated():
        counts = letters.count_by_reason(connection, selection)
        examples = letters.newest(connection, selection, newest)
    console = Console()
    if not counts:
        console.print("nothing was refused")
        return
    console.print(_counts_table(counts))
    if examples:
        console.print(_examples_table(examples))


def _counts_table(counts: list[ReasonCount]) -> object:
    from rich import box
    from rich.table import Table

    table = Table("topic", "reason", "field", box=box.SIMPLE)
    for heading in ("messages", "not landed", "newest (UTC)"):
        table.add_column(heading, justify="right")
    for count in counts:
        table.add_row(
            count.topic, count.reason_code, count.field or "", f"{count.messages:,}", f"{count.waiting:,}",
            f"{count.newest_at:%Y-%m-%d %H:%M:%S}",
        )  # fmt: skip
    return table


def _examples_table(examples: list[DeadLetter]) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "refused (UTC)", "from", "reason", "landed since", box=box.SIMPLE)
    for letter in examples:
        reason = f"{letter.field}: {letter.reason}" if letter.field else letter.reason
        table.add_row(
            str(letter.rejected_id), f"{letter.rejected_at:%m-%d %H:%M:%S}",
            escape(_readable(letter.came_from.encode())), escape(reason),
            f"{letter.replayed_at:%m-%d %H:%M}" if letter.replayed_at else "",
        )  # fmt: skip
    return table


@rejects.command()
def show(rejected_id: Annotated[int, typer.Argument(metavar="ID", help="As `rejects list` gives it.")]) -> None:
    """Show one refused message: where it came from, why it was refused, and what it was."""
    from ingest.rejects import find
    from plimsoll.database import connect, migrated
    from plimsoll.settings import Settings

    with connect(Settings.load().require_database_url(), autocommit=True) as connection, migrated():
        letter = find(connection, rejected_id)
    if letter is None:
        raise PlimsollError(f"there is no refused message {rejected_id}; `plimsoll rejects list` shows their numbers")
    typer.echo(f"from      {_readable(letter.came_from.encode())}, key {_readable(letter.key)}")
    typer.echo(f"arrived   {letter.broker_at:%Y-%m-%d %H:%M:%S} UTC, refused {letter.rejected_at:%Y-%m-%d %H:%M:%S}")
    typer.echo(f"reason    {letter.reason_code} ({letter.stage}): {letter.field or 'message'}: {letter.reason}")
    typer.echo(
        f"landed    {f'by replay at {letter.replayed_at:%Y-%m-%d %H:%M:%S} UTC' if letter.replayed_at else 'no'}"
    )
    typer.echo(_readable(letter.value))


def _readable(payload: bytes | None) -> str:
    """Text where it is text; bytes that are not, and signs that would play with the terminal, are escaped."""
    if payload is None:
        return "(none)"
    text = payload.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


@rejects.command()
def replay(since: Since = None, until: Until = None, topic: Topic = None, reason: Reason = None) -> None:
    """Try refused messages again by contracts and registry as they are now, and land what is valid, each once."""
    from ingest import rejects as letters
    from ingest.bulk import bulk_session
    from ingest.gateways.admission import Admission
    from plimsoll.contracts import load_contracts
    from plimsoll.settings import Settings

    settings = Settings.load()
    contracts = load_contracts(settings.contracts_dir)
    if topic is not None and topic not in contracts:
        raise PlimsollError(f"--topic {topic}: no such contract; there are {', '.join(contracts)}")
    admission = Admission(
        contracts,
        unregistered_devices=settings.mode == "development",
        max_message_bytes=settings.max_body_bytes,
    )
    with bulk_session(settings.require_database_url(), "rejects replay") as connection:
        selection = _selection(since, until, topic, reason)
        done = letters.replay(connection, contracts, admission, selection)
        parts = letters.count_parts(connection, selection)
    typer.echo(f"landed {done.landed:,} messages, {done.refused:,} are still refused")
    if parts:
        typer.echo(f"{parts:,} messages are kept only in part and cannot be replayed: they were too large")


def _selection(since: str | None, until: str | None, topic: str | None, reason: str | None) -> Selection:
    from ingest.rejects import Selection

    return Selection(_instant("--since", since), _instant("--until", until), topic, reason)


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit():
            return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise PlimsollError(
            f"{option} {text}: write a time such as 2026-01-15, 2026-01-15T12:00Z, or an age such as 90m, 2h, 7d"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
