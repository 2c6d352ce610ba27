"""`plimsoll lander`: run the lander as a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingest.lander.lander import Landed, Lander

BESIDE_GRACE_S = 5
app = typer.Typer(no_args_is_help=True, help="Land Kafka's messages in Postgres, exactly once.")


@app.command()
def run(
    until_caught_up: Annotated[
        bool,
        typer.Option("--until-caught-up", help="Stop when all that is in the topics now has been landed."),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of this lander; one that restarts under its name goes on at once.")
    ] = None,
) -> None:
    """Land every contract's topic until Ctrl-C or SIGTERM; the batch in hand is finished first."""
    import signal
    import threading

    from ingest.lander.gateway_letters import GatewayLetters
    from ingest.lander.lander import Lander
    from plimsoll.contracts import load_contracts
    from plimsoll.contracts.topics import end_offsets
    from plimsoll.logging import configure
    from plimsoll.metrics import serve
    from plimsoll.settings import Settings

    settings = Settings.load()
    configure(settings.log_level)
    contracts = load_contracts(settings.contracts_dir)
    lander = Lander(
        settings.require_database_url(),
        settings.require_kafka(),
        contracts,
        settings.kafka_group,
        name,
        settings.kafka_client,
    )
    serve(lander.metrics.registry, settings.host, settings.lander_metrics_port, "PLIMSOLL_LANDER_METRICS_PORT")
    ends = end_offsets(settings.require_kafka(), contracts) if until_caught_up else None
    letters = GatewayLetters(settings.require_database_url(), settings.require_kafka(), contracts)

    def stop(*_: object) -> None:
        lander.stop()
        letters.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    beside = threading.Thread(target=letters.run, args=[until_caught_up], name="gateway-letters", daemon=True)
    beside.start()
    landed = _with_progress(lander, ends) if ends is not None else lander.run()
    if not until_caught_up:
        letters.stop()
    beside.join(None if until_caught_up else BESIDE_GRACE_S)  # it may be asking a broker that does not answer
    typer.echo(f"landed {landed.rows:,} rows, rejected {landed.rejected:,}")


def _with_progress(lander: Lander, ends: dict[tuple[str, int], int]) -> Landed:
    import psycopg
    from kafka.errors import KafkaError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("landing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        try:
            total = lander.behind(ends)
        except (psycopg.Error, KafkaError):
            total = None  # the lander waits until it can land; only how much that will be is unknown
        task = progress.add_task("landing", total=total)

        def show() -> None:
            progress.update(task, completed=lander.landed.rows + lander.landed.rejected)

        return lander.run(until=ends, on_batch=show)


@app.command()
def wait(
    timeout: Annotated[float, typer.Option(min=1, help="Give up after this many seconds.")] = 120,
) -> None:
    """Wait until the running landers have landed all that is in the topics now."""
    import threading
    import time
    from contextlib import closing

    from kafka.errors import KafkaError

    from ingest.lander.cluster import Cluster
    from ingest.lander.progress import lag
    from plimsoll.contracts import load_contracts
    from plimsoll.contracts.topics import end_offsets
    from plimsoll.database import connect
    from plimsoll.errors import PlimsollError
    from plimsoll.settings import Settings

    settings = Settings.load()
    contracts = load_contracts(settings.contracts_dir)
    ends = end_offsets(settings.require_kafka(), contracts)
    with closing(Cluster(settings.require_kafka(), contracts)) as cluster:
        try:
            topic_ids = cluster.topic_ids()
        except KafkaError as error:
            raise PlimsollError(f"Kafka at {settings.require_kafka()} does not answer: {error}") from error
    deadline, pause = time.monotonic() + timeout, threading.Event()
    with connect(settings.require_database_url(), autocommit=True) as connection:
        while behind := sum(lag(connection, ends, topic_ids).values()):
            if time.monotonic() > deadline:
                raise PlimsollError(f"{behind:,} messages are not landed after {timeout:.0f} s; is a lander running?")
            pause.wait(0.1)
    typer.echo("everything is landed")
