"""One error tree. Every error has a stable code, an exit code, and says what happened, to which thing, what to do next.

::

    UnseeError                 exit
    ├── InputError             4     what was handed in cannot be read or is not allowed
    │   ├── InvalidName
    │   ├── InvalidValue
    │   ├── MetadataError
    │   ├── RowsRefused
    │   └── UnknownPurpose
    ├── NotFound               4     no such source, dataset, order …
    ├── Conflict               5     the world is not as the request supposes
    │   ├── AlreadyExists
    │   ├── WorkspaceExists
    │   ├── WorkspaceBusy
    │   ├── StalePlan
    │   └── WrongState
    ├── Refused                3     a rule says no; the reasons are listed
    │   ├── PolicyRefusal
    │   ├── ApprovalRefused
    │   ├── BlockedByOrder
    │   ├── Quarantined
    │   └── SharingFrozen
    ├── Incomplete             6     something was left over; what, and why, is listed
    │   ├── ResidueFound
    │   ├── RowsLeftOut
    │   └── UnitsFailed
    ├── Tampered               7     a digest, signature or proof does not fit
    ├── MissingExtra           8     an optional dependency is not installed
    └── StoreError             9     a store could not do what was asked
        ├── StoreUnreachable
        └── PathEscape
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


class UnseeError(Exception):
    """The root. `message` says what and which, `next_step` what to do; `code` never changes its meaning."""

    code: ClassVar[str] = "UNS-000"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, next_step: str = "", details: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.details = tuple(details)

    def __str__(self) -> str:
        return f"{self.code} {self.message}" + (f" {self.next_step}" if self.next_step else "")

    def as_json(self) -> dict[str, Any]:
        """The error as every `--json` command prints it."""
        return {
            "schema": "unsee/error/1",
            "code": self.code,
            "message": self.message,
            "next_step": self.next_step,
            "details": [d.as_json() if hasattr(d, "as_json") else str(d) for d in self.details],
        }


class InputError(UnseeError):
    """What was handed in cannot be read or is not allowed."""

    code = "INP-001"
    exit_code = 4


class InvalidName(InputError):
    """A name cannot be an id."""

    code = "INP-002"

    def __init__(self, *, what: str, name: str) -> None:
        super().__init__(
            f"{name[:80]!r} cannot be the name of {_a(what)}.",
            next_step="Use 1 to 64 of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit.",
        )


class InvalidValue(InputError):
    """A field holds a value that it cannot hold."""

    code = "INP-003"


class MetadataError(InputError):
    """A metadata file cannot be used: the file, line and field are named."""

    code = "INP-004"

    def __init__(
        self, message: str, *, file: str, line: int | None = None, field: str | None = None, next_step: str = ""
    ) -> None:
        where = file + (f", line {line}" if line is not None else "") + (f", field {field!r}" if field else "")
        self.reason = message.removesuffix(".")
        super().__init__(
            f"{where}: {self.reason}.",
            next_step=next_step or "Mend the file and run the intake again; nothing was taken in.",
        )
        self.file, self.line, self.field = file, line, field


class RowsRefused(InputError):
    """A list holds rows that cannot be used; `details` names each with its line and field. Nothing of the list was kept."""

    code = "INP-006"

    def __init__(self, file: str, problems: Sequence[Any]) -> None:
        bad = len({p.line for p in problems})
        super().__init__(
            f"{file}: {bad:,} bad {'row' if bad == 1 else 'rows'}; nothing was kept.",
            next_step="Mend the rows, or keep the good ones with --on-error keep.",
            details=sorted(problems, key=lambda p: (p.line, p.field)),
        )


class UnknownPurpose(InputError):
    """A purpose is not in the purpose tree."""

    code = "INP-005"

    def __init__(self, purpose: str, known: Iterable[str]) -> None:
        super().__init__(
            f"There is no purpose {purpose[:80]!r}.", next_step="Known purposes: " + ", ".join(sorted(known)) + "."
        )


class NotFound(UnseeError):
    """No such thing: in this workspace, or at that place."""

    code = "NTF-001"
    exit_code = 4

    def __init__(self, what: str, name: str, *, where: str = " in this workspace", next_step: str = "") -> None:
        super().__init__(
            f"There is no {what} {name!r}{where}.",
            next_step=next_step or f'"unsee {what} list" shows what there is.',
        )


class Conflict(UnseeError):
    """The world is not as the request supposes."""

    code = "CNF-001"
    exit_code = 5


class AlreadyExists(Conflict):
    """The name is taken."""

    code = "CNF-002"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"There is already {_a(what)} {name!r}.", next_step="Choose another name; facts are never overwritten."
        )


class WorkspaceExists(Conflict):
    """`unsee init` was asked to overwrite a workspace."""

    code = "CNF-003"


class WorkspaceBusy(Conflict):
    """Another process holds the lock this act needs."""

    code = "CNF-004"


class WrongState(Conflict):
    """The thing is not in the state that this act needs."""

    code = "CNF-005"


class StalePlan(Conflict):
    """The world moved after the plan was made."""

    code = "ERA-012"


class Refused(UnseeError):
    """A rule says no."""

    code = "POL-001"
    exit_code = 3


class PolicyRefusal(Refused):
    """Items may not be used for this purpose; `details` lists the reasons with their counts."""

    code = "POL-002"


class ApprovalRefused(Refused):
    """This person may not approve this plan."""

    code = "POL-003"


class BlockedByOrder(Refused):
    """An order blocks the items from any use. No override lifts it."""

    code = "POL-004"


class Quarantined(Refused):
    """Photos came by a way that is no channel: they are recorded and barred from use until a reviewer releases them."""

    code = "POL-005"


class SharingFrozen(Refused):
    """An order reaches what this recipient got, and it has not confirmed yet that it is gone (R17)."""

    code = "POL-007"


class Incomplete(UnseeError):
    """Something was left over."""

    code = "ERA-001"
    exit_code = 6


class ResidueFound(Incomplete):
    """Verification found bytes, rows or near-copies of the scope."""

    code = "ERA-002"


class UnitsFailed(Incomplete):
    """Some units of a plan failed; the others were carried out."""

    code = "ERA-003"


class RowsLeftOut(Incomplete):
    """The good rows of a list were kept, the bad ones were not; each is listed."""

    code = "ERA-004"


class Tampered(UnseeError):
    """A digest, signature or proof does not fit what it covers."""

    code = "ATT-001"
    exit_code = 7


class MissingExtra(UnseeError):
    """An optional dependency is not installed."""

    code = "ENV-001"
    exit_code = 8

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs the extra {extra!r}.", next_step=f"pip install 'unsee[{extra}]'")


class StoreError(UnseeError):
    """A store could not do what was asked."""

    code = "STO-001"
    exit_code = 9


class StoreUnreachable(StoreError):
    """A store, or the books, cannot be reached, or cannot be written to."""

    code = "STO-002"


class PathEscape(StoreError):
    """A name points out of its store."""

    code = "STO-003"


def _a(what: str) -> str:
    return f"{'an' if what[:1] in 'aeiou' else 'a'} {what}"


def every_error() -> list[type[UnseeError]]:
    """All error classes of the tree, each once, root first: what the documentation and its test are made from."""
    found: list[type[UnseeError]] = []
    queue: list[type[UnseeError]] = [UnseeError]
    while queue:
        head = queue.pop(0)
        found.append(head)
        queue.extend(head.__subclasses__())
    return found
