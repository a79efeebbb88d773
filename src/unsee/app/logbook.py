"""Carrying facts from the books' outbox into the log."""

from __future__ import annotations

from unsee.attest.log import Log
from unsee.books import facts
from unsee.books.database import Books


def drain(books: Books, log: Log) -> int:
    """Append the entries of all facts that the log does not hold yet; how many.

    The index of the next entry is what the books remember, so a crash after appending and before remembering appends the same
    entries at the same place again, which the log takes as done.

    Raises:
        Tampered: the log holds something else at that place.
    """
    carried = 0
    while True:
        with books.write() as tx:
            batch = facts.undrained(tx.conn)
            if not batch:
                return carried
            first = facts.drained_count(tx.conn)
            log.append_at(first, [fact.entry for fact in batch])
            facts.mark_drained(tx, batch, first)
        carried += len(batch)


def recent(books: Books, count: int) -> list[facts.Fact]:
    """The newest facts, oldest of them first."""
    with books.read() as conn:
        return facts.recent(conn, count)
