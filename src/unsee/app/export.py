"""Ways out of the house: photos and models for a recipient.

The disclosure is on record before the first byte leaves: an export that is killed half way counts as disclosed whole, because
nobody can say how much of it was seen. What is exported lies in a directory with `export.json` (what it is), `photos/` or `model/`,
and `SHA256SUMS`, written last, which `sha256sum -c` checks. File names are digests, or the model's own names: nothing that a giver
wrote gets into a name or a manifest. Running an export again completes it, asks policy anew, and records nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection

from unsee.app.disclosures import require_unfrozen
from unsee.app.training import require_model
from unsee.app.uses import Judge
from unsee.app.workspace import Workspace
from unsee.attest.durable import make_directory, write_file
from unsee.books import agreements, parties, places, recipients, training, world
from unsee.books import disclosures as register
from unsee.books.database import Tx
from unsee.core.errors import AlreadyExists, InputError, InvalidValue, PathEscape, PolicyRefusal, Tampered
from unsee.core.ids import AgreementId, DatasetId, ItemSet, ModelId, PersonId, RecipientId
from unsee.core.parties import Agreement
from unsee.core.policy import decide, summary
from unsee.core.purposes import known
from unsee.core.sharing import SHARE, Disclosure, DisclosureKind, Recipient, letting, onward_bar
from unsee.stores.names import component
from unsee.training.reader import Reader, open_reader

MARKER = "export.json"
SUMS = "SHA256SUMS"
_CHUNK = 1 << 20
_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
)


@dataclass(frozen=True, slots=True)
class Grounds:
    """To whom, what for, and on which ground something goes out."""

    to: str
    purpose: str
    person: PersonId
    basis: str = ""
    agreement: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What lies in the directory now. `written` were written by this call; the others lay there from an earlier one."""

    disclosure: Disclosure
    directory: Path
    files: int
    written: int

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "disclosure": self.disclosure.as_json(),
            "directory": str(self.directory),
            "files": self.files,
            "written": self.written,
        }


def export_dataset(
    ws: Workspace, name: str, directory: Path, grounds: Grounds, *, on_progress: Callable[[str, int, int], None]
) -> Exported:
    """Give the photos of a dataset to a recipient, through the permitted reader, each checked against the digest of its intake.

    Raises:
        NotFound: no such dataset, recipient, agreement or person.
        SharingFrozen: an order reaches what the recipient got (R17).
        BlockedByOrder, PolicyRefusal: policy refuses sharing, or the purpose, or an agreement does not let its photos go on to
            this recipient. No override lifts this.
        InputError, InvalidValue, AlreadyExists: the directory is not empty, is the workspace's or a store's, or holds another
            export.
        Tampered, StoreError: a photo cannot be read as it was taken in; the export is incomplete, and disclosed.
    """
    place = _outside(ws, directory)
    stores = ws.stores()
    with ws.act() as tx:
        recipient = _recipient(tx, grounds)
        dataset = training.dataset(tx.conn, DatasetId(name))
        reader = open_reader(tx, dataset, grounds.purpose, stores, person=grounds.person, disclosed=True)
        grounds = _grounded(tx.conn, grounds, _require_leave(tx, reader, recipient))
        channel = _mark(place, {"kind": "export", "dataset": dataset.id, "root": dataset.root, **_terms(grounds)})
        disclosure = _recorded(
            tx,
            Disclosure(
                kind=DisclosureKind.EXPORT,
                recipient=recipient.id,
                disclosed_on=tx.now.date(),
                items=dataset.items,
                models=(),
                data_classes=("photo", *register.classes_in_files(tx.conn, dataset.items)),
                purpose=grounds.purpose,
                basis=grounds.basis,
                agreement=AgreementId(grounds.agreement) if grounds.agreement else None,
                channel=channel,
                dataset=dataset.id,
                person=grounds.person,
            ),
        )
    sums: dict[str, str] = {}
    written = 0
    for number, sample in enumerate(reader, 1):
        digest = hashlib.sha256(sample.data).hexdigest()
        file = f"photos/{digest[:2]}/{digest}{_suffix(sample.data)}"
        sums[file] = digest
        if _digest_of(place / file) != digest:
            _put(place / file, sample.data)
            written += 1
        on_progress("photos", number, len(reader))
    _finish(place, sums)
    return Exported(disclosure, place, len(sums), written)


