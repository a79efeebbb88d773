"""Kills and faults at system calls: C, Arrow, SQLite and Lance write where no hook sees them."""

import errno
import os
import sqlite3
import subprocess
import sys
import time
from functools import partial

import fault_targets as targets
import lance
import pyarrow as pa
import pytest
from pyarrow import parquet

from unsee.testing.faults import ChildFailed, Killed
from unsee.testing.syscalls import fail_at_every_system_call, kill_at_every_system_call, system_calls


@pytest.fixture
def place(tmp_path):
    (tmp_path / "old").touch()
    return tmp_path


@pytest.fixture
def reset(place):
    """Makes the place as it was, with what the test puts into `world`."""

    def anew():
        subprocess.run(["/bin/rm", "-rf", *place.iterdir()], check=True)
        (place / "old").touch()
        for make in anew.world:
            make()

    anew.world = []
    return anew


def test_it_sees_what_c_writes_and_kills_before_it_and_after_the_last(place, reset):
    assert system_calls(partial(targets.write_by_c, str(place))) == (f"openat {place}/a", f"write {place}/a")
    kills = kill_at_every_system_call(partial(targets.write_by_c, str(place)), reset=reset)
    seen = [(killed, (place / "a").read_text() if (place / "a").exists() else None) for killed in kills]
    assert seen == [
        (Killed(1, "before", f"openat {place}/a"), None),
        (Killed(2, "before", f"write {place}/a"), ""),
        (Killed(2, "after", f"write {place}/a"), "whole"),
    ]


def test_every_second_call(place, reset):
    killed = list(kill_at_every_system_call(partial(targets.write_files, str(place)), reset=reset, every=2))
    assert [(k.n, k.when) for k in killed] == [(1, "before"), (3, "before"), (5, "before"), (5, "after")]


def test_a_table_of_arrow_is_killed_between_its_writes(place, reset):
    sizes, rows = [], []
    for _ in kill_at_every_system_call(partial(targets.write_a_table, str(place)), reset=reset):
        sizes.append((place / "table").stat().st_size if (place / "table").exists() else -1)
        try:
            rows.append(parquet.read_table(place / "table").num_rows)
        except (OSError, pa.ArrowInvalid):
            rows.append(None)
    assert sizes[:2] == [-1, 0] and sizes == sorted(sizes) and len(set(sizes)) > 8, "each write of Arrow is one"
    assert rows[0] is None and rows[-1] == 3000 and set(rows) == {None, 3000}


def test_a_commit_of_sqlite_is_all_or_nothing_wherever_it_is_killed(place, reset):
    states, journals = [], 0
    for _ in kill_at_every_system_call(partial(targets.write_database, str(place)), reset=reset):
        journals += (place / "db-journal").exists() and (place / "db-journal").stat().st_size > 0
        db = sqlite3.connect(place / "db")
        tables = db.execute("select count(*) from sqlite_master").fetchone()[0]
        states.append((tables, db.execute("select count(*) from t").fetchone()[0] if tables else 0))
        db.close()
    assert list(dict.fromkeys(states)) == [(0, 0), (1, 0), (1, 2)]
    assert journals > 8, "it was killed inside commits"


def test_lance_writes_in_threads_of_its_own_and_a_kill_leaves_a_version(place, reset):
    reset.world.append(lambda: lance.write_dataset(pa.table({"n": [1, 2, 3]}), str(place / "set")))
    began, kills, counts = time.monotonic(), 0, []
    for _ in kill_at_every_system_call(partial(targets.write_a_data_set, str(place)), reset=reset):
        kills += 1
        counts.append(lance.dataset(str(place / "set")).count_rows())
    assert list(dict.fromkeys(counts)) == [3, 5]
    assert kills > 10
    assert (time.monotonic() - began) / kills < 1, "the helper has imported the library"


