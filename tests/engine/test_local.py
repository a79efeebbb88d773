import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import count, islice
from pathlib import Path

import engine_units as units_of
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import InvalidValue
from unsee.engine.local import run_units
from unsee.engine.outcome import Done, Failed

BOTH = pytest.mark.parametrize("kind", ["process", "thread"])


def values(outcomes):
    return sorted(o.value for o in outcomes if isinstance(o, Done))


@BOTH
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_unit_comes_back_once(kind, workers):
    outcomes = list(run_units(units_of.double, range(40), workers=workers, kind=kind))
    assert values(outcomes) == [2 * n for n in range(40)]
    assert sorted(o.unit for o in outcomes) == list(range(40))


@given(numbers=st.lists(st.integers(0, 60)), workers=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_outcomes_are_the_units_whatever_fails(numbers, workers):
    outcomes = list(run_units(units_of.fail_on_multiples_of_three, numbers, workers=workers, kind="thread"))
    assert sorted(o.unit for o in outcomes) == sorted(numbers)
    assert {type(o) is Failed for o in outcomes if o.unit % 3 == 0} <= {True}
    assert values(outcomes) == sorted(n for n in numbers if n % 3)


def test_one_worker_runs_inline_and_in_order():
    outcomes = run_units(units_of.who, range(5), workers=1)
    assert [(o.unit, o.value) for o in outcomes] == [(n, os.getpid()) for n in range(5)]


@BOTH
@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_a_value_with_its_reason(kind, workers):
    outcomes = {o.unit: o for o in run_units(units_of.fail_on_multiples_of_three, range(7), workers=workers, kind=kind)}
    assert {n for n, o in outcomes.items() if isinstance(o, Failed)} == {0, 3, 6}
    assert (outcomes[3].error, outcomes[3].error_type) == ("3 is a multiple of three", "ValueError")
    assert "fail_on_multiples_of_three" in outcomes[3].trace


@BOTH
@pytest.mark.parametrize("workers", [1, 2])
def test_sys_exit_in_a_unit_does_not_end_the_run(kind, workers):
    assert [o.error_type for o in run_units(units_of.leave, range(3), workers=workers, kind=kind)] == ["SystemExit"] * 3


def test_a_unit_that_kills_its_worker_is_set_aside_and_all_others_are_done():
    outcomes = list(run_units(units_of.die_on_thirteen, range(30), workers=2))
    (failed,) = [o for o in outcomes if isinstance(o, Failed)]
    assert failed.unit == 13
    assert failed.error_type == "WorkerDied"
    assert "SIGKILL" in failed.error
    assert values(outcomes) == [n for n in range(30) if n != 13]


def test_a_unit_whose_worker_died_once_is_tried_again(tmp_path):
    marks = [str(tmp_path / str(n)) for n in range(3)]
    assert values(run_units(units_of.die_the_first_time, marks, workers=2)) == marks


@BOTH
def test_endless_units_are_read_on_no_further_than_needed(kind):
    read = []

    def endless():
        for n in count():
            read.append(n)
            yield n

    outcomes = run_units(units_of.double, endless(), workers=2, kind=kind)
    assert len(list(islice(outcomes, 20))) == 20
    assert len(read) <= 20 + 2 * 4 * 2
    outcomes.close()


@BOTH
def test_closing_the_iterator_leaves_no_worker(kind):
    before = {t.ident for t in threading.enumerate()}
    outcomes = run_units(units_of.who, range(1000), workers=2, kind=kind)
    pids = {next(outcomes).value for _ in range(10)} - {os.getpid()}
    outcomes.close()
    assert {t.ident for t in threading.enumerate()} <= before
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@BOTH
def test_an_error_of_the_units_themselves_is_raised(kind):
    def broken():
        yield 1
        raise LookupError("the books are closed")

    with pytest.raises(LookupError, match="books are closed"):
        list(run_units(units_of.double, broken(), workers=2, kind=kind))


def test_what_cannot_be_sent_either_way_fails_alone():
    outcomes = list(run_units(units_of.double, [1, lambda: 2, units_of.Stubborn(), 4], workers=2))
    assert values(outcomes) == [2, 8]
    assert len(outcomes) == 4
    assert "I do not unpickle" in str([o.error for o in outcomes if isinstance(o, Failed)])
    assert [type(o) for o in run_units(units_of.unpicklable, range(3), workers=2)] == [Failed] * 3
    assert [o.error for o in run_units(units_of.make_stubborn, range(3), workers=2)] == ["I do not unpickle"] * 3


def test_a_function_that_workers_cannot_get_is_refused_at_once():
    with pytest.raises(InvalidValue, match="cannot be sent to a worker"):
        run_units(lambda n: n, [1], workers=2)
    with pytest.raises(InvalidValue, match="I do not unpickle"):
        list(run_units(partial(units_of.double, units_of.Stubborn()), [1], workers=2))
    with pytest.raises(InvalidValue, match="at least one worker"):
        run_units(units_of.double, [1], workers=0)


@BOTH
@pytest.mark.parametrize("workers", [1, 2])
def test_on_done_hears_of_each_outcome_before_the_caller(kind, workers):
    heard = []
    outcomes = run_units(units_of.double, range(9), workers=workers, kind=kind, on_done=heard.append)
    for number, outcome in enumerate(outcomes, start=1):
        assert heard[number - 1] is outcome
    assert len(heard) == 9


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import engine_units
from unsee.engine.local import run_units
if __name__ == "__main__":
    list(run_units(engine_units.note_and_wait, {units!r}, workers=2))
"""


def living(group):
    """Processes of a process group that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes under /proc")
@pytest.mark.parametrize(("signum", "unit_s"), [(signal.SIGINT, 300), (signal.SIGKILL, 1)])
def test_no_worker_outlives_its_parent(tmp_path, signum, unit_s):
    """Ctrl-C ends busy workers at once. After kill -9 of the parent a busy worker ends after its unit."""
    units = [(str(tmp_path / name), unit_s) for name in "abcdefgh"]
    script = tmp_path / "main.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent), units=units))
    with subprocess.Popen(
        [sys.executable, script], stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as parent:
        while not all(Path(path).exists() for path, _ in units[:2]):
            assert parent.poll() is None
            time.sleep(0.02)
        os.killpg(parent.pid, signum) if signum == signal.SIGINT else parent.kill()
        stderr = parent.stderr.read()
    for _ in range(500):
        if not living(parent.pid):
            break
        time.sleep(0.02)
    assert living(parent.pid) == []
    assert stderr.count("KeyboardInterrupt") == (signum == signal.SIGINT), "workers print nothing of their own"
    assert not Path(units[2][0]).exists(), "no further unit was begun"
