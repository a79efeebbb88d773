"""`unsee vault`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, progress, say, table
from unsee.core.ids import PersonId

if TYPE_CHECKING:
    from unsee.stores.vault.ring import RingCopy


@click.group()
def vault() -> None:
    """Photos encrypted at rest: destroying one key destroys every copy of a source's or a person's photos."""


@vault.command("create")
@click.argument("location", type=click.Path(path_type=Path))
@click.option("--id", "id", required=True, help="The store's name.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    help="Where the key ring lies; default: LOCATION.keys, which a backup of LOCATION's directory takes along.",
)
@click.option("--wrap", required=True, help="The keeper of the master key: file:PATH, made where it is not there.")
@command
def vault_create(location: Path, id: str, keys: Path | None, wrap: str, workspace: str | None, as_json: bool) -> None:
    """Make a vault with its key ring, and register it as a store."""
    from unsee.app.vault import create_vault
    from unsee.app.vault import vault as open_vault

    ws = open_workspace(workspace)
    name, fresh = create_vault(ws, id, location, keys=keys, wrap=wrap)
    row, store = open_vault(ws, name)
    can = store.capability()
    if as_json:
        place = {"id": name, "location": row.location, "keys": store.keys, "wrap": store.wrap}
        print_json({"schema": "unsee/vault/1", **place, "best_gone": str(can.best_gone), "limits": list(can.limits)})
        return
    done(f"Vault {name} at {row.location}, key ring {store.keys}.")
    if fresh:
        say(f"  A master key was made ({store.wrap}). Keep a copy of it: without it nothing in the vault can be read.")
    say(f"  Erases to {can.best_gone}.")


@vault.command("seal")
@click.argument("store")
@click.argument("origin", metavar="FOLDER|STORE2")
@click.option("--source", required=True, help="Whose recorded photos are sealed.")
@click.option("--remove-plain", is_flag=True, help="Erase each plain file once its sealed copy was read back.")
@command
def vault_seal(store: str, origin: str, source: str, remove_plain: bool, workspace: str | None, as_json: bool) -> None:
    """Encrypt a source's photos into the vault; the books record the sealed copies. Running it again goes on."""
    from unsee.app.vault import seal

    ws = open_workspace(workspace)
    with progress("sealing") as report:
        result = seal(ws, store, origin, source=source, remove_plain=remove_plain, on_progress=report)
    if as_json:
        counts = {name: getattr(result, name) for name in ("sealed", "there", "removed", "blocked")}
        left = [{"store": x.store, "object": x.object, "selector": x.selector, "reason": x.reason} for x in result.left]
        print_json({"schema": "unsee/sealed/1", **counts, "left": left})
    else:
        done(f"{result.sealed:,} photos of {source} sealed into {store}; {result.there:,} were there already.")
        if remove_plain:
            done(f"{result.removed:,} plain files were erased after their sealed copies had been read back.")
        if result.blocked:
            say(f"  {result.blocked:,} were left alone: an order blocks them.")
        for one in result.left:
            say(f"  left: {one}")
    if result.left:
        sys.exit(6)


