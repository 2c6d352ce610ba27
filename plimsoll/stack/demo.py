"""The platform on one machine: what starts in which order, and the demo that takes it from events to forecasts."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from plimsoll.contracts import load_contracts
from plimsoll.contracts.topics import create_topics
from plimsoll.database import connect, migrate
from plimsoll.environment import client_environment
from plimsoll.settings import STACK_ENV, Settings, write_stack_env
from plimsoll.stack.errors import StackError
from plimsoll.stack.local import LocalStack
from plimsoll.stack.lock import LOCK, StateLock
from plimsoll.stack.mosquitto import local_mosquitto
from plimsoll.stack.ports import require_free
from plimsoll.stack.process import Child
from plimsoll.stack.readiness import http_ready
from plimsoll.stack.supervisor import Supervisor

MAIN_JOB = "build_everything"
LEAD_MINUTES = 10
NO_LIVE_INGEST = (
    "There is no Kafka, so live ingest is off: the API refuses events (503), data come in by bulk loads only. "
    "All the rest runs."
)
# In PLIMSOLL_HOME, beside what the servers of `LocalStack` keep there; the lock goes last.
_STATE = ("dagster", "simulator", "mosquitto", "logs", STACK_ENV, LOCK)
_BIN = Path(sys.executable).parent
_PLIMSOLL = (sys.executable, "-m", "plimsoll")


@dataclass
class Platform:
    """A running platform: servers, lander, API, Dagster; with the seconds that each step took."""

    settings: Settings
    console: Console
    supervisor: Supervisor
    environment: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say what is going on and how long it took."""
        started = time.monotonic()
        self.console.print(f"[bold]▸[/] {what} …")
        yield
        self.seconds[what] = time.monotonic() - started
        self.console.print(f"  [green]✓[/] [dim]{self.seconds[what]:.1f} s[/]")

    def run(self, *command: str) -> None:
        """Run a command of the platform to its end, its progress on this terminal.

        Raises:
            StackError: it failed.
        """
        name = f"`plimsoll {' '.join(command)}`"
        with Child(name, [*_PLIMSOLL, *command], log_path=None, env=self.environment) as child:
            child.wait()
        if child.exit_code != 0:
            raise child.died()

    def run_job(self, job: str) -> None:
        """Run a Dagster job to its end, its log in `logs/<job>.log`, each finished step on this terminal.

        Raises:
            StackError: a step failed; with the last log lines.
        """
        command = [str(_BIN / "dagster"), "job", "execute", "-m", "orchestration.definitions", "-j", job]
        log_path = self.settings.home / "logs" / f"{job}.log"
        with (
            self.console.status(f"{job}: starting") as status,
            Child(f"the Dagster job {job}", command, log_path=log_path, env=self.environment) as child,
        ):
            for line in child.follow():
                if "STEP_START" in line or "STEP_SUCCESS" in line:
                    status.update(f"{job}: {line.rpartition(' - ')[2].strip()[:90]}")
        if child.exit_code != 0:
            raise child.died()


@contextmanager
def running_platform(console: Console) -> Iterator[Platform]:
    """Bring the platform up; on leaving, stop every process that was started. Data stay.

    Outside servers are those that the environment names: what a killed stack left in its file is none.

    Raises:
        StackError: something does not start; the message says what to do.
    """
    settings = Settings()
    say = lambda text: console.print(f"  [dim]{text}[/]")  # noqa: E731
    with ExitStack() as exits:
        # First of all: a second stack is told of the first, not of its ports.
        exits.enter_context(StateLock(settings.home))
        require_free(settings.api_port, "the API", "PLIMSOLL_API_PORT")
        require_free(settings.dagster_port, "the Dagster UI", "PLIMSOLL_DAGSTER_PORT")
        env_file = settings.home / STACK_ENV
        env_file.unlink(missing_ok=True)
        started = time.monotonic()
        console.print("[bold]▸[/] PostgreSQL and Apache Kafka …")
        servers = exits.enter_context(
            LocalStack(
                settings.home,
                postgres_port=settings.postgres_port,
                kafka_port=settings.kafka_port,
                kafka_controller_port=settings.kafka_controller_port,
                database_url=settings.require_database_url() if settings.database_url else None,
                bootstrap_servers=settings.kafka_bootstrap_servers,
                kafka_home=settings.kafka_home,
                needs_broker=False,
                say=say,
            )
        )
        console.print(f"  [green]✓[/] [dim]{time.monotonic() - started:.1f} s[/]")
        addresses = {"DATABASE_URL": servers.database_url}
        if servers.has_broker:
            addresses["KAFKA_BOOTSTRAP_SERVERS"] = servers.bootstrap_servers
            addresses |= exits.enter_context(local_mosquitto(settings, say))
        else:
            console.print(f"  [yellow]![/] {NO_LIVE_INGEST}")
        exits.callback(env_file.unlink, missing_ok=True)
        write_stack_env(settings.home, addresses)
        settings = Settings.load()
        supervisor = exits.enter_context(Supervisor(settings.home, say))
        platform = Platform(settings, console, supervisor, client_environment(settings))
        _prepare(platform)
        _start_processes(platform)
        yield platform


