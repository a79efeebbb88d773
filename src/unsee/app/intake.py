"""Taking photos in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unsee.app.registry import add_store
from unsee.app.workspace import Workspace
from unsee.books import orders, parties, places
from unsee.core.errors import NotFound
from unsee.core.ids import PersonId, SourceId
from unsee.intake.take_in import Intake, TakenIn, require_open
from unsee.match.suppression import Sealed, Suppressor
from unsee.stores.registry import open_store


def take_in(
    ws: Workspace,
    folder: Path,
    *,
    source: str,
    metadata: Path | None,
    person: PersonId,
    workers: int,
    on_progress: Callable[[str, int, int], None],
) -> TakenIn:
    """Take a folder of photos in for a source. The photos stay where they are.

    A folder that lies in no registered store becomes one, named after it, so that later walks look there.

    Raises:
        NotFound: no such source, person or folder.
        PolicyRefusal, BlockedByOrder, MetadataError: see `unsee.intake.take_in`.
    """
    if not folder.is_dir():
        raise NotFound("folder", str(folder), where="", next_step="Name a folder that holds photos.")
    with ws.books.read() as conn:
        parties.source(conn, SourceId(source))
        parties.person(conn, person)
        suppressor = Suppressor(ws.suppression_key, [Sealed(*e) for e in orders.suppression_entries(conn)])
        # Before the folder becomes a store: what is refused leaves no trace.
        require_open(conn, SourceId(source), ws.now().date())
    row = _store_around(ws, folder.resolve())
    result = Intake(
        books=ws.books,
        source=SourceId(source),
        folder=folder,
        store=open_store(row.id, row.kind, row.location, row.options),
        store_no=row.no,
        pseudonym_key=ws.secret("pseudonym"),
        suppressor=suppressor,
        person=person,
        workers=workers,
        on_progress=on_progress,
    ).run(metadata)
    ws.drain()
    return result


def _store_around(ws: Workspace, folder: Path) -> places.StoreRow:
    with ws.books.read() as conn:
        known = places.all_stores(conn)
    for row in known:
        if row.kind == "files" and (folder == Path(row.location) or Path(row.location) in folder.parents):
            return row
    base = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in folder.name.lower()).strip("-_.")
    taken = {row.id for row in known}
    name = base or "folder"
    number = 2
    while name in taken:
        name, number = f"{base or 'folder'}-{number}", number + 1
    store_id = add_store(ws, name, kind="files", location=str(folder), options={})
    with ws.books.read() as conn:
        return places.store(conn, store_id)
