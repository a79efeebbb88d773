"""Functions that the fault helper imports by name."""

import os
import sqlite3
import threading
import time
from pathlib import Path


def write_files(place: str) -> None:
    """Reading does not count; seven calls write."""
    Path(place).exists()
    Path(__file__).read_bytes()
    with (Path(place) / "a.tmp").open("w") as file:  # 1
        file.write("whole")  # 2
        file.flush()  # 3
        os.fsync(file.fileno())  # 4, and 5 closes
    (Path(place) / "a.tmp").replace(Path(place) / "a")  # 6
    os.unlink(Path(place) / "old")  # noqa: PTH108  7: the plain call


def unlink_in_a_thread(place: str) -> None:
    thread = threading.Thread(target=(Path(place) / "old").unlink)
    thread.start()
    thread.join()


def write_database(place: str) -> None:
    db = sqlite3.connect(Path(place) / "db", isolation_level=None)
    db.execute("create table t (n)")
    db.execute("begin")
    db.executemany("insert into t values (?)", [(1,), (2,)])
    db.execute("commit")
    db.close()


def write_through_a_captured_function(place: str, unlink=os.unlink) -> None:
    """Patching the os module would not see this one."""
    unlink(f"{place}/old")


def only_look(place: str) -> None:
    Path(place).exists()


def fail(place: str) -> None:
    (Path(place) / "a").touch()
    raise LookupError("the function's own fault")


def hang(place: str) -> None:
    time.sleep(60)


def leave(place: str) -> None:
    os._exit(3)
