"""Recording which members of a store are copies of a source's photos, or were made from them."""

from __future__ import annotations

from pathlib import Path

from unsee.app.workspace import Workspace
from unsee.books import parties, places
from unsee.core.ids import PersonId, SourceId, StoreId
from unsee.intake.store_index import Indexed, StoreIndex, read_origins
from unsee.stores.registry import open_store


def index_store(ws: Workspace, store: str, *, source: str, made_from: Path | None, person: PersonId) -> Indexed:
    """Walk a registered store and record what of it is a source's.

    Args:
        made_from: a CSV file that says what each member was made from: see `unsee.intake.store_index.read_origins`.
    Raises:
        NotFound: no such store, source or person.
        MetadataError: the file breaks its form.
        PolicyRefusal, BlockedByOrder: nothing may be taken in from the source now.
        StoreUnreachable: the store is not there.
    """
    with ws.books.read() as conn:
        row = places.store(conn, StoreId(store))
        parties.source(conn, SourceId(source))
        parties.person(conn, person)
    origins = read_origins(made_from) if made_from is not None else {}
    opened = open_store(row.id, row.kind, row.location, row.options)
    result = StoreIndex(ws.books, SourceId(source), opened, row.no, person, origins).run()
    ws.drain()
    return result