def deliver_model(ws: Workspace, name: str, directory: Path, grounds: Grounds) -> Exported:
    """Give a model's files to a recipient, each checked against the digest that its run left. Counts as a release.

    Raises:
        NotFound: no such model, recipient, agreement or person.
        SharingFrozen: an order reaches what the recipient got (R17).
        PolicyRefusal: the model may not be used for the purpose; `details` lists the reasons.
        WrongState: the model was destroyed.
        Tampered: its files are not those that were recorded.
        InputError, InvalidValue, AlreadyExists: as `export_dataset`.
    """
    place = _outside(ws, directory)
    model = require_model(ws, name)
    with ws.act() as tx:
        recipient = _recipient(tx, grounds)
        _require_may_use(tx, model.id, grounds.purpose)
        grounds = _grounded(tx.conn, grounds, ())
        channel = _mark(place, {"kind": "model-delivery", "model": model.id, "digest": model.digest, **_terms(grounds)})
        disclosure = _recorded(
            tx,
            Disclosure(
                kind=DisclosureKind.MODEL_DELIVERY,
                recipient=recipient.id,
                disclosed_on=tx.now.date(),
                items=ItemSet(),
                models=(model.id,),
                data_classes=(),
                purpose=grounds.purpose,
                basis=grounds.basis or "all inputs of the model allow the purpose",
                agreement=AgreementId(grounds.agreement) if grounds.agreement else None,
                channel=channel,
                dataset=None,
                person=grounds.person,
            ),
        )
        _release(tx, model.id, grounds.purpose, grounds.person)
    written = 0
    for file, digest in model.files.items():
        target = place / "model" / _safe(file)
        if _digest_of(target) != digest:
            data = (ws.models / model.object_name / file).read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                raise Tampered(f"{file} of model {name} changed while it was delivered.", next_step="Restore it.")
            _put(target, data)
            written += 1
    _finish(place, {f"model/{file}": digest for file, digest in model.files.items()})
    return Exported(disclosure, place, len(model.files), written)


def _recipient(tx: Tx, grounds: Grounds) -> Recipient:
    known(grounds.purpose)
    parties.person(tx.conn, grounds.person)
    found = recipients.recipient(tx.conn, RecipientId(grounds.to))
    require_unfrozen(tx.conn, found.id)
    return found


def _grounded(conn: Connection, grounds: Grounds, letting_go: Sequence[Agreement]) -> Grounds:
    """With the agreement and basis filled in where they were not said; the agreement that is named exists."""
    if grounds.agreement is not None:
        agreements.agreement(conn, AgreementId(grounds.agreement))
    only = letting_go[0].id if len(letting_go) == 1 else None
    basis = grounds.basis or ", ".join(f"agreement {a.id}" for a in letting_go)
    return replace(grounds, agreement=grounds.agreement or only, basis=basis)


def _terms(grounds: Grounds) -> dict[str, str]:
    return {"recipient": grounds.to, "purpose": grounds.purpose}


def _require_leave(tx: Tx, reader: Reader, recipient: Recipient) -> tuple[Agreement, ...]:
    """The agreements by which every photo may go on to this recipient; each source has one, and policy lets it be shared."""
    items, today = reader.dataset.items, tx.now.date()
    view = world.as_of(tx.conn, tx.now)
    shared = decide(SHARE, items, view, today=today).refusals
    refusals = list({(r.code, r.reason): r for r in (*reader.decision.refusals, *shared)}.values())
    mine = [standing for standing in view.standings if items.intersect(standing.items)]
    bars = [bar for s in mine if (bar := onward_bar(s.source.id, s.agreements, recipient, today))]
    if refusals or bars:
        raise PolicyRefusal(
            f"Dataset {reader.dataset.id} may not go to {recipient.id}: {'; '.join(filter(None, [summary(refusals), *bars]))}.",
            next_step="Freeze a dataset of what may be shared: --purpose share --permitted-only. No override lifts this.",
            details=[*refusals, *bars],
        )
    return tuple(a for s in mine for a in letting(s.agreements, recipient, today))


