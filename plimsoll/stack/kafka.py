"""A real Apache Kafka on the loopback address: one KRaft node, broker and controller in one JVM."""

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from plimsoll.broker_probe import speaks_kafka
from plimsoll.stack.errors import StackError
from plimsoll.stack.guard import guard, stop_group
from plimsoll.stack.kafka_jars import LOG4J_CONFIG, JarCache, default_cache_dir, find_java, installed_libs
from plimsoll.stack.lock import make_state_dir
from plimsoll.stack.ports import LOOPBACK, require_free
from plimsoll.stack.process import Child, command_line, is_alive
from plimsoll.stack.readiness import await_ready

PORT_SETTING = "PLIMSOLL_KAFKA_PORT"
CONTROLLER_PORT_SETTING = "PLIMSOLL_KAFKA_CONTROLLER_PORT"

_START_TIMEOUT_S = 120.0  # after a kill the broker reads every open log segment again
_STOP_GRACE_S = 30.0

# The parallel collector's threads and the optimising compiler pay off on bigger machines; here they would
# only take the two cores from everybody else while the broker starts.
_JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
_BROKER_HEAP = ["-Xms128m", "-Xmx512m"]
_TOOL_HEAP = ["-Xmx128m"]


class LocalKafka:
    """Apache Kafka with one node.

    Args:
        state_dir: where logs, cluster id and configuration are kept; created when missing.
        port: TCP port for clients, on the loopback address.
        controller_port: TCP port of the controller's listener, on the loopback address.
        kafka_home: folder of an installed Kafka; None takes the jars from `cache_dir`.
        cache_dir: folder that keeps the jars which Maven fetched; None is one below the user's ~/.cache.
        say: told in a sentence what a person should know, such as that a download has begun.
    """

    def __init__(
        self,
        state_dir: Path,
        port: int,
        controller_port: int,
        kafka_home: Path | None = None,
        cache_dir: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.state_dir = state_dir
        self.port = port
        self.controller_port = controller_port
        self._kafka_home = kafka_home
        self._jars = JarCache(cache_dir or default_cache_dir(), say)
        self._home = state_dir.resolve() / "kafka"
        self._child: Child | None = None
        self._adopted = False

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients connect to."""
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> Path:
        """Return the folder of the broker's jars, fetching them if need be.

        Raises:
            NoBrokerError: Java or Maven is missing, or Maven failed; it names the three ways to get a broker.
            StackError: the installed Kafka is none.
        """
        find_java()
        return installed_libs(self._kafka_home) if self._kafka_home else self._jars.libs()

    def start(self) -> str:
        """Start the broker, or take over the one that already runs on this data, and return its address.

        Raises:
            NoBrokerError: Java or Maven is missing, or Maven failed.
            StackError: a port is taken, or the broker does not start.
        """
        self._child = None if self._child is None or self._child.wait(0) else self._child
        if not self._adopt():
            libs = self.prepare()
            require_free(self.port, "Apache Kafka", PORT_SETTING)
            require_free(self.controller_port, "Apache Kafka's controller", CONTROLLER_PORT_SETTING)
            make_state_dir(self.state_dir)
            self._home.mkdir(exist_ok=True)
            self._format(libs)
            self._launch(libs)
        return self.bootstrap_servers

    def stop(self) -> None:
        """Stop the broker that `start` started or took over: politely, then by force. Ends a download too."""
        self._jars.abort()
        if self._child is not None:
            self._child.stop()
            self._child = None
        elif self._adopted:
            self._stop_found()
        self._adopted = False

    def is_running(self) -> bool:
        """Tell whether a broker runs on this data."""
        return self._running() is not None

    def forget(self) -> None:
        """Stop the broker and delete its data; the jars in the cache stay."""
        self.stop()
        self._stop_found()
        if self._home.exists():
            shutil.rmtree(self._home)

    @property
    def _pid_file(self) -> Path:
        return self._home / "broker.pid"

    @property
    def _properties(self) -> Path:
        return self._home / "server.properties"

    @property
    def _data_dir(self) -> Path:
        return self._home / "data"

    def _running(self) -> tuple[int, int] | None:
        """Return process id and port of the broker that runs on this data."""
        try:
            pid, port = (int(word) for word in self._pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return (pid, port) if is_alive(pid) and str(self._properties) in command_line(pid) else None

    def _adopt(self) -> bool:
        running = self._running()
        if running is None:
            return False
        pid, port = running
        if port != self.port:
            raise StackError(
                f"Apache Kafka (process {pid}) already runs on {self._data_dir} with port {port}: "
                f"set {PORT_SETTING} to {port}, or stop it with `kill {pid}`"
            )
        guard.protect(pid, signal.SIGTERM, _STOP_GRACE_S)
        self._adopted = True
        return True

    def _stop_found(self) -> None:
        if running := self._running():
            stop_group(running[0], signal.SIGTERM, _STOP_GRACE_S)
            guard.release(running[0])

    def _format(self, libs: Path) -> None:
        """Format the log directory once, beside its final place, so that half a one never counts."""
        if self._data_dir.exists():
            return
        partial = self._home / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        properties = self._home / "format.properties"
        properties.write_text(self._configuration(partial))
        options = ["-t", self._cluster_id(), "-c", str(properties), "--standalone"]
        command = _java(libs, _TOOL_HEAP, "kafka.tools.StorageTool", ["format", *options])
        formatted = subprocess.run(command, capture_output=True, text=True)
        if formatted.returncode != 0:
            said = (formatted.stdout + formatted.stderr).strip()
            raise StackError(f"Apache Kafka could not format {self._data_dir}:\n{said}")
        properties.unlink()
        partial.rename(self._data_dir)

    def _launch(self, libs: Path) -> None:
        self._properties.write_text(self._configuration(self._data_dir))
        self._child = Child(
            "Apache Kafka",
            _java(libs, _BROKER_HEAP, "kafka.Kafka", [str(self._properties)]),
            log_path=self.state_dir / "logs" / "kafka.log",
            cwd=self._home,
            grace_s=_STOP_GRACE_S,
        )
        self._pid_file.write_text(f"{self._child.pid} {self.port}\n")
        try:
            await_ready(self._child, self._answers, _START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        return broker_answers(self.bootstrap_servers)

    def _cluster_id(self) -> str:
        """Return the id of this cluster, made once: the offset ledger knows the cluster by it."""
        path = self._home / "cluster.id"
        if not path.exists():
            path.write_text(_random_id() + "\n")
        return path.read_text().strip()

    def _configuration(self, log_dir: Path) -> str:
        broker = f"PLAINTEXT://{LOOPBACK}:{self.port}"
        controller = f"{LOOPBACK}:{self.controller_port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": f"{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"{broker},CONTROLLER://{controller}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": log_dir,
            # Topics come from the contracts; a mistyped name must fail.
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            # After a kill the node waits until its own earlier session has expired: by default 9 seconds.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # Retention deletes whole segments only; small ones keep a laptop's disk small.
            "log.retention.hours": 168,
            "log.segment.bytes": 128 * 1024 * 1024,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def broker_answers(bootstrap_servers: str, timeout_s: float = 3.0) -> bool:
    """Tell whether a Kafka cluster answers at the address and has a broker ready to serve."""
    from kafka.admin import KafkaAdminClient
    from kafka.errors import KafkaError

    if not any(map(speaks_kafka, bootstrap_servers.split(","))):
        return False
    try:
        client = KafkaAdminClient(bootstrap_servers=bootstrap_servers, bootstrap_timeout_ms=int(timeout_s * 1000))
    except (KafkaError, ValueError):
        return False
    try:
        return any(not broker["is_fenced"] for broker in client.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        client.close()


def _java(libs: Path, heap: list[str], main_class: str, arguments: list[str]) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={LOG4J_CONFIG}"
    return [find_java(), *_JVM, *heap, logging, "-cp", f"{libs}/*", main_class, *arguments]


def _random_id() -> str:
    """Return a cluster id as Kafka makes them: 128 random bits, base64 for URLs, no leading dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