def test_threads_and_children_count(place, reset):
    calls = system_calls(partial(targets.write_in_threads_and_children, str(place)))
    wanted = {*(f"openat {place}/{n}" for n in range(4)), f"mkdir {place}/child"}
    assert wanted <= set(calls)
    kills = 0
    for _ in kill_at_every_system_call(partial(targets.write_in_threads_and_children, str(place)), reset=reset):
        kills += 1
        assert len(list(place.iterdir())) <= 6
    assert kills == len(calls) + 1


def test_what_the_child_leaves_running_writes_no_more(place, reset):
    for _ in kill_at_every_system_call(partial(targets.leave_a_child_behind, str(place)), reset=reset):
        assert not (place / "late").exists()
    time.sleep(0.4)
    assert not (place / "late").exists()


def test_what_reaches_no_file_directory_or_socket_does_not_count(place):
    assert system_calls(partial(targets.write_to_nobody, str(place))) == ()
    assert system_calls(partial(targets.send, str(place))) == ("sendto socket",)
    assert [call.split()[0] for call in system_calls(partial(targets.map_memory, str(place)))] == [
        "openat",
        "ftruncate",
        "msync",
    ]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_call_that_fails_does_nothing_and_the_next_one_works(place, reset, error):
    words = os.strerror(error)
    seen = []
    for failed in fail_at_every_system_call(partial(targets.try_again, str(place)), reset=reset, error=error):
        names = {path.name for path in place.iterdir()}
        seen.append((failed.call.replace(str(place), ""), failed.returned, failed.raised, "0" in names, "1" in names))
        assert (place / "again").read_text() == "whole"
    again = f"{words}, then 5"
    assert seen == [
        ("openat /0", again, None, False, False),
        ("write /0", again, None, True, False),
        ("openat /1", again, None, True, False),
        ("write /1", again, None, True, True),
    ]


def test_what_the_function_raised_comes_back(place, reset):
    for failed in fail_at_every_system_call(partial(targets.write_a_table, str(place)), reset=reset):
        assert isinstance(failed.raised, OSError) and failed.raised.errno == errno.ENOSPC
        assert failed.returned is None
    [failed] = fail_at_every_system_call(partial(targets.fail_secretively, str(place)), reset=reset)
    assert isinstance(failed.raised, ChildFailed) and "cannot be made again" in str(failed.raised)
    [failed] = fail_at_every_system_call(partial(targets.send, str(place)), reset=reset, error=errno.ECONNRESET)
    assert isinstance(failed.raised, ConnectionResetError)


def test_what_tests_nothing_or_goes_wrong_says_so(place, reset):
    for act in (kill_at_every_system_call, fail_at_every_system_call):
        with pytest.raises(ChildFailed, match="nothing was tested"):
            list(act(partial(targets.only_look, str(place)), reset=reset))
    with pytest.raises(ChildFailed, match="the function's own fault"):
        system_calls(partial(targets.fail, str(place)))
    with pytest.raises(ChildFailed, match=r"more than 0\.2 s"):
        system_calls(partial(targets.hang, str(place)), timeout_s=0.2)
    with pytest.raises(ChildFailed, match="said nothing"):
        system_calls(partial(targets.leave, str(place)))
    assert len(system_calls(partial(targets.write_by_c, str(place)))) == 2, "the helper goes on"


FORBIDDEN = """
import ctypes, errno, sys
from functools import partial
sys.path.insert(0, {tests!r})
import fault_targets
from unsee.testing import tracing
from unsee.testing.syscalls import system_calls
ptrace = 101
tracing._filter = lambda: [
    tracing._Instruction(0x20, 0, 0, 0), tracing._Instruction(0x15, 0, 1, ptrace),
    tracing._Instruction(6, 0, 0, 0x50000 | errno.EPERM), tracing._Instruction(6, 0, 0, 0x7FFF0000),
]
tracing.stop_at_writes()
system_calls(partial(fault_targets.write_by_c, {place!r}))
"""


def test_a_kernel_that_forbids_tracing_is_a_clear_error_and_no_skip(place):
    here = os.path.dirname(__file__)  # noqa: PTH120
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN.format(tests=here, place=str(place))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "ChildFailed: The kernel does not let this process trace its child" in done.stderr
    assert "ptrace_scope" in done.stderr
