"""A PostgreSQL server of a benchmark's own, on a real disk and with its safety on; gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SETTINGS = {"listen_addresses": "", "shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "512MB"}


@dataclass(frozen=True)
class Server:
    """A running server, reached by a socket in `home`."""

    home: Path

    def make(self, name: str) -> str:
        """Make a database; its URL."""
        self._sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return f"postgresql://unsee@/{name}?host={self.home}"

    def drop(self, name: str) -> None:
        """Remove it."""
        self._sql(f"DROP DATABASE {name} WITH (FORCE)")

    def size_bytes(self, name: str) -> int:
        """What it takes on disk."""
        return int(str(self._sql(f"SELECT pg_database_size('{name}')")))

    def _sql(self, statement: str) -> object:
        import psycopg

        with psycopg.connect(host=str(self.home), dbname="postgres", user="unsee", autocommit=True) as conn:
            done = conn.execute(statement)
            row = done.fetchone() if done.description else None
            return row[0] if row else None


def programs() -> Path | None:
    """Where the newest installed server's programs lie, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running() -> Iterator[Server | None]:
    """A server, or None where none is installed."""
    found = programs()
    if found is None:
        yield None
        return
    home = Path(tempfile.mkdtemp(prefix="unsee-bench-pg-", dir=os.environ.get("UNSEE_BENCH_DIR")))
    # The server refuses to run as root: its package made a user for it.
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if who:
        os.chown(home, pwd.getpwnam("postgres").pw_uid, -1)
    home.chmod(0o755)
    try:
        command = [found / "initdb", "-D", home / "data", "-U", "unsee", "--auth=trust", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=home, **who)  # type: ignore[call-overload]
        settings = {**SETTINGS, "unix_socket_directories": str(home)}
        with (home / "log").open("w") as log:
            server = subprocess.Popen(
                [found / "postgres", "-D", home / "data", *(f"--{k}={v}" for k, v in settings.items())],
                stdout=log,
                stderr=log,
                cwd=home,
                **who,  # type: ignore[call-overload]
            )
        try:
            while subprocess.run([found / "pg_isready", "-q", "-h", home], check=False).returncode:
                if server.poll() is not None:
                    raise RuntimeError((home / "log").read_text())
                time.sleep(0.1)
            yield Server(home)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)
