"""Options of a store as the user gives them: text by name, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from unsee.core.errors import InvalidValue

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def know(options: Mapping[str, str], *, kind: str, known: Collection[str]) -> None:
    """Pass where every option is one of `known`.

    Raises:
        InvalidValue: one is not; the error lists those that are.
    """
    if unknown := sorted(set(options) - set(known)):
        raise InvalidValue(
            f"Stores of kind {kind!r} have no option {unknown[0][:80]!r}.",
            next_step="Options: " + (", ".join(sorted(known)) or "none") + ".",
        )


def truth(options: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """A yes or no.

    Raises:
        InvalidValue: it is neither.
    """
    spelled = options.get(name)
    if spelled is None:
        return default
    if spelled.casefold() not in _TRUTH:
        raise InvalidValue(f"{name}={spelled[:40]!r} is neither true nor false.", next_step="Write true or false.")
    return _TRUTH[spelled.casefold()]
