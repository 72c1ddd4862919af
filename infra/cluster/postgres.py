"""Debian's PostgreSQL as Airflow's database: files of its own under the data root, on the loopback only."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from feature_store.errors import NightmillError
from infra.airflow.home import HOST
from infra.airflow.services import Service
from infra.cluster.passwords import write_private

DEBIAN = Path("/usr/lib/postgresql")
DATABASE = "airflow"
OWNER = "nightmill"


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL server: where its files are and how it is reached."""

    folder: Path
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """What Airflow connects with."""
        return f"postgresql+psycopg2://{OWNER}:{self.password}@{HOST}:{self.port}/{DATABASE}"

    def service(self, env: Mapping[str, str]) -> Service:
        """The server; SIGINT ends it at once and in order, whoever is connected."""
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",  # nothing but the password lets anybody in
            "password_encryption": "scram-sha-256",
        }
        command = [str(_binary("postgres", self._version())), "-D", str(self._files)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Service("postgres", command, env, user=run_as(), stop_with=signal.SIGINT, late=True)

    def prepare(self) -> bool:
        """Make the database files unless they are there; whether they were made."""
        if self._files.exists():
            return False
        user = run_as()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        staged, password = self.folder / "staged", self.folder / "password"
        shutil.rmtree(staged, ignore_errors=True)  # of a start that was cut off
        try:
            write_private(password, self.password)
            for path in (self.folder, password):
                shutil.chown(path, user, user) if user else None
            self._initdb(staged, password, user)
        finally:
            password.unlink(missing_ok=True)
        staged.replace(self._files)
        return True

    def _initdb(self, staged: Path, password: Path, user: str | None) -> None:
        _require_reachable(self.folder, user)
        command = [str(_binary("initdb")), "-D", str(staged), "-U", OWNER, "--pwfile", str(password)]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(
            command,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NightmillError(f"initdb failed in {self.folder}: {_last_line(done.stderr or done.stdout)}")

    @property
    def _files(self) -> Path:
        return self.folder / "data"

    def _version(self) -> str | None:
        """The major version that wrote the files: no other can read them."""
        stamp = self._files / "PG_VERSION"
        return stamp.read_text("utf-8").strip() if stamp.exists() else None

    def healthy(self) -> bool:
        """Whether it takes a connection."""
        import psycopg2

        try:
            psycopg2.connect(self._of("postgres"), connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Create Airflow's database unless it is there."""
        import psycopg2

        connection = psycopg2.connect(self._of("postgres"))
        connection.autocommit = True  # a database cannot be created in a transaction
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()

    def _of(self, database: str) -> str:
        return f"host={HOST} port={self.port} dbname={database} user={OWNER} password={self.password}"


def run_as() -> str | None:
    """As whom PostgreSQL runs: ourselves, but root never may, so then the user of Debian's package."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _binary(name: str, version: str | None = None) -> Path:
    """A program of PostgreSQL, the newest or of one major version; NightmillError with what installs it."""
    found = sorted(DEBIAN.glob(f"{version or '*'}/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1]
    elsewhere = shutil.which(name)
    if elsewhere and version in (None, _version_of(elsewhere)):
        return Path(elsewhere)
    package = f"postgresql-{version}" if version else "postgresql"
    raise NightmillError(
        f"there is no PostgreSQL {version or ''} on this machine; sudo apt-get install -y {package}"
    )


def _version_of(program: str) -> str | None:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\d+)", said)
    return match[1] if match else None


def _require_reachable(folder: Path, user: str | None) -> None:
    """NightmillError naming the first folder on the way that the user PostgreSQL runs as may not enter."""
    if user is None:
        return
    for parent in reversed(folder.parents):
        if not parent.stat().st_mode & 0o001 and parent.owner() != user:
            raise NightmillError(
                f"root may not run PostgreSQL, and user {user} may not enter {parent}: chmod o+x {parent}, "
                "start as an ordinary user, or set NIGHTMILL_DATA to another folder"
            )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
