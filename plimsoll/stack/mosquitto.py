"""An MQTT broker on the loopback address: Eclipse Mosquitto, where the machine has it, set up to drop nothing."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plimsoll.settings import Settings
from plimsoll.stack.errors import StackError
from plimsoll.stack.ports import LOOPBACK, is_free, require_free
from plimsoll.stack.process import Child
from plimsoll.stack.readiness import await_ready, port_ready

PORT_SETTING = "PLIMSOLL_MQTT_PORT"
USER = "plimsoll"
MAX_QUEUED_BYTES = 512 * 1024 * 1024
"""What the broker keeps for the bridge while that is away: about two million events."""

_START_TIMEOUT_S = 15.0
_STOP_GRACE_S = 15.0  # it writes its queues to disk
_TOPICS = ("oms/v1/#", "/oms/v1/#")


class LocalMosquitto:
    """Mosquitto with one user, who reads; whoever is on this machine may publish to the devices' topics.

    Args:
        state_dir: where configuration, password and queues are kept; created when missing.
        port: TCP port on the loopback address.
        max_message_bytes: who sends a much larger message is disconnected.
    """

    def __init__(self, state_dir: Path, port: int, max_message_bytes: int = 1_000_000) -> None:
        self.state_dir = state_dir
        self.port = port
        self._max_message_bytes = max_message_bytes
        self._home = state_dir.resolve() / "mosquitto"
        self._child: Child | None = None

    @staticmethod
    def is_installed() -> bool:
        """Tell whether this machine has Mosquitto."""
        return _program("mosquitto") is not None and _program("mosquitto_passwd") is not None

    @property
    def url(self) -> str:
        """The address that clients connect to."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def password(self) -> str:
        """The password of the user `plimsoll`, made once.

        Raises:
            StackError: the broker was never started here.
        """
        try:
            return self._password_file.read_text().strip()
        except FileNotFoundError:
            raise StackError(f"{self._password_file} is missing: the local Mosquitto was never started here") from None

    @property
    def addresses(self) -> dict[str, str]:
        """What the bridge has to know, by environment variable."""
        return {"MQTT_URL": self.url, "PLIMSOLL_MQTT_USERNAME": USER, "PLIMSOLL_MQTT_PASSWORD": self.password}

    def start(self) -> str:
        """Start the broker and return its address.

        Raises:
            StackError: it is not installed, its port is taken, or it does not start.
        """
        broker = _program("mosquitto")
        if broker is None:
            raise StackError("Mosquitto is not installed: `apt-get install mosquitto` (Debian, Ubuntu)")
        require_free(self.port, "Mosquitto", PORT_SETTING)
        self._home.mkdir(parents=True, exist_ok=True)
        self._write_password()
        (self._home / "acl").write_text(_access_rules())
        configuration = self._home / "mosquitto.conf"
        configuration.write_text(self._configuration())
        self._child = Child(
            "Mosquitto", [broker, "-c", str(configuration)],
            log_path=self.state_dir / "logs" / "mosquitto.log", cwd=self._home, grace_s=_STOP_GRACE_S,
        )  # fmt: skip
        try:
            await_ready(self._child, port_ready(self.port), _START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop the broker; what it has queued stays for the next time."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def __enter__(self) -> LocalMosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _password_file(self) -> Path:
        return self._home / f"{USER}.password"

    def _write_password(self) -> None:
        """Make the password once, and its hash as the broker wants it at every start."""
        if not self._password_file.exists():
            _write_private(self._password_file, secrets.token_urlsafe(24) + "\n")
        hashed = self._home / "passwords"
        _write_private(hashed, f"{USER}:{self.password}\n")
        # -U hashes the file in place: on the command line the password would show in the list of processes.
        done = subprocess.run(
            [_program("mosquitto_passwd") or "mosquitto_passwd", "-U", str(hashed)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise StackError(f"mosquitto_passwd could not hash the password: {(done.stderr or done.stdout).strip()}")

    def _configuration(self) -> str:
        settings = {
            "listener": f"{self.port} {LOOPBACK}",
            "allow_anonymous": "true",
            "password_file": self._home / "passwords",
            "acl_file": self._home / "acl",
            # Only counts when root starts it: it would become a user who cannot read these files.
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "persistence": "true",
            "persistence_location": f"{self._home}/",
            "autosave_interval": 30,
            # By default the broker drops silently beyond 1000 messages, even for a client that is there.
            "max_queued_messages": 0,
            "max_queued_bytes": MAX_QUEUED_BYTES,
            "max_inflight_messages": 1000,
            # A device may publish at QoS 0; from here on its event is kept like any other.
            "upgrade_outgoing_qos": "true",
            # A little above the limit: what exceeds it by less the bridge refuses, and keeps with the reason.
            "max_packet_size": self._max_message_bytes + 131_072,
            "log_dest": "stderr",
            "connection_messages": "false",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


@contextmanager
def local_mosquitto(settings: Settings, say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """The local broker for the demo: yields what the bridge has to know, or nothing where there is no broker to run.

    An outside broker (`MQTT_URL`) is used instead. A missing or hindered Mosquitto is said, not an error: the other
    ways in work without it.
    """
    broker = LocalMosquitto(settings.home, settings.mqtt_port, settings.max_body_bytes)
    if settings.mqtt_url is not None:
        yield {}
    elif not broker.is_installed():
        say("Mosquitto is not installed, so MQTT is off; `apt-get install mosquitto` brings it")
        yield {}
    elif not is_free(settings.mqtt_port):
        say(
            f"port {settings.mqtt_port} is taken, so MQTT is off: stop the broker there "
            f"(`systemctl stop mosquitto`), set {PORT_SETTING} to a free port, or use that broker with MQTT_URL"
        )
        yield {}
    else:
        with broker:
            yield broker.addresses


def _access_rules() -> str:
    anybody = "".join(f"topic write {topic}\n" for topic in _TOPICS)
    bridge = "".join(f"topic readwrite {topic}\n" for topic in _TOPICS)
    return f"{anybody}\nuser {USER}\n{bridge}"


def _program(name: str) -> str | None:
    # Debian puts daemons where an ordinary user's PATH does not look.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