def _require_may_use(tx: Tx, model: ModelId, purpose: str) -> None:
    """Pass where all that the model stands on allows the purpose today."""
    answer = Judge.reading(tx.conn, world.as_of(tx.conn, tx.now), tx.now.date()).may_use(model, purpose)
    if not answer.allowed:
        raise PolicyRefusal(
            f"Model {model} may not be used for {purpose}: nothing was delivered.",
            next_step=f'See "unsee may-use {model} --purpose {purpose}".',
            details=answer.objections,
        )


def _release(tx: Tx, model: ModelId, purpose: str, person: PersonId) -> None:
    """Count the delivery as a release for the purpose, beside those that the model was released for already."""
    before = training.releases(tx.conn).get(model)
    purposes = before.purposes if before is not None else ()
    if purpose not in purposes:
        training.release(tx, model, (*purposes, purpose), person=person)


def _recorded(tx: Tx, disclosure: Disclosure) -> Disclosure:
    """The entry in the register: the one of an earlier run that was cut short, or a new one."""
    found = register.by_channel(tx.conn, disclosure.channel)
    return found or replace(disclosure, no=register.record(tx, disclosure), at=tx.at)


def _outside(ws: Workspace, directory: Path) -> Path:
    """The directory, resolved, where an export can lie."""
    place = directory.resolve()
    with ws.books.read() as conn:
        kept = [ws.root, *(Path(row.location) for row in places.all_stores(conn) if row.kind == "files")]
    for own in kept:
        if place == own or place in own.parents or own in place.parents:
            raise InvalidValue(
                f"{place} overlaps {own}, which is the workspace's own.",
                next_step="Export into a directory of its own, elsewhere.",
            )
    return place


def _mark(place: Path, what: Mapping[str, str]) -> str:
    """The channel of the export in `place`: what its marker names, or a new one.

    The marker is written before the disclosure is on record: a kill between the two leaves a directory without data.
    """
    path = place / MARKER
    document: dict[str, str] = {"schema": "unsee/export/1", **what}
    if not path.exists():
        begun = f".{MARKER}."  # what a kill left of the marker itself
        if place.exists() and (not place.is_dir() or any(not p.name.startswith(begun) for p in place.iterdir())):
            raise InputError(f"{place} is not empty.", next_step="Export into a new directory.")
        make_directory(place)
        token = secrets.token_hex(8)
        write_file(path, (json.dumps({**document, "export": token}, indent=2) + "\n").encode())
        return f"export {token}"
    try:
        found = json.loads(path.read_bytes())
        token = str(found.pop("export"))
    except (ValueError, KeyError, AttributeError):
        raise InputError(f"{path} does not say what was exported.", next_step="Export into a new directory.") from None
    if found != document:
        raise AlreadyExists("other export in", str(place))
    return f"export {token}"


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. It reaches the disk with all others, at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(data)
    aside.replace(path)


def _finish(place: Path, sums: Mapping[str, str]) -> None:
    os.sync()
    write_file(place / SUMS, "".join(_sum_lines(sums)).encode("utf-8", "surrogateescape"))


def _sum_lines(sums: Mapping[str, str]) -> Iterator[str]:
    """As `sha256sum` writes them: a name with a backslash or a line break is escaped, and its line begins with a backslash."""
    for name, digest in sorted(sums.items()):
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        yield f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def _digest_of(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _suffix(data: bytes) -> str:
    """By what the bytes are, not by what the giver called them."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in _MAGIC if data.startswith(magic)), ".bin")


def _safe(name: str) -> str:
    """A model's file name, where it stays below the model.

    Raises:
        PathEscape: it does not.
    """
    if "\\" in name:
        raise PathEscape(f"{name[:200]!r} is no name of a model's file.")
    for part in PurePosixPath(name).parts:
        component(part)
    return name
