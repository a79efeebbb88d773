"""Which rules hold: those that unsee knows, with the retention schedule of the books; or those that somebody proposes in a file."""

from __future__ import annotations

from pathlib import Path

from unsee.app.workspace import Workspace
from unsee.books import retention
from unsee.core.errors import InputError, NotFound
from unsee.core.rulefile import from_toml
from unsee.core.rules import JURISDICTIONS, Jurisdiction, RuleBook

MAX_BYTES = 4 << 20


def rule_book(ws: Workspace, file: Path | None = None) -> RuleBook:
    """The rules in force, or those of `file`; what the file leaves out stays as it is.

    Raises:
        InputError: the file cannot be read.
        InvalidValue: it is no rule book; the message names file and key.
    """
    with ws.books.read() as conn:
        base = RuleBook(JURISDICTIONS, retention.schedule(conn))
    if file is None:
        return base
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file} is larger than {MAX_BYTES >> 20} MiB; no rule book is.")
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", next_step="Name a readable file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 (byte {error.start}).", next_step="Write it as UTF-8.") from None
    return from_toml(text, file=str(file), base=base)


def jurisdiction(book: RuleBook, code: str) -> Jurisdiction:
    """The jurisdiction of a code.

    Raises:
        NotFound: no rules are known for it.
    """
    found = book.jurisdiction(code)
    if found is None:
        known = ", ".join(p.id for p in book.jurisdictions)
        raise NotFound("jurisdiction", code, where=" in the rule book", next_step=f"Known: {known}.")
    return found
