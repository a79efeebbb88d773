"""`unsee notice`, `consent`, `purpose`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsee.cli.output import MAX_DETAILS, as_person, command, done, open_workspace, print_json, progress, say, table
from unsee.core.ids import PersonId, SourceId

if TYPE_CHECKING:
    from unsee.app.consent_files import Imported

DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def notice() -> None:
    """What people were told before they said yes."""


@notice.command("add")
@click.argument("id")
@click.option("--language", required=True, metavar="TAG", help="en, pt-br …")
@click.option("--text", required=True, type=click.Path(path_type=Path), help="The notice itself; kept by its digest.")
@click.option("--published", required=True, type=DAY)
@click.option("--controller", "controllers", multiple=True, required=True, help="Who decides over the data; repeat.")
@click.option("--purpose", "purposes", multiple=True, required=True, help="A purpose it tells of; repeat.")
@click.option("--data-type", "data_types", multiple=True, required=True, help="photo, embedding, location …; repeat.")
@click.option("--recipient", "recipients", multiple=True, help="Who else gets the data; repeat.")
@click.option("--storage", required=True, help="Where and how the data is stored.")
@click.option("--retention", required=True, help="For how long.")
@click.option("--withdrawal-method", required=True, help="How people take their consent back.")
@click.option("--separate-from-terms", is_flag=True, help="It stands apart from terms of service (R29).")
@click.option("--sharing-disclosed", is_flag=True, help="It says with whom the data is shared.")
@as_person
@command
def notice_add(
    id: str, text: Path, published: datetime, person: PersonId, workspace: str | None, as_json: bool, **told: Any
) -> None:
    """Put a notice on record. A new text is a new notice; nothing is edited."""
    from unsee.app.consents import add_notice
    from unsee.core.notices import Notice

    lists: dict[str, Any] = {
        name: tuple(told.pop(name)) for name in ("controllers", "purposes", "data_types", "recipients")
    }
    added = add_notice(
        open_workspace(workspace),
        Notice(id=id, text_sha256="", published_on=published.date(), **lists, **told),
        text=text,
        person=person,
    )
    if as_json:
        print_json({"schema": "unsee/notice/1", **added.as_json()})
        return
    apart = "stands apart from terms of service" if added.separate_from_terms else "is part of wider terms"
    done(f"Notice {added.id} ({added.language}) tells of {', '.join(added.purposes)}; it {apart}.")


@notice.command("list")
@command
def notice_list(workspace: str | None, as_json: bool) -> None:
    """Every notice."""
    from unsee.app.consents import all_notices

    found = all_notices(open_workspace(workspace))
    if as_json:
        print_json({"schema": "unsee/notices/1", "notices": [n.as_json() for n in found]})
    else:
        table(
            ["id", "language", "published", "purposes", "separate", "sharing told"],
            [
                (
                    n.id,
                    n.language,
                    n.published_on,
                    ", ".join(n.purposes),
                    _yes(n.separate_from_terms),
                    _yes(n.sharing_disclosed),
                )
                for n in found
            ],
        )


@notice.command("show")
@click.argument("id")
@command
def notice_show(id: str, workspace: str | None, as_json: bool) -> None:
    """One notice in all its languages, with the digest of its text."""
    from unsee.app.consents import notice

    found = notice(open_workspace(workspace), id)
    if as_json:
        print_json({"schema": "unsee/notice/1", "languages": [n.as_json() for n in found]})
        return
    for one in found:
        for name, value in one.as_json().items():
            shown = ", ".join(value) if isinstance(value, tuple) else _yes(value) if isinstance(value, bool) else value
            say(f"{name.replace('_', ' '):20} {shown or '–'}")


@click.group()
def purpose() -> None:
    """What data and models may be used for."""


@purpose.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def purpose_list(as_json: bool) -> None:
    """The tree of purposes, with the terms of the W3C Data Privacy Vocabulary. A child is allowed where its parent is."""
    from unsee.core.dpv import PURPOSES, expand, purpose_iri
    from unsee.core.purposes import PARENT, ancestors

    if as_json:
        rows = [
            {
                "purpose": p,
                "parent": PARENT[p],
                "iri": purpose_iri(p),
                "broader": expand(PURPOSES[p].broader),
                "related": [expand(t) for t in PURPOSES[p].related],
            }
            for p in PARENT
        ]
        print_json({"schema": "unsee/purposes/1", "purposes": rows})
        return
    table(
        ["purpose", "means", "nearest of DPV", "related"],
        [
            ("  " * (len(ancestors(p)) - 1) + p, PURPOSES[p].label, PURPOSES[p].broader, ", ".join(PURPOSES[p].related))
            for p in PARENT
        ],
    )


@click.group()
def consent() -> None:
    """What people in photos said yes or no to."""


_source = click.option("--source", required=True, help="Whose person it is.")
_purposes = click.option("--purpose", "purposes", multiple=True, required=True, help="For what; repeat.")
_notice = click.option("--notice", required=True, help="The notice that the person saw.")
_since = click.option("--from", "since", type=DAY, help="First day; default: now.")
_until = click.option("--until", type=DAY, help="Last day, inclusive.")
_basis = click.option("--basis", default="consent", show_default=True, help="explicit-consent, gdpr-9-2-a …")
_release = click.option(
    "--release", type=click.Path(path_type=Path), help="A written release; kept by its digest (R30)."
)


@consent.command("give")
@click.argument("person_id", metavar="PERSON")
@_source
@_purposes
@_notice
@_since
@_until
@_basis
@_release
@as_person
@command
def consent_give(person_id: str, person: PersonId, workspace: str | None, as_json: bool, **said: Any) -> None:
    """Record a yes of PERSON, the giver's own id for them: a keyed pseudonym is stored, never the id."""
    _give(person_id, person, workspace, as_json=as_json, renew=False, **said)


