"""Taking photos in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from sqlalchemy import Connection

from unsee.app.registry import add_store
from unsee.app.workspace import Workspace
from unsee.books import orders, parties, places, quarantine
from unsee.books.quarantine import Quarantine
from unsee.core.errors import NotFound, Quarantined
from unsee.core.ids import PersonId, SourceId
from unsee.intake.opening import require_open
from unsee.intake.outcome import TakenIn
from unsee.intake.take_in import Intake
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
    quarantine_days: int | None = None,
    keep_good: bool = False,
    leave_out: Sequence[str] = (),
    on_progress: Callable[[str, int, int], None],
) -> TakenIn:
    """Take a folder of photos in for a source. The photos stay where they are.

    A folder that lies in no registered store becomes one, named after it, so that later walks look there. What came through no
    open channel of the source is recorded and quarantined: the result's `held` tells.

    Args:
        quarantine_days: how long it is held; None: as the workspace is set.
        keep_good: leave bad rows of the metadata out, with their photos, and go on.
        leave_out: attributes of the metadata that are not taken in.
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
        quarantine_days=ws.quarantine_days if quarantine_days is None else quarantine_days,
        keep_good=keep_good,
        leave_out=tuple(dict.fromkeys(leave_out)),
        on_progress=on_progress,
    ).run(metadata)
    ws.drain()
    with ws.books.read() as conn:
        result.held = _still_held(conn, SourceId(source), folder.resolve(), ws.now().date())
    return result


def quarantine_of(result: TakenIn) -> Quarantined | None:
    """What to say of photos of this folder that are in quarantine; None where none are. Nothing of the intake is undone by it."""
    held = result.held
    if held is None:
        return None
    return Quarantined(
        f"{len(held.items):,} items of this folder are in {held.id}: {held.reason}. They are recorded, may not be used, and "
        f"are to be erased from {held.expires_on} on.",
        next_step=f'Have them reviewed: "unsee quarantine release {held.id} --as P --note TEXT"; or register the way that they '
        f'came before more come: "unsee channel add ID --source {held.source} --kind KIND --location PATH".',
    )


def _still_held(conn: Connection, source: SourceId, folder: Path, today: date) -> Quarantine | None:
    """The last quarantine of this folder that nobody has decided of, whether this intake filled it or an earlier one."""
    gone = orders.erased(conn)
    waiting = [
        q
        for q in quarantine.all_quarantines(conn)
        if (q.source, q.folder) == (source, str(folder))
        and q.state(today) in {"held", "expired"}
        and not q.items <= gone
    ]
    return waiting[-1] if waiting else None


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
