"""Backups and snapshots: registered with the day on which they go, not restored as they are, and erased again if they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from unsee.app.workspace import Workspace
from unsee.books import backups, orders, parties, places
from unsee.books.backups import Backup
from unsee.core.errors import BlockedByOrder, InvalidValue, UnitsFailed, WrongState
from unsee.core.ids import ItemSet, OrderId, PersonId, StoreId, slug
from unsee.erase.again import Again, erase_again
from unsee.match.suppression import Sealed, Suppressor
from unsee.stores.registry import open_store


@dataclass(frozen=True, slots=True)
class Listed:
    """A backup, its state today, and how many items it may hold, of them erased by orders or under one."""

    backup: Backup
    state: str
    items: int
    barred: int
    orders: tuple[OrderId, ...]

    def as_json(self) -> dict[str, object]:
        """As printed."""
        b = self.backup
        return {
            "id": b.id,
            "location": b.location,
            "stores": list(b.stores),
            "made_on": b.made_on.isoformat(),
            "expires_on": b.expires_on.isoformat(),
            "state": self.state,
            "items": self.items,
            "barred": self.barred,
            "orders": list(self.orders),
            "erase_again": b.waits,
            "events": [{"event": e.event, "person": e.person, "at": e.at, "body": dict(e.body)} for e in b.events],
        }


def add(
    ws: Workspace,
    name: str,
    *,
    location: str,
    stores: Sequence[str],
    made_on: date,
    expires_on: date,
    person: PersonId,
) -> Listed:
    """Register a backup or snapshot of stores, with the day by which it is destroyed.

    Raises:
        NotFound: no such store or person.
        InvalidValue: it was made in the future, would expire before it was made, or covers no store.
        AlreadyExists: the id is taken.
    """
    backup_id = slug(name, what="backup")
    if made_on > ws.now().date() or expires_on <= made_on:
        raise InvalidValue(
            f"Backup {backup_id} would be made on {made_on} and expire on {expires_on}.",
            next_step="Give the day on which it was made, not later than today, and a later day by which it is destroyed.",
        )
    if not stores:
        raise InvalidValue("A backup is of at least one store.", next_step="Name them with --store.")
    with ws.act() as tx:
        parties.person(tx.conn, person)
        covered = tuple(places.store(tx.conn, StoreId(store)).id for store in dict.fromkeys(stores))
        held = backups.may_hold(tx.conn, covered, made_on)
        backups.add(tx, Backup(backup_id, location, covered, made_on, expires_on, held, person, tx.at))
        return _listed(tx.conn, backups.backup(tx.conn, backup_id), ws.now().date())


def all_backups(ws: Workspace) -> list[Listed]:
    """Every backup, oldest first."""
    with ws.books.read() as conn:
        return [_listed(conn, one, ws.now().date()) for one in backups.all_backups(conn)]


def require_clean(ws: Workspace, name: str) -> Listed:
    """Pass where a backup may be restored as it is.

    Raises:
        NotFound: there is no such backup.
        BlockedByOrder: it may hold photos that an order erased or blocks.
    """
    with ws.books.read() as conn:
        found = _listed(conn, backups.backup(conn, name), ws.now().date())
    if found.barred:
        raise BlockedByOrder(
            f"Backup {name} may not be restored: it may hold {found.barred:,} items under {', '.join(found.orders)}.",
            next_step="If it must be: restore it to a place that nothing reads, register that as a store, and have it erased "
            f'again with "unsee backup restored {name} --store STORE" before anybody uses it.',
        )
    return found


def restored(ws: Workspace, name: str, *, store: str, person: PersonId, workers: int) -> Again:
    """Say that a backup was restored into a store, and erase there what orders had erased. Resumes after a kill.

    Raises:
        NotFound: no such backup, store or person.
        UnitsFailed: something could not be erased; the same command tries again.
    """
    with ws.act() as tx:
        one = backups.backup(tx.conn, name)
        row = places.store(tx.conn, StoreId(store))
        parties.person(tx.conn, person)
        if not one.waits:
            backups.tell(tx, name, backups.RESTORED, person=person, body={"store": store})
    with ws.books.read() as conn:
        suppressor = Suppressor(ws.suppression_key, [Sealed(*e) for e in orders.suppression_entries(conn)])
        opened = open_store(row.id, row.kind, row.location, row.options)
        done = erase_again(conn, row, opened, suppressor, workers=workers)
    if done.kept:
        raise UnitsFailed(
            f"{len(done.kept)} members of {store} came back with {name} and were not erased.",
            next_step="Mend the cause and run the same command again.",
            details=[f"{place}: {reason}" for place, reason in done.kept],
        )
    with ws.act() as tx:
        body = {"store": store, "members": done.members, "erased": dict(done.erased)}
        backups.tell(tx, name, backups.ERASED_AGAIN, person=person, body=body)
    return done


def destroyed(ws: Workspace, name: str, *, person: PersonId, note: str) -> Listed:
    """Say that a backup is destroyed; a person's word, and in every certificate told as that.

    Raises:
        NotFound: no such backup or person.
        WrongState: somebody said so already.
        InvalidValue: the note says nothing.
    """
    if not note.strip():
        raise InvalidValue("Say how it was destroyed, and who saw it.", next_step="Give --note TEXT.")
    with ws.act() as tx:
        parties.person(tx.conn, person)
        today = tx.now.date()
        if backups.backup(tx.conn, name).state(today) == backups.DESTROYED:
            raise WrongState(f"Backup {name} is destroyed already.")
        backups.tell(tx, name, backups.DESTROYED, person=person, body={"note": note})
        return _listed(tx.conn, backups.backup(tx.conn, name), today)


def _listed(conn: Connection, one: Backup, today: date) -> Listed:
    under = {order: scope & one.items for order, scope in orders.blocked(conn).items() if scope.intersect(one.items)}
    barred = ItemSet.union(ItemSet(), *under.values())
    return Listed(one, one.state(today), len(one.items), len(barred), tuple(sorted(under)))