@vault.command("keys")
@click.argument("store")
@command
def vault_keys(store: str, workspace: str | None, as_json: bool) -> None:
    """The key ring: the key of each source, copies of the ring, and what speaks against calling a key destroyed (R8)."""
    from unsee.app.vault import vault as open_vault
    from unsee.stores.vault.keeping import report

    _row, opened = open_vault(open_workspace(workspace), store)
    found = report(opened)
    if as_json:
        sources = [
            {
                "object": s.object,
                "slot": s.slot,
                "key": s.key_id,
                "state": s.state,
                "members": s.members,
                "people": s.people,
            }
            for s in found.sources
        ]
        counts = {"live": found.live, "destroyed": found.destroyed, "damaged": found.damaged}
        print_json(
            {
                "schema": "unsee/vault-keys/1",
                "ring": found.path,
                **counts,
                "sources": sources,
                "copies": [_copy(c) for c in found.copies],
                "against_d4": list(found.against),
                "returned": list(found.returned),
            }
        )
        return
    say(f"{found.path}: {found.live:,} keys live, {found.destroyed:,} destroyed, {found.damaged:,} damaged")
    if found.sources:
        rows = [(s.object, s.slot, s.key_id, s.state, f"{s.members:,}", f"{s.people:,}") for s in found.sources]
        table(["source", "slot", "key", "state", "photos", "people"], rows, right=[1, 4, 5])
    for copy in found.copies:
        state = "out" if copy.out else f"declared destroyed by {copy.destroyed_by} on {_day(copy.destroyed_at)}"
        say(f"  copy {copy.number} at {copy.place}, made {_day(copy.made_at)}: {state}")
    for reason in found.against:
        say(f"  no D4: {reason}")
    for key in found.returned:
        say(f"  key {key} was destroyed and is in the ring again: it is an old copy. Carry the erasure out again.")


@vault.command("backup-keys")
@click.argument("store")
@click.argument("place", type=click.Path(path_type=Path))
@as_person
@command
def vault_backup_keys(store: str, place: Path, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Write a copy of the key ring. While it is out, no destroyed key of it counts as destroyed (R8)."""
    from unsee.app.vault import back_up_keys

    made = back_up_keys(open_workspace(workspace), store, place, person=person)
    if as_json:
        print_json({"schema": "unsee/key-ring-copy/1", **_copy(made)})
        return
    done(f"Copy {made.number} of the key ring at {made.place}.")
    say(f"  When it is destroyed: unsee vault destroyed-copy {store} {made.number}")


@vault.command("destroyed-copy")
@click.argument("store")
@click.argument("number", type=click.IntRange(min=0))
@as_person
@command
def vault_destroyed_copy(store: str, number: int, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Put on record that you say that a copy of the key ring is destroyed, and everything that held it."""
    from unsee.app.vault import copy_destroyed

    gone = copy_destroyed(open_workspace(workspace), store, number, person=person)
    if as_json:
        print_json({"schema": "unsee/key-ring-copy/1", **_copy(gone)})
    else:
        done(f"Copy {gone.number} of the key ring at {gone.place} is declared destroyed by {gone.destroyed_by}.")


@vault.command("rotate")
@click.argument("store")
@click.option("--wrap", required=True, help="The new keeper of the master key: file:PATH, made where it is not there.")
@as_person
@command
def vault_rotate(store: str, wrap: str, person: PersonId, workspace: str | None, as_json: bool) -> None:
    """Wrap every key under another master key; no photo is encrypted anew. Running it again goes on."""
    from unsee.app.vault import rotate

    count, keeper = rotate(open_workspace(workspace), store, wrap, person=person)
    if as_json:
        print_json({"schema": "unsee/vault-rotation/1", "store": store, "keys": count, "wrap": keeper})
    else:
        done(f"{count:,} keys of {store} are wrapped under {keeper}.")


@vault.command("reindex")
@click.argument("store")
@command
def vault_reindex(store: str, workspace: str | None, as_json: bool) -> None:
    """Take sealed files into the index that it does not know: after an index was lost or restored from a backup."""
    from unsee.app.vault import vault as open_vault

    _row, opened = open_vault(open_workspace(workspace), store)
    count = opened.reindex()
    if as_json:
        print_json({"schema": "unsee/vault-index/1", "store": store, "taken_in": count})
    else:
        done(f"{count:,} sealed files were taken into the index of {store}.")


def _copy(copy: RingCopy) -> dict[str, Any]:
    return {
        "number": copy.number,
        "place": copy.place,
        "holds_slots_below": copy.holds,
        "made_on": _day(copy.made_at),
        "destroyed_by": copy.destroyed_by or None,
        "destroyed_on": _day(copy.destroyed_at) if copy.destroyed_at else None,
    }


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
