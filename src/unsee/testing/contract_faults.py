"""The contract of one store, third part: killed anywhere, a full disk, a failing device, no permission."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from unsee.core.errors import StoreError
from unsee.core.evidence import Gone
from unsee.stores.contract import Erased, Store
from unsee.testing.faults import kill_everywhere
from unsee.testing.harness import Contents, ContractBase, Erasing, More, StoreHarness, contents, must
from unsee.testing.processes import as_an_ordinary_user, read_only
from unsee.testing.syscalls import (
    Failed,
    fail_at_every_system_call,
    kill_at_every_system_call,
    stride,
    system_calls,
)

ERRORS = (errno.ENOSPC, errno.EACCES, errno.EIO)
_NOT_ON_THE_DISK = ("fsync", "fdatasync", "msync", "sync", "syncfs")
_TIMEOUT_S = 120.0


class FaultContract(ContractBase):
    """Kills and faults. After each the other members are whole, and the same call finishes."""

    def test_a_kill_anywhere_loses_nothing_and_the_same_call_finishes(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path
    ) -> None:
        """SIGKILL at every call from Python that writes; then look, resume, look again."""
        erasing, before, kept = self._before(harness, fill, tmp_path)
        writes = More.of(harness).writes
        for killed in kill_everywhere(erasing, reset=erasing.reset, watched=writes, timeout_s=_TIMEOUT_S):
            self._survives(harness, erasing, before, kept, killed)

    def test_a_kill_at_system_calls_loses_nothing_and_the_same_call_finishes(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path
    ) -> None:
        """SIGKILL at system calls that write, in native libraries and their threads too; a sample of them where there are many."""
        self._kill_at_system_calls(harness, fill, tmp_path, most=More.of(harness).kills)

    @pytest.mark.slow
    def test_a_kill_at_every_system_call_loses_nothing_and_the_same_call_finishes(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path
    ) -> None:
        """SIGKILL at each of them."""
        self._kill_at_system_calls(harness, fill, tmp_path, most=1_000_000)

    @pytest.mark.parametrize("error", ERRORS, ids=[errno.errorcode[error] for error in ERRORS])
    def test_a_failing_system_call_is_said_and_loses_nothing(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path, error: int
    ) -> None:
        """A full disk, no permission, a failing device, at a system call that writes: Kept or a StoreError, and never "erased"."""
        most = More.of(harness).kills
        self._fail_at_system_calls(
            harness, fill, tmp_path, error, most=most if error == errno.ENOSPC else max(1, most // 3)
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("error", ERRORS, ids=[errno.errorcode[error] for error in ERRORS])
    def test_any_failing_system_call_is_said_and_loses_nothing(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path, error: int
    ) -> None:
        """At each of them."""
        self._fail_at_system_calls(harness, fill, tmp_path, error, most=1_000_000)

    def test_without_permission_members_are_kept_and_nothing_is_lost(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path
    ) -> None:
        """An object that may not be written to: Kept with a reason or a StoreError; once it may be, the same call finishes.

        Runs in a child that keeps its user but gives up root's capabilities to overrule permissions, so it tests something as root.
        """
        more = More.of(harness)
        if more.deny is None and not more.local:
            pytest.skip("the harness neither has `deny` nor is `local`")
        erasing, before, kept = self._before(harness, fill, tmp_path)
        deny = more.deny or (lambda store, _: read_only(Path(store.location)))
        undo = deny(erasing.store, erasing.object_name)
        try:
            outcome = as_an_ordinary_user(erasing, timeout_s=_TIMEOUT_S)
        finally:
            undo()
        self._honest(harness, erasing, outcome.returned, outcome.raised, outcome.words)
        self._survives(harness, erasing, before, kept, "no permission to write")

    def _before(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path
    ) -> tuple[Erasing, Contents, Contents]:
        """The call, all members before it, and those that stay."""
        going = self.names[:3]
        erasing = self.erasing(harness, tmp_path, fill, harness.objects[0], going)
        before = contents(erasing.store)
        kept = {key: data for key, data in before.items() if key[0] != erasing.object_name or key[1] not in going}
        return erasing, before, kept

    def _survives(
        self, harness: StoreHarness, erasing: Erasing, before: Contents, kept: Contents, detail: object
    ) -> None:
        try:
            found = contents(erasing.store)
            lost = [key for key, data in kept.items() if found.get(key) != data]
            must("leave every other member byte-identical", not lost, lost)
            self.seen_by_others(harness, erasing.store, before, set(before) - set(kept))
            self.resumes(harness, erasing, kept, detail)
        except Exception as error:
            error.add_note(f"after {detail}")
            raise

    def _kill_at_system_calls(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path, *, most: int
    ) -> None:
        erasing, before, kept = self._before(harness, fill, tmp_path)
        every = stride(len(system_calls(erasing, timeout_s=_TIMEOUT_S)), most)
        for killed in kill_at_every_system_call(erasing, reset=erasing.reset, every=every, timeout_s=_TIMEOUT_S):
            self._survives(harness, erasing, before, kept, killed)

    def _fail_at_system_calls(
        self, harness: StoreHarness, fill: Callable[..., Store], tmp_path: Path, error: int, *, most: int
    ) -> None:
        erasing, before, kept = self._before(harness, fill, tmp_path)
        every = stride(len(system_calls(erasing, timeout_s=_TIMEOUT_S)), most)
        failing = partial(fail_at_every_system_call, error=error, every=every, timeout_s=_TIMEOUT_S)
        for failed in failing(erasing, reset=erasing.reset):
            self._honest(harness, erasing, failed.returned, failed.raised, failed)
            self._survives(harness, erasing, before, kept, failed)

    def _honest(
        self, harness: StoreHarness, erasing: Erasing, returned: object, raised: BaseException | None, detail: object
    ) -> None:
        """What it says after a fault is true: nothing is called erased whose bytes are there, or that never reached the disk."""
        if raised is not None:
            must("raise a StoreError and nothing else", isinstance(raised, StoreError), (detail, repr(raised)))
            return
        assert isinstance(returned, Erased)  # noqa: S101  this is a test
        self.partition(returned, erasing.targets)
        where = self.finds(harness, erasing.store, erasing.object_name, returned.erased)
        must("call nothing erased that is there", bool(not where or returned.gone is Gone.D4), (detail, where))
        if isinstance(detail, Failed) and detail.call.split()[0] in _NOT_ON_THE_DISK and not returned.kept:
            forgives = More.of(harness).forgives
            forgiven = forgives is not None and forgives(detail, returned)
            must("keep what the disk did not confirm", forgiven, (detail, returned))