@consent.command("renew")
@click.argument("person_id", metavar="PERSON")
@_source
@_purposes
@_notice
@_since
@_until
@_basis
@_release
@as_person
@command
def consent_renew(person_id: str, person: PersonId, workspace: str | None, as_json: bool, **said: Any) -> None:
    """Record another yes of someone who said yes before; its term replaces the earlier one."""
    _give(person_id, person, workspace, as_json=as_json, renew=True, **said)


@consent.command("withdraw")
@click.argument("person_id", metavar="PERSON")
@_source
@_purposes
@click.option("--notice", default="", help="How they said it: by letter, on the website …")
@as_person
@command
def consent_withdraw(
    person_id: str,
    source: str,
    purposes: tuple[str, ...],
    notice: str,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Record a no. It takes effect at once, for the future: it takes back what was said for PURPOSE, below and above it."""
    from unsee.app.consents import Saying, withdraw

    written = withdraw(open_workspace(workspace), Saying(person_id, SourceId(source), purposes, notice), person=person)
    if as_json:
        print_json({"schema": "unsee/consent-said/1", "state": "withdrawn", "purposes": purposes, "written": written})
    else:
        done(f"Withdrawn: {', '.join(purposes)}. Use for it is refused from now on.")


@consent.command("show")
@click.argument("person_id", metavar="PERSON")
@_source
@click.option("--as-of", type=DAY, help="What stood at the end of that day.")
@command
def consent_show(person_id: str, source: str, as_of: datetime | None, workspace: str | None, as_json: bool) -> None:
    """What one person said, and what stands now, purpose by purpose, with the reason."""
    from unsee.app.consents import show

    account = show(open_workspace(workspace), person_id, SourceId(source), moment=_end(as_of))
    if as_json:
        print_json({"schema": "unsee/consent/1", **account.as_json()})
        return
    table(
        ["said", "state", "purpose", "notice", "from", "until", "release"],
        [
            (
                f"{r.word.said_at:%Y-%m-%dT%H:%M:%SZ}",
                r.word.state,
                r.word.purpose,
                r.word.notice or "–",
                f"{r.word.valid_from:%Y-%m-%d}",
                f"{r.word.valid_until:%Y-%m-%d}" if r.word.valid_until else "–",
                _yes(r.word.released),
            )
            for r in account.history
        ],
    )
    say("")
    table(["purpose", "consents", "why"], [(n.purpose, _yes(n.consents), n.reason) for n in account.now])


@consent.command("counts")
@click.option("--source", help="Default: every source.")
@command
def consent_counts(source: str | None, workspace: str | None, as_json: bool) -> None:
    """How many people consented, withdrew, stayed silent (R24)."""
    from unsee.app.consents import counts

    found = counts(open_workspace(workspace), SourceId(source) if source else None)
    if as_json:
        print_json({"schema": "unsee/consent-counts/1", "sources": found})
    else:
        header = ["people", "consented", "of them expired", "withdrawn", "silent"]
        names = ["people", "consented", "expired", "withdrawn", "silent"]
        table(
            ["source", *header],
            [(name, *(f"{row[n]:,}" for n in names)) for name, row in found.items()],
            right=range(1, 6),
        )


@consent.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="Whose people they are.")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet", "jsonld"]), help="Default: by suffix.")
@click.option(
    "--on-error",
    type=click.Choice(["refuse", "keep"]),
    default="refuse",
    show_default=True,
    help="One bad row refuses the file, or the good rows are kept and the bad ones listed (exit 6).",
)
@click.option(
    "--rejects", type=click.Path(path_type=Path), help="Write line, field and problem of each bad row as CSV."
)
@as_person
@command
def consent_import(
    file: Path,
    source: str,
    kind: str | None,
    on_error: str,
    rejects: Path | None,
    person: PersonId,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Import a list of consents, by the million: CSV, JSON Lines, Parquet, or JSON-LD records of ISO/IEC TS 27560."""
    from unsee.app.consent_files import import_file, write_rejects
    from unsee.core.errors import RowsLeftOut, RowsRefused

    ws = open_workspace(workspace)
    try:
        with progress("consents") as report:
            result = import_file(
                ws,
                file,
                source=SourceId(source),
                person=person,
                kind=kind,
                keep_good=on_error == "keep",
                on_rows=lambda rows: report("rows", rows, rows),
            )
    except RowsRefused as refusal:
        if rejects is not None:
            write_rejects(rejects, refusal.details)
        raise
    if rejects is not None and result.problems:
        write_rejects(rejects, result.problems)
    if as_json:
        print_json(result.as_json())
    else:
        _print_import(result)
    if result.problems:
        sys.exit(RowsLeftOut.exit_code)


def _print_import(result: Imported) -> None:
    already = result.words - result.new
    done(f"{result.rows:,} rows: {result.new:,} new words, {already:,} on record already; {result.people:,} people.")
    if result.new_people:
        say(f"  {result.new_people:,} people are new to {result.source}: a consent may come before the photo.")
    if any(result.residents.values()):
        places = ", ".join(f"{place} {count:,}" for place, count in result.residents.items() if count)
        say(f"  People now known to live in: {places}.")
    for name in result.unregistered_notices[:MAX_DETAILS]:
        say(f'  Notice {name!r} is not registered: "unsee notice add" says what it told.')
    if result.problems:
        say(f"  {result.bad_rows:,} bad rows were left out:")
    for problem in result.problems[:MAX_DETAILS]:
        say(f"  · {problem}")
    if len(result.problems) > MAX_DETAILS:
        say(f"  · and {len(result.problems) - MAX_DETAILS:,} more (--json lists all)")


@consent.command("export")
@click.option("--source", help="Default: every source.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: standard output.")
@click.option("--lines", is_flag=True, help="JSON Lines, a document in each line; default: one document with a graph.")
@command
def consent_export(source: str | None, out: Path | None, lines: bool, workspace: str | None, as_json: bool) -> None:
    """Consent records as ISO/IEC TS 27560 in JSON-LD, with W3C DPV terms. People are pseudonyms.

    With --json and --out: what was written, as one JSON document. Without --out the records themselves are JSON.
    """
    from unsee.app.consent_export import export

    ws = open_workspace(workspace)
    chosen = SourceId(source) if source else None
    if out is None:
        export(ws, sys.stdout, source=chosen, lines=lines)
        return
    with out.open("w", encoding="utf-8") as file:
        count = export(ws, file, source=chosen, lines=lines)
    if as_json:
        print_json({"schema": "unsee/consent-export/1", "records": count, "file": str(out)})
    else:
        done(f"{count:,} consent records in {out}.")


def _give(person_id: str, person: PersonId, workspace: str | None, *, as_json: bool, renew: bool, **said: Any) -> None:
    from unsee.app.consents import Saying, give

    saying = Saying(
        person_id,
        SourceId(said["source"]),
        said["purposes"],
        said["notice"],
        said["since"].replace(tzinfo=UTC) if said["since"] else None,
        _end(said["until"]),
        said["basis"],
        said["release"],
    )
    written = give(open_workspace(workspace), saying, person=person, renew=renew)
    state = "renewed" if renew else "given"
    if as_json:
        print_json({"schema": "unsee/consent-said/1", "state": state, "purposes": saying.purposes, "written": written})
    else:
        until = f" until {saying.valid_until:%Y-%m-%d}" if saying.valid_until else ""
        done(f"{state.capitalize()}: {', '.join(saying.purposes)}{until}, under notice {saying.notice}.")


def _end(day: datetime | None) -> datetime | None:
    return datetime.combine(day.date(), time(23, 59, 59), UTC) if day else None


def _yes(value: object) -> str:
    return "yes" if value else "no"
