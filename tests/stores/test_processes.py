"""Fresh interpreters and children without privileges, which the contract suite runs stores in."""

import os
import time
from functools import partial

import fault_targets as targets
import pytest

from unsee.testing.faults import ChildFailed
from unsee.testing.processes import FreshProcess, as_an_ordinary_user, in_fresh_process, read_only
from unsee.testing.syscalls import run_slowly, stride


def test_a_fresh_process_is_another_one_and_remembers_between_calls():
    assert in_fresh_process(targets.who)[0] != os.getpid()
    with FreshProcess({"FOR_THIS_TEST": "yes"}) as process:
        process.start(targets.who)
        first = process.answer()
        process.start(targets.who)
        assert process.answer() == first
        assert first[1] == "yes"


def test_what_goes_wrong_there_says_so(tmp_path):
    with pytest.raises(ChildFailed, match="the function's own fault"):
        in_fresh_process(partial(targets.fail, str(tmp_path)))
    with pytest.raises(ChildFailed, match="more than"):
        in_fresh_process(partial(targets.hang, str(tmp_path)), timeout_s=0.5)
    with pytest.raises(ChildFailed, match="the process ended"):
        in_fresh_process(partial(targets.leave, str(tmp_path)))
    with pytest.raises(ChildFailed, match="the child said nothing"):
        as_an_ordinary_user(partial(targets.leave, str(tmp_path)))
    with pytest.raises(ChildFailed, match="more than"):
        as_an_ordinary_user(partial(targets.hang, str(tmp_path)), timeout_s=0.2)
    assert isinstance(as_an_ordinary_user(partial(targets.fail, str(tmp_path))).raised, LookupError)


def test_permissions_apply_in_a_child_without_privileges_whoever_runs_the_test(tmp_path):
    (tmp_path / "old").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    undo = read_only(tmp_path)
    outcome = as_an_ordinary_user(partial(targets.read_permissions, str(tmp_path)))
    assert outcome.returned == ("Permission denied", True), outcome.words
    inside = as_an_ordinary_user(partial(targets.write_by_c, str(tmp_path)))
    assert isinstance(inside.raised, PermissionError), "the directory is read-only too"
    undo()
    assert as_an_ordinary_user(partial(targets.write_by_c, str(tmp_path))).raised is None


def test_a_slow_run_lets_others_see_each_state(tmp_path):
    (tmp_path / "old").touch()
    began = time.monotonic()
    calls = run_slowly(partial(targets.write_files, str(tmp_path)), pause_s=0.05)
    assert [call.split()[0] for call in calls] == ["openat", "write", "fsync", "rename", "unlink"]
    assert time.monotonic() - began > 5 * 0.05


def test_a_stride_is_one_or_a_prime():
    assert [stride(calls, 40) for calls in (0, 1, 40, 41, 100, 160, 1000, 10_000)] == [1, 1, 1, 2, 3, 5, 29, 251]
