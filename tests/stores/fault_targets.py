"""Functions that the fault helper imports by name."""

import ctypes
import mmap
import os
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet


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


def write_by_c(place: str) -> int:
    """No hook of Python sees the write."""
    file = os.open(f"{place}/a", os.O_WRONLY | os.O_CREAT, 0o600)
    ctypes.CDLL(None).write(file, b"whole", 5)
    os.close(file)
    return 5


def write_a_table(place: str) -> None:
    parquet.write_table(pa.table({"n": range(3000)}), f"{place}/table", row_group_size=1000)


def write_a_data_set(place: str) -> None:
    import lance  # here, as a store's opener does

    lance.write_dataset(pa.table({"n": [4, 5]}), f"{place}/set", mode="append")


def write_in_threads_and_children(place: str) -> None:
    threads = [threading.Thread(target=(Path(place) / str(n)).touch) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subprocess.run(["/bin/mkdir", f"{place}/child"], check=True)


def write_to_nobody(place: str) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"words")
    os.read(reading, 5)
    Path("/dev/null").write_bytes(b"words")
    Path("/proc/self/comm").write_text("words")
    os.memfd_create("words")
    Path(f"{place}/old").read_bytes()
    os.write(2, b"")


def send(place: str) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"words")


def try_again(place: str) -> str:
    for n in range(2):
        try:
            (Path(place) / str(n)).write_text("x")
        except OSError as error:
            return f"{error.strerror}, then {(Path(place) / 'again').write_text('whole')}"
    return "no fault"


def map_memory(place: str) -> None:
    with (Path(place) / "old").open("r+b") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as memory:
            memory[:5] = b"whole"
            memory.flush()


class Secretive(Exception):
    """Pickles, but cannot be made again from its arguments."""

    def __init__(self, a, b):
        super().__init__("cannot be made again")


def fail_secretively(place: str) -> None:
    try:
        (Path(place) / "a").mkdir()
    except OSError:
        raise Secretive(1, 2) from None


def leave_a_child_behind(place: str) -> None:
    child = os.fork()
    if child == 0:
        time.sleep(0.3)
        (Path(place) / "late").touch()
        os._exit(0)
    (Path(place) / "a").touch()


def read_permissions(place: str) -> tuple[str, bool]:
    """What a write to a read-only file says here; whether the owner may still change the permissions."""
    file = Path(place) / "old"
    try:
        file.write_text("x")
    except PermissionError as error:
        words = error.strerror
    file.chmod(0o644)
    file.write_text("x")
    return words, True


def who() -> tuple[int, str]:
    return os.getpid(), os.environ.get("FOR_THIS_TEST", "")
