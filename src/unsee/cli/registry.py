"""`unsee init`, `person`, `store`."""

from __future__ import annotations

from pathlib import Path

import click

from unsee.cli.output import as_person, command, done, open_workspace, print_json, say, size, table
from unsee.core.canonical import fields
from unsee.core.ids import PersonId


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--organisation", required=True, help="Whose workspace it is.")
@click.option(
    "--books",
    metavar="URL",
    help="Where the books lie: postgresql://USER@HOST/DATABASE or sqlite:////PATH; default: books.sqlite here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def init(directory: Path, organisation: str, books: str | None, as_json: bool) -> None:
    """Make a workspace in DIRECTORY: books, keys, log."""
    from unsee.app.workspace import create

    ws = create(directory, organisation, books_url=books)
    checkpoint = ws.log.checkpoint()
    if as_json:
        print_json(
            {
                "schema": "unsee/init/1",
                "workspace": str(ws.root),
                "organisation": ws.organisation,
                "log": ws.log.origin,
                "operator_key": ws.operator_key.public.hex,
            }
        )
        return
    done(f"Workspace {directory}/ of {ws.organisation}: books, keys, log.")
    done(f"Log {checkpoint.origin}; operator key {ws.operator_key.public.fingerprint[:16]}…: publish its fingerprint.")


@click.group()
def person() -> None:
    """People who act here, each with a key."""


@person.command("add")
@click.argument("id")
@click.option("--name", required=True)
@click.option("--title", required=True)
@click.option("--organisation", help="Default: the workspace's own.")
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="Where the person keeps the key; default: the workspace."
)
@command
def person_add(
    id: str,
    name: str,
    title: str,
    organisation: str | None,
    key_file: Path | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Add a person and make their key."""
    from unsee.app.registry import add_person

    added, path = add_person(
        open_workspace(workspace), id, name=name, title=title, organisation=organisation, key_file=key_file
    )
    if as_json:
        print_json({"schema": "unsee/person/1", "id": added.id, "public_key": added.public_key, "key_file": str(path)})
    else:
        done(f"{added.name}, {added.title} ({added.organisation}), is {added.id}; key {added.public_key[:16]}…")


@person.command("list")
@command
def person_list(workspace: str | None, as_json: bool) -> None:
    """Everybody who acts here."""
    from unsee.app.registry import all_people

    people = all_people(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/people/1", "people": [fields(p) for p in people]})
    else:
        table(["id", "name", "title", "organisation"], [(p.id, p.name, p.title, p.organisation) for p in people])


@click.group()
def store() -> None:
    """Places where photos lie."""


@store.command("add")
@click.argument("id")
@click.argument("location")
@click.option("--kind", default="files", show_default=True)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A setting of that kind of store.")
@command
def store_add(
    id: str, location: str, kind: str, options: tuple[str, ...], workspace: str | None, as_json: bool
) -> None:
    """Register a place, so that every plan and verification walks it."""
    from unsee.app.registry import add_store

    settings = dict(o.partition("=")[::2] for o in options)
    name = add_store(open_workspace(workspace), id, kind=kind, location=location, options=settings)
    if as_json:
        print_json({"schema": "unsee/store/1", "id": name, "kind": kind, "location": location})
    else:
        done(f"Store {name} ({kind}) at {location}.")


@store.command("index")
@click.argument("id")
@click.option("--source", required=True, help="Whose photos the members are copies of, or were made from.")
@click.option(
    "--made-from",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="What each member was made from: columns selector and sha256, or photo (STORE:OBJECT/SELECTOR); for embeddings.",
)
@as_person
@command
def store_index(
    id: str, source: str, made_from: Path | None, person: PersonId, workspace: str | None, as_json: bool
) -> None:
    """Record which members of a store are copies of a source's photos, so that an order reaches each where it lies."""
    from unsee.app.indexing import index_store

    ws = open_workspace(workspace)
    done_ = index_store(ws, id, source=source, made_from=made_from, person=person)
    if as_json:
        print_json(done_.as_json())
        return
    made = f", {done_.derived:,} made from its photos" if made_from else ""
    done(f"Store {id}: {done_.members:,} members; {done_.recorded:,} copies of photos of {source}{made} recorded.")
    say(f"  {done_.known:,} on record before; {done_.others:,} are none of this source's")
    if done_.skipped:
        say(f"  {done_.skipped:,} entries are no members and were passed over")
    for place, reason in list(done_.failed.items())[:10]:
        say(f"  not recorded: {place}: {reason}")
    if len(done_.failed) > 10:
        say(f"  … and {len(done_.failed) - 10:,} more")


@store.command("compact")
@click.argument("id")
@command
def store_compact(id: str, workspace: str | None, as_json: bool) -> None:
    """Give back the space that erasing in place left: tar shards are copied without their voids."""
    from unsee.app.registry import compact_store

    result = compact_store(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/store-compact/1", "store": id, **result.as_json()})
        return
    done(f"Store {id}: {result.objects:,} objects are smaller, by {size(result.freed_bytes)}.")
    for object_name, reason in result.failed.items():
        say(f"  as it was: {object_name}: {reason}")


@store.command("list")
@command
def store_list(workspace: str | None, as_json: bool) -> None:
    """Every place, and what erasing means there."""
    from unsee.app.registry import all_stores

    stores = all_stores(open_workspace(workspace))
    if as_json:
        print_json(
            {
                "schema": "unsee/stores/1",
                "stores": [
                    {
                        "id": row.id,
                        "kind": row.kind,
                        "location": row.location,
                        "best_gone": str(can.best_gone),
                        "limits": list(can.limits),
                    }
                    for row, can in stores
                ],
            }
        )
    else:
        table(
            ["id", "kind", "erases to", "location"],
            [(row.id, row.kind, can.best_gone.step, row.location) for row, can in stores],
        )
