"""A fresh environment without the rows that go, written by liblmdb in one transaction, in the order of the keys.

Not by deleting in the old one and `copy(compact=True)`: that writes to the file that readers have open, and the library trusts
every number in it. Here liblmdb sees the new file only, and no byte comes over but keys and values that stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import lmdb

from unsee.core.errors import StoreError
from unsee.stores.lmdb import pages

_INLINE = 2040
"""Longer values lie in pages of their own, whatever the page's size."""


def write(
    new: int, databases: Mapping[bytes | None, int], rows: Iterable[tuple[bytes | None, bytes, bytes]], need_bytes: int
) -> None:
    """Fill the empty file `new`: databases by name (None: the main one) with their flags, rows by database.

    Room is asked for first: the file is mapped, and a disk that becomes full under a map ends the process.

    Raises:
        OSError: the disk is full.
        StoreError: liblmdb cannot hold what the old environment held.
    """
    try:
        with lmdb.open(
            f"/proc/self/fd/{new}",
            map_size=need_bytes,
            subdir=False,
            lock=False,
            writemap=True,
            sync=False,
            metasync=False,
            max_dbs=max(1, len(databases)),
            readahead=False,
        ) as environment:
            os.posix_fallocate(new, 0, need_bytes)
            handles: dict[bytes | None, Any] = {None: _database(environment, None, databases[None])}
            with environment.begin(write=True) as transaction:
                for name, flags in databases.items():
                    if name is not None:
                        handles[name] = _database(environment, name, flags, transaction)
                for name, run in _runs(rows):
                    # the names of databases stand among the keys of the main one
                    in_order = name is not None or len(databases) == 1
                    with transaction.cursor(handles[name]) as cursor:
                        cursor.putmulti(run, append=in_order)
    except lmdb.Error as error:
        raise StoreError(f"liblmdb cannot write it anew: {error}") from error


def need(sizes: Iterable[tuple[int, int]], databases: int) -> int:
    """How large a map is enough for keys and values of these sizes."""
    page = os.sysconf("SC_PAGE_SIZE")
    inline = big = 0
    for key, value in sizes:
        inline += 2 * (key + 16)
        if key + value > min(_INLINE, page // 2 - 24):
            big += -(-(value + pages.HEADER) // page)
        else:
            inline += 2 * value
    return page * (64 + 4 * databases + big + -(-(inline + inline // 8) // page))


def _database(
    environment: lmdb.Environment, name: bytes | None, flags: int, transaction: lmdb.Transaction | None = None
) -> Any:
    if flags & pages.REVERSE_DUP:
        raise StoreError(f"the database {name!r} sorts its values backwards, which the Python library cannot write")
    return environment.open_db(
        name,
        txn=transaction,
        reverse_key=bool(flags & pages.REVERSE_KEY),
        dupsort=bool(flags & pages.DUPSORT),
        integerkey=bool(flags & pages.INTEGER_KEY),
        integerdup=bool(flags & pages.INTEGER_DUP),
        dupfixed=bool(flags & pages.DUP_FIXED),
    )


def _runs(
    rows: Iterable[tuple[bytes | None, bytes, bytes]],
) -> Iterator[tuple[bytes | None, list[tuple[bytes, bytes]]]]:
    """Neighbouring rows of one database, about 8 MB at a time."""
    run: list[tuple[bytes, bytes]] = []
    at: bytes | None = None
    held = 0
    for name, key, data in rows:
        if run and (name != at or held >= 8 << 20):
            yield at, run
            run, held = [], 0
        at = name
        run.append((key, data))
        held += len(data)
    if run:
        yield at, run
