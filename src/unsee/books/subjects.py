"""People by the million: their numbers and pseudonyms as arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import bulk
from unsee.books.database import Tx, driver_chunks, driver_rows
from unsee.books.parties import source_no
from unsee.books.schema import subjects as table
from unsee.core.ids import ItemSet, SourceId

PSEUDONYM = pa.binary(32)
_AT_ONCE = 100_000

Numbers = npt.NDArray[np.int64]


def of_source(conn: Connection, source_id: SourceId) -> ItemSet:
    """The numbers of all people of a source, those without a photo too.

    Raises:
        NotFound: there is no such source.
    """
    rows = driver_rows(conn, sa.select(table.c.no).where(table.c.source_no == source_no(conn, source_id)))
    return ItemSet([no for (no,) in rows])


def known(conn: Connection, source_id: SourceId, pseudonyms: pa.Array) -> Numbers:
    """The numbers of these people of a source; 0 for whoever is not known.

    Raises:
        NotFound: there is no such source.
    """
    names, there = _all(conn, table.c.source_no == source_no(conn, source_id))
    found = pc.index_in(pseudonyms, value_set=names)
    index = pc.fill_null(found, len(names)).to_numpy(zero_copy_only=False)
    numbers: Numbers = np.append(there, 0)[index]
    return numbers


def numbers(tx: Tx, source_id: SourceId, pseudonyms: pa.Array, *, known: Numbers) -> tuple[Numbers, int]:
    """The numbers of these people of a source, given out where they are new, and how many were new.

    Args:
        pseudonyms: 32 bytes each (`PSEUDONYM`), none twice.
        known: what `known` answered for them in this transaction.
    Raises:
        NotFound: there is no such source.
    """
    new = np.flatnonzero(known == 0)
    # In the order of the index: a database appends to it, or at least goes through it once.
    new = new[pc.sort_indices(pseudonyms.take(pa.array(new)).cast(pa.binary())).to_numpy()]
    source = source_no(tx.conn, source_id)
    first = int(tx.conn.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.no), 0))).scalar_one()) + 1
    answer = known.copy()
    answer[new] = np.arange(first, first + len(new))
    rows = (
        (no, source, name)
        for at in range(0, len(new), _AT_ONCE)
        for no, name in enumerate(pseudonyms.take(pa.array(new[at : at + _AT_ONCE])).to_pylist(), start=first + at)
    )
    bulk.insert(tx, table, ("no", "source_no", "pseudonym"), rows)
    return answer, len(new)


def blocks(conn: Connection, source_id: SourceId | None = None) -> Iterator[dict[int, tuple[int, bytes]]]:
    """Everybody, of one source or all, by number and a block at a time: the number of their source, and their pseudonym.

    Raises:
        NotFound: there is no such source.
    """
    wanted = source_no(conn, source_id) if source_id is not None else None
    last = int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.no), 0))).scalar_one())
    for first in range(1, last + 1, _AT_ONCE):
        # The source is chosen here: asked for it, SQLite would go through all of its people for each block.
        here = table.c.no.between(first, first + _AT_ONCE - 1)
        rows = driver_rows(
            conn, sa.select(table.c.no, table.c.source_no, table.c.pseudonym).where(here).order_by(table.c.no)
        )
        if block := {no: (of, bytes(name)) for no, of, name in rows if wanted is None or of == wanted}:
            yield block


def _all(conn: Connection, where: sa.ColumnElement[bool]) -> tuple[pa.Array, Numbers]:
    names = [pa.array([], type=PSEUDONYM)]
    held = [np.empty(0, dtype=np.int64)]
    for rows in driver_chunks(conn, sa.select(table.c.pseudonym, table.c.no).where(where)):
        names.append(pa.array([bytes(name) for name, _no in rows], type=PSEUDONYM))
        held.append(np.fromiter((no for _name, no in rows), dtype=np.int64, count=len(rows)))
    return pa.concat_arrays(names), np.concatenate(held)