def forget_state(home: Path) -> list[str]:
    """Delete what the platform keeps in `home`, and `home` itself unless something else is there.

    Returns:
        The names of what else is there; it is left alone.

    Raises:
        StackError: a stack is running on it, or something cannot be removed.
    """
    with StateLock(home):
        try:
            LocalStack(home).forget()
            for name in _STATE:
                _remove(home / name)
        except OSError as error:
            raise StackError(f"not all of {home} could be removed: {error}; remove the rest by hand") from error
        foreign = sorted(path.name for path in home.iterdir())
        if not foreign:
            home.rmdir()
    return foreign


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _prepare(platform: Platform) -> None:
    settings = platform.settings
    with platform.step("Tables and topics"):
        migrate(settings.require_database_url(), settings.contracts_dir)
        if settings.kafka_bootstrap_servers:
            create_topics(settings.kafka_bootstrap_servers, load_contracts(settings.contracts_dir).values())


def _start_processes(platform: Platform) -> None:
    settings, supervisor, environment = platform.settings, platform.supervisor, platform.environment
    with platform.step("Lander, API and Dagster"):
        platform.run("dagster-home")
        if settings.kafka_bootstrap_servers:
            supervisor.start("lander", [*_PLIMSOLL, "lander", "run", "--name", "local"], env=environment)
        if settings.mqtt_url:
            supervisor.start("mqtt", [*_PLIMSOLL, "mqtt", "run"], env=environment)
        supervisor.start(
            "dagster-webserver",
            [
                str(_BIN / "dagster-webserver"), "-m", "orchestration.definitions",
                "-h", settings.host, "-p", str(settings.dagster_port),
            ],
            env=environment,
        )  # fmt: skip
        # Its runs can wait; events and people who look at them should not.
        supervisor.start(
            "dagster-daemon",
            [str(_BIN / "dagster-daemon"), "run", "-m", "orchestration.definitions"],
            env=environment,
            background=True,
        )
        supervisor.start(
            "api",
            [*_PLIMSOLL, "api"],
            env=environment,
            ready=http_ready(f"{api_url(settings)}/healthz"),
            ready_timeout_s=60,
        )


def api_url(settings: Settings) -> str:
    """Where the API answers on this machine."""
    return f"http://{settings.host}:{settings.api_port}"


def dagster_url(settings: Settings) -> str:
    """Where the Dagster UI answers on this machine."""
    return f"http://{settings.host}:{settings.dagster_port}"


def feed(platform: Platform, buses: int, weeks: float) -> None:
    """The simulated city: its history in bulk, the last minutes through the gateway, then its life.

    Without Kafka the history goes up to now, and that is all.
    """
    size = ("--buses", str(buses))
    is_live = platform.settings.kafka_bootstrap_servers is not None
    lead = LEAD_MINUTES if is_live else 0
    with platform.step(f"History of a simulated city ({weeks:g} weeks, {buses} buses)"):
        platform.run("simulate", "history", "--weeks", str(weeks), "--lead-minutes", str(lead), *size)
    if not is_live:
        return
    with platform.step(f"Its last {LEAD_MINUTES} minutes through HTTP and Kafka"):
        platform.run("simulate", "live", "--until-now", "--speed", "1000000", *size)
        platform.run("lander", "wait")
    platform.supervisor.start(
        "simulator", [*_PLIMSOLL, "simulate", "live", "--back-minutes", "1", *size], env=platform.environment
    )


def counts(platform: Platform) -> Sequence[tuple[str, str]]:
    """What the platform holds now, as (what, how much) for people."""
    queries = {
        "events landed, all streams": "SELECT sum(rows_landed) FROM ingest.landing_batches",
        "of them through Kafka": (
            "SELECT sum(next_offset) FROM ingest.offsets WHERE partition >= 0 AND topic NOT LIKE '%.dlq'"
        ),
        "messages refused": "SELECT count(*) FROM ingest.rejected_messages",
        "sites": "SELECT count(*) FROM marts.dim_site",
        "site × hours": "SELECT count(*) FROM marts.fct_occupancy_hourly",
        "hours forecast": "SELECT count(*) FROM marts.forecast_latest",
        "series forecast": "SELECT count(DISTINCT (tenant_id, series_id)) FROM marts.forecast_latest",
        "open hotspots": "SELECT count(*) FROM ops.hotspots WHERE state IN ('pending', 'firing', 'acknowledged')",
        "recommendations": "SELECT count(*) FROM ops.recommendations WHERE state = 'proposed'",
    }
    found = []
    with connect(platform.settings.require_database_url(), autocommit=True) as connection:
        for what, query in queries.items():
            row = connection.execute(query).fetchone()  # type: ignore[arg-type]
            found.append((what, f"{row[0] or 0:,}" if row else "–"))
        clock = connection.execute(
            """
            SELECT to_char(now() AT TIME ZONE time_zone, 'Dy HH24:MI') || ' ' || time_zone
            FROM marts.dim_site GROUP BY time_zone ORDER BY count(*) DESC LIMIT 1
            """
        ).fetchone()
        errors = connection.execute(
            """
            SELECT method, wape FROM forecast.backtests
            WHERE wape IS NOT NULL AND model_version = (
                SELECT model_version FROM forecast.backtests ORDER BY created_at DESC LIMIT 1
            )
            ORDER BY wape
            """
        ).fetchall()
    if clock:
        found.insert(0, ("there it is", clock[0]))
    return [*found, *((f"WAPE, {method.replace('_', ' ')}", f"{wape:.3f}") for method, wape in errors)]
