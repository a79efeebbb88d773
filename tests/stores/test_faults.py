import sqlite3
import threading
from functools import partial

import fault_targets as targets
import pytest

from unsee.testing.faults import ChildFailed, Completed, Killed, kill_everywhere, run_killed_at

CALLS = (
    "open to write",
    "_io.TextIOWrapper.write",
    "_io.TextIOWrapper.flush",
    "posix.fsync",
    "_io.TextIOWrapper.__exit__",
    "posix.replace",
    "posix.unlink",
)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "old").touch()
    return tmp_path


def test_without_a_kill_it_tells_which_calls_write(place):
    assert run_killed_at(partial(targets.write_files, str(place)), 0) == Completed(CALLS)
    assert (place / "a").read_text() == "whole"


@pytest.mark.parametrize("n", range(1, 8))
def test_before_a_call_it_has_no_effect_yet_after_it_it_has(place, n):
    killed = run_killed_at(partial(targets.write_files, str(place)), n)
    assert killed == Killed(n, "before", CALLS[n - 1])
    assert (place / "a.tmp").exists() == (1 < n <= 6)
    assert (place / "a").exists() == (n > 6)
    assert (place / "old").exists()
    for path in place.iterdir():
        path.unlink()
    (place / "old").touch()
    killed = run_killed_at(partial(targets.write_files, str(place)), n, when="after")
    assert killed == Killed(n, "after", CALLS[n - 1])
    assert (place / "a.tmp").exists() == (1 <= n < 6)
    assert (place / "a").exists() == (n >= 6)
    assert (place / "old").exists() == (n < 7)


def test_it_is_killed_everywhere_and_once_after_the_last_call(place):
    def reset():
        (place / "old").touch()

    killed = list(kill_everywhere(partial(targets.write_files, str(place)), reset=reset))
    assert [(k.n, k.when) for k in killed] == [*((n, "before") for n in range(1, 8)), (7, "after")]


def test_it_sees_calls_in_threads_and_captured_functions(place):
    assert run_killed_at(partial(targets.unlink_in_a_thread, str(place)), 1) == Killed(1, "before", "posix.unlink")
    assert run_killed_at(partial(targets.write_through_a_captured_function, str(place)), 1).n == 1
    assert (place / "old").exists()


def test_a_database_is_killed_between_its_statements(place):
    def reset():
        for path in place.glob("db*"):
            path.unlink()

    states = set()
    for _ in kill_everywhere(partial(targets.write_database, str(place)), reset=reset):
        db = sqlite3.connect(place / "db")
        tables = db.execute("select count(*) from sqlite_master").fetchone()[0]
        states.add((tables, db.execute("select count(*) from t").fetchone()[0] if tables else 0))
        db.close()
    assert states == {(0, 0), (1, 0), (1, 2)}


def test_what_tests_nothing_or_goes_wrong_says_so(place):
    with pytest.raises(ChildFailed, match="nothing was tested"):
        list(kill_everywhere(partial(targets.only_look, str(place))))
    with pytest.raises(ChildFailed, match="the function's own fault"):
        run_killed_at(partial(targets.fail, str(place)), 0)
    with pytest.raises(ChildFailed, match=r"more than 0\.2 s"):
        run_killed_at(partial(targets.hang, str(place)), 1, timeout_s=0.2)
    with pytest.raises(ChildFailed, match="said nothing"):
        run_killed_at(partial(targets.leave, str(place)), 1)
    with pytest.raises(Exception, match="pickle"):
        run_killed_at(lambda: None, 1)
    assert run_killed_at(partial(targets.write_files, str(place)), 7).n == 7, "the helper goes on"


def test_threads_of_the_test_process_do_not_matter(place):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert isinstance(run_killed_at(partial(targets.write_files, str(place)), 1), Killed)
    finally:
        stop.set()
        thread.join()
