"""Where the broker's jars and its Java come from: an installed Kafka, or Maven into a cache folder."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from plimsoll.stack.errors import NoBrokerError, StackError
from plimsoll.stack.process import Child

JAVA_VERSION = 17

_DISTRIBUTION = Path(str(resources.files("plimsoll.stack"))) / "kafka_distribution"
_POM = _DISTRIBUTION / "pom.xml"
LOG4J_CONFIG = _DISTRIBUTION / "log4j2.xml"

_RESOLVE_TIMEOUT_S = 900.0

_THREE_WAYS = f"""\
There are three ways to get a broker:
  1. install Java {JAVA_VERSION} and Maven:  apt install openjdk-{JAVA_VERSION}-jre-headless maven
  2. set KAFKA_HOME to the folder of an installed Apache Kafka (it needs Java {JAVA_VERSION} too)
  3. set KAFKA_BOOTSTRAP_SERVERS to a running one, such as 127.0.0.1:9092"""


def kafka_version() -> str:
    """Return the version of Apache Kafka that the pom names."""
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", _POM.read_text())
    assert found is not None, "pom.xml names no kafka.version"
    return found[1]


def default_cache_dir() -> Path:
    """Return the folder that keeps the jars for every checkout of this user."""
    return Path.home() / ".cache" / "plimsoll" / f"kafka-{kafka_version()}"


def find_java() -> str:
    """Return the Java that will run the broker.

    Raises:
        NoBrokerError: there is none on the PATH, or it is too old.
    """
    java = shutil.which("java")
    if java is None:
        raise NoBrokerError(f"Apache Kafka needs Java and no `java` is on the PATH. {_THREE_WAYS}")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', shown)
    if found is None or int(found[1]) < JAVA_VERSION:
        first_line = shown.strip().splitlines()[0] if shown.strip() else "no version"
        raise NoBrokerError(f"Apache Kafka needs Java {JAVA_VERSION}; {java} is {first_line}. {_THREE_WAYS}")
    return java


def installed_libs(kafka_home: Path) -> Path:
    """Return the folder of jars of an installed Kafka.

    Raises:
        StackError: it holds no Kafka of version 4 or newer.
    """
    libs = kafka_home / "libs"
    if not list(libs.glob("kafka_2.13-*.jar")):
        raise StackError(
            f"KAFKA_HOME is {kafka_home}, but there is no broker in {libs} (kafka_2.13-….jar): "
            "set it to the folder that an Apache Kafka 4 archive unpacks to"
        )
    return libs


class JarCache:
    """The broker's jars in `cache_dir`, resolved by Maven when they are not there yet."""

    def __init__(self, cache_dir: Path, say: Callable[[str], None]) -> None:
        self._cache_dir = cache_dir
        self._say = say
        self._maven: Child | None = None

    def libs(self) -> Path:
        """Return the folder of jars, filling it first if need be.

        Raises:
            NoBrokerError: Maven is missing or failed; the cache is then as it was before.
        """
        if not self._is_current():
            self._resolve()
        return self._cache_dir / "libs"

    def abort(self) -> None:
        """End a Maven that runs in another thread."""
        if self._maven is not None:
            self._maven.stop()

    def _is_current(self) -> bool:
        """Jars of an older pom do not count: the pom that they came from is kept beside them."""
        kept = self._cache_dir / "pom.xml"
        return kept.exists() and kept.read_text() == _POM.read_text()

    def _resolve(self) -> None:
        maven = shutil.which("mvn")
        if maven is None:
            raise NoBrokerError(f"Apache Kafka is fetched by Maven and no `mvn` is on the PATH. {_THREE_WAYS}")
        self._say(f"fetching Apache Kafka {kafka_version()} (about 55 MB, once) into {self._cache_dir}")
        self._cache_dir.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{self._cache_dir.name}.", dir=self._cache_dir.parent))
        try:
            self._run_maven(maven, partial)
            self._put_in_place(partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _run_maven(self, maven: str, partial: Path) -> None:
        shutil.copy(_POM, partial / "pom.xml")
        goal = [
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={partial / 'libs'}",
        ]
        self._maven = Child("Maven", [maven, "-q", "-B", *goal], log_path=partial / "maven.log", cwd=partial)
        try:
            ended = self._maven.wait(_RESOLVE_TIMEOUT_S)
            if not ended or self._maven.exit_code != 0:
                why = "took too long" if not ended else "failed"
                said = self._maven.log_tail()
                raise NoBrokerError(f"Maven {why} while it fetched Apache Kafka:\n{said}\n{_THREE_WAYS}")
        finally:
            self._maven.stop()
            self._maven = None

    def _put_in_place(self, partial: Path) -> None:
        """Rename, so that the cache is whole or not there; a faster process's result serves as well."""
        if self._is_current():
            return
        if self._cache_dir.exists():
            shutil.rmtree(self._cache_dir)
        partial.chmod(0o755)
        try:
            partial.rename(self._cache_dir)
        except OSError:
            if not self._is_current():
                raise
