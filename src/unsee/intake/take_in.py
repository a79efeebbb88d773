"""Taking a folder in: list, pair with its metadata, examine, judge, write to the books; batch by batch, each whole or not at all.

The photos stay where they are: the books record where. Running it again on the same folder reads nothing that was not settled and
adds nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection

from unsee.books import (
    agreements,
    assessments,
    channels,
    consents,
    items,
    orders,
    parties,
    places,
    quarantine,
    residents,
    retention,
)
from unsee.books.database import Books, Tx
from unsee.books.quarantine import Quarantine
from unsee.core.assessments import intake_bar
from unsee.core.channels import Admission
from unsee.core.consent import Consent, ConsentState
from unsee.core.errors import BlockedByOrder, PolicyRefusal
from unsee.core.ids import ItemId, ItemSet, PersonId, SourceId, SubjectNo
from unsee.core.orders import OrderState
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.intake.classes import DEMOGRAPHICS, EXIF, LOCATION, class_of, require_kept
from unsee.intake.examine import Photo, Refused, examine_photo
from unsee.intake.gate import Verdict, judge
from unsee.intake.metadata import BadRow, Metadata, Pairing, Row, find_metadata, leave_out, pair, read_metadata
from unsee.intake.walk import list_folder, printable
from unsee.match.pictures import document
from unsee.match.suppression import Suppressor
from unsee.stores import names
from unsee.stores.contract import Store

BATCH_FILES = 10_000
"""Files a batch: what one transaction takes in, and the grain at which a commitment is recomputed."""
_UNIT_FILES = 32

_ANOTHERS = "it is on record as another source's; one file has one giver"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A file or row that was not taken in, and why."""

    file: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """As printed."""
        return {"file": self.file, "reason": self.reason}


@dataclass
class TakenIn:
    """What an intake did. Every file of the folder is counted once, every row of the metadata that fits no file as well."""

    source: SourceId
    new: int = 0
    more_copies: int = 0
    """Files with the bytes of a photo that this source has already: another copy, no new item."""
    unchanged: int = 0
    """Recorded before and not settled since: not read again."""
    suppressed: list[NotTaken] = field(default_factory=list)
    refused: list[NotTaken] = field(default_factory=list)
    left_out: list[NotTaken] = field(default_factory=list)
    rows_without_file: list[NotTaken] = field(default_factory=list)
    named: int = 0
    """Known photos whose person a changed metadata file names for the first time."""
    without_person: int = 0
    opted_out: int = 0
    consents: int = 0
    documents: int = 0
    """Metadata files that were recorded for the first time."""
    batches: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    """Signals that were there and could not be read, by reason."""
    bad_rows: list[BadRow] = field(default_factory=list)
    """Rows of the metadata that break its format; the photos that they may be about are among `left_out`."""
    fields_left_out: list[str] = field(default_factory=list)
    quarantined: int = 0
    """Of the items taken in, documents too: how many went into quarantine."""
    consents_unheard: int = 0
    """Consents that the metadata of a quarantined hand-over states: they count once it is released and taken in again."""
    held: Quarantine | None = None
    """The quarantine that holds photos of this folder."""

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "schema": "unsee/intake/1",
            "source": self.source,
            "new": self.new,
            "more_copies": self.more_copies,
            "unchanged": self.unchanged,
            "suppressed": [n.as_json() for n in self.suppressed],
            "refused": [n.as_json() for n in self.refused],
            "left_out": [n.as_json() for n in self.left_out],
            "rows_without_file": [n.as_json() for n in self.rows_without_file],
            "named": self.named,
            "without_person": self.without_person,
            "opted_out": self.opted_out,
            "consents": self.consents,
            "documents": self.documents,
            "batches": self.batches,
            "notes": dict(self.notes),
            "bad_rows": [b.as_json() for b in self.bad_rows],
            "fields_left_out": self.fields_left_out,
            "quarantined": self.quarantined,
            "consents_unheard": self.consents_unheard,
            "quarantine": None
            if self.held is None
            else {
                "id": self.held.id,
                "reason": self.held.reason,
                "items": len(self.held.items),
                "expires_on": self.held.expires_on.isoformat(),
            },
        }


def require_open(conn: Connection, source_id: SourceId, today: date) -> None:
    """Pass where photos of a source may be taken in on a day.

    Raises:
        PolicyRefusal: it is not marked as legacy and has no approved agreement in force, or the assessment of its supplier is
            overdue or failed (R33).
        BlockedByOrder: an order on it is being carried out.
    """
    source = parties.source(conn, source_id)
    agreed = agreements.of_source(conn, source_id)
    under_way = [o for o in orders.all_orders(conn) if o.source == source_id and o.state is not OrderState.CERTIFIED]
    if under_way:
        raise BlockedByOrder(
            f"Source {source_id} is under {under_way[0].id}; nothing is taken in from it.",
            next_step="Carry the order out first.",
        )
    if not source.legacy and not any(a.in_force(today) for a in agreed):
        states = ", ".join(f"{a.id} is {a.state(today)}" for a in agreed) or "there is none"
        raise PolicyRefusal(
            f"Source {source_id} has no approved agreement in force ({states}); nothing was taken in.",
            next_step=f'Draft one with "unsee agreement draft ID --source {source_id}" and have it approved.',
        )
    barred = intake_bar(source, assessments.of_source(conn, source_id), today)
    if barred is not None:
        raise PolicyRefusal(
            f"Source {source_id}: {barred}; nothing was taken in.",
            next_step=f'Assess the supplier and record it: "unsee assessment record {source_id}".',
        )


@dataclass(frozen=True, slots=True)
class Intake:
    """One hand-over: a folder of a registered store, for one source."""

    books: Books
    source: SourceId
    folder: Path
    store: Store
    store_no: int
    pseudonym_key: bytes
    suppressor: Suppressor
    person: PersonId
    workers: int = 2
    quarantine_days: int = 30
    """How long photos that came through no channel are held before they are to be erased."""
    keep_good: bool = False
    """Whether bad rows of the metadata are left out, with their photos, instead of stopping the intake."""
    leave_out: tuple[str, ...] = ()
    """Attributes of the metadata that are not taken in."""
    on_progress: Progress = field(default=lambda _what, _done, _total: None)

    def run(self, metadata: Path | None = None) -> TakenIn:
        """Take the folder in: through the channel of the source that holds it, or else into quarantine.

        Raises:
            PolicyRefusal: the source has no approved agreement in force and is not marked as legacy.
            BlockedByOrder: an order on the source is being carried out; where it came in meanwhile, what was written before stays.
            FolderUnreadable: the folder is not there.
            MetadataError: the metadata file breaks its format, or brings a class of data that the retention schedule does not have
                (R32); nothing was taken in.
        Cost: a decode of each new file, spread over `workers` processes; one `stat` of each known one.
        """
        with self.books.read() as conn:
            require_open(conn, self.source, self.books.now().date())
        found = find_metadata(self.folder, metadata)
        listing = list_folder(self.folder, metadata=found)
        metadata_read = self._read(found) if found else None
        pairing = pair(listing, metadata_read)
        done = TakenIn(self.source, fields_left_out=list(self.leave_out))
        done.bad_rows = list(metadata_read.bad) if metadata_read else []
        done.left_out = [NotTaken(printable(o.file), o.reason) for o in (*listing.left_out, *pairing.left_out)]
        done.rows_without_file = [NotTaken(printable(r.file), r.reason) for r in pairing.refused]
        reviewed = found is not None and self._is_released(found)
        renewed = found is not None and (reviewed or self._is_new(found))
        gone = {o.file for o in pairing.left_out}
        files = [f for f in listing.files if f not in gone]
        for start in range(0, len(files), BATCH_FILES):
            chunk = files[start : start + BATCH_FILES]
            report = _Offset(self.on_progress, start, len(files))
            self._take_chunk(chunk, pairing, done, report, renewed=renewed, reviewed=reviewed)
        if found is not None and renewed:  # last, so that a killed intake takes the whole folder up again
            self._take_document(found, done)
        return done

    def _read(self, path: Path) -> Metadata:
        metadata = read_metadata(path, keep_good=self.keep_good)
        if self.leave_out:
            metadata = leave_out(metadata, self.leave_out)
        with self.books.read() as conn:
            require_kept(metadata, retention.schedule(conn))
        return metadata

    def _enter(self, tx: Tx) -> Admission:
        """How this transaction may take photos in. An order may have come in since the last one, or a channel been closed."""
        require_open(tx.conn, self.source, tx.now.date())
        return channels.admission_of(tx.conn, self.source, self.folder.resolve())

    def hold(self, tx: Tx, way: Admission, ids: Sequence[ItemId], done: TakenIn) -> None:
        """Put new items into quarantine where they came through no channel, in the transaction that records them."""
        if way.held and ids:
            until = tx.now.date() + timedelta(days=self.quarantine_days)
            folder = str(self.folder.resolve())
            quarantine.hold(tx, self.source, folder, way.held, ItemSet(ids), person=self.person, expires_on=until)
            done.quarantined += len(ids)

    def _take_chunk(
        self,
        files: Sequence[str],
        pairing: Pairing,
        done: TakenIn,
        report: Callable[[int], None],
        *,
        renewed: bool,
        reviewed: bool,
    ) -> None:
        spots = {file: self._spot(file) for file in files}
        stamps = self._stamps(spots)
        known = self._known(spots)
        fresh = [f for f in files if stamps[f] is None or spots[f] not in known or known[spots[f]].stamp != stamps[f]]
        others = self._of_others(files, spots, known)
        settled = set(files) - set(fresh)
        done.refused.extend(NotTaken(printable(f), _ANOTHERS) for f in sorted(settled & others.keys()))
        done.unchanged += len(settled - others.keys())
        told = [f for f in settled & set(pairing.rows) - others.keys() if pairing.rows[f].person] if renewed else []
        report(len(settled))
        photos: list[Photo] = []
        for outcome in run_units(_examine, _units(str(self.folder), fresh), workers=self.workers):
            report(len(outcome.unit.files))
            if not isinstance(outcome, Done):
                done.refused.extend(NotTaken(printable(f), outcome.error) for f in outcome.unit.files)
                continue
            for answer in outcome.value:
                if isinstance(answer, Refused):
                    done.refused.append(NotTaken(answer.file, answer.reason))
                elif others.get(answer.file) == answer.picture.sha256:
                    done.refused.append(NotTaken(printable(answer.file), _ANOTHERS))
                else:
                    photos.append(answer)
        photos.sort(key=lambda p: p.file)
        admitted = []
        judged = judge(photos, suppressed=self.suppressor.match([p.picture for p in photos]), here=frozenset())
        for one in judged:
            if one.verdict is Verdict.ADMITTED:
                admitted.append(one.photo)
            else:
                done.suppressed.append(NotTaken(printable(one.photo.file), one.reason))
        if admitted:
            with self.books.write() as tx:
                way = self._enter(tx)
                _Writing(self, tx, pairing.rows, spots, stamps, done, way, reviewed).write(admitted)
        if told:
            with self.books.write() as tx:
                way = self._enter(tx)
                _Writing(self, tx, pairing.rows, spots, stamps, done, way, reviewed).renew(
                    {f: known[spots[f]].item for f in sorted(told)}
                )

    def _is_new(self, path: Path) -> bool:
        """Whether the metadata file may say what it did not say before: it is not on record as it is now."""
        place, root = path.resolve(), Path(self.store.location).resolve()
        if root not in place.parents:
            return True
        spot = _spelled(PurePosixPath(place.relative_to(root)))
        copy = self._known({path.name: spot}).get(spot)
        return copy is None or copy.stamp != self.store.stamps(spot[0], [spot[1]])[0]

    def _is_released(self, path: Path) -> bool:
        """Whether this metadata file, byte for byte, came in by a quarantine that was released: a reviewer has looked at it."""
        with self.books.read() as conn:
            released = quarantine.released(conn) - quarantine.quarantined(conn)
            if not released:
                return False
            digest = hashlib.sha256(path.read_bytes()).digest()
            item = items.known_sha256(conn, self.source, [digest]).get(digest)
            return item is not None and item in released

    def _take_document(self, path: Path, done: TakenIn) -> None:
        """Record the metadata file itself, where it lies in the store: it names people, and an order reaches it too (R2)."""
        place = path.resolve()
        root = Path(self.store.location).resolve()
        if root not in place.parents:
            done.notes[f"the metadata file {path.name} lies outside of the store and is not recorded"] += 1
            return
        spot = _spelled(PurePosixPath(place.relative_to(root)))
        stamp = self.store.stamps(spot[0], [spot[1]])[0]
        if stamp is None:
            return
        data = place.read_bytes()
        paper = document(hashlib.sha256(data).digest())
        match = self.suppressor.match([paper])[0]
        if match is not None:
            done.suppressed.append(NotTaken(path.name, match.reason))
            return
        new = items.NewItem(
            paper.sha256,
            paper.pixel_digest,
            paper.pdq,
            0,
            0,
            0,
            len(data),
            signals=0,
            subject=None,
            kind=items.DOCUMENT,
        )
        with self.books.write() as tx:
            way = self._enter(tx)
            here = items.known_sha256(tx.conn, self.source, [paper.sha256])
            if paper.sha256 not in here:
                counts = {"documents": 1}
                _batch, ids = items.add_batch(
                    tx, self.source, [new], counts=counts, person=self.person, channel=way.channel
                )
                self.hold(tx, way, ids, done)
                here[paper.sha256] = ids[0]
            number = places.object_numbers(tx, self.store_no, [spot[0]])[spot[0]]
            places.replace_copies(tx, [places.Copy(here[paper.sha256], number, spot[1], stamp, len(data))])
        done.documents += 1

    def _spot(self, file: str) -> tuple[str, str]:
        return _spelled(
            PurePosixPath(Path(self.folder.resolve() / file).relative_to(Path(self.store.location).resolve()))
        )

    def _stamps(self, spots: Mapping[str, tuple[str, str]]) -> dict[str, str | None]:
        by_object: dict[str, list[str]] = {}
        for file, (object_name, _selector) in spots.items():
            by_object.setdefault(object_name, []).append(file)
        found: dict[str, str | None] = {}
        for object_name, inside in by_object.items():
            stamps = self.store.stamps(object_name, [spots[f][1] for f in inside])
            found.update(zip(inside, stamps, strict=True))
        return found

    def _of_others(
        self, files: Sequence[str], spots: Mapping[str, tuple[str, str]], known: Mapping[tuple[str, str], places.Copy]
    ) -> dict[str, bytes]:
        """Files that are on record as another source's, and the digest of what lay there when they came."""
        with self.books.read() as conn:
            mine = parties.items_of_source(conn, self.source)
            theirs = {f: known[spots[f]].item for f in files if spots[f] in known and known[spots[f]].item not in mine}
            if not theirs:
                return {}
            found = items.digests_of(conn, ItemSet(theirs.values()))
        digests = {i: sha.tobytes() for i, sha in zip(found.ids.tolist(), found.sha256, strict=True)}
        return {f: digests[i] for f, i in theirs.items() if i in digests}

    def _known(self, spots: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], places.Copy]:
        with self.books.read() as conn:
            numbers = {name: no for no, name in places.objects_of(conn, self.store_no).items()}
            return {
                (name, selector): copy
                for name in {o for o, _s in spots.values()}
                if name in numbers
                for selector, copy in places.copies_in_object(conn, numbers[name]).items()
            }


@dataclass(frozen=True, slots=True)
class _Writing:
    """One batch on its way into the books."""

    intake: Intake
    tx: Tx
    rows: Mapping[str, Row]
    spots: Mapping[str, tuple[str, str]]
    stamps: Mapping[str, str | None]
    done: TakenIn
    way: Admission
    reviewed: bool
    """Whether the metadata was released from quarantine, as it is now."""

    @property
    def heard(self) -> bool:
        """Whether the metadata's word counts: in quarantine a yes opens nothing, for photos that are known neither."""
        return self.reviewed or not self.way.held

    def write(self, photos: Sequence[Photo]) -> None:
        source, tx = self.intake.source, self.tx
        here = dict(items.known_sha256(tx.conn, source, (p.picture.sha256 for p in photos)))
        fresh: dict[bytes, Photo] = {}
        for photo in photos:
            if photo.picture.sha256 not in here:
                fresh.setdefault(photo.picture.sha256, photo)
        files = [p.file for p in photos]
        subjects = self._subjects(files)
        new = [self._item(p, subjects) for p in fresh.values()]
        counts = {"new": len(new), "files": len(photos)}
        batch, ids = items.add_batch(
            tx, source, new, counts=counts, person=self.intake.person, channel=self.way.channel
        )
        self.intake.hold(tx, self.way, ids, self.done)
        before = frozenset(here)
        here.update(zip(fresh, ids, strict=True))
        self._write_copies(photos, here, before)
        self._write_people(files, subjects)
        self._note_what_stays_held(here[sha] for sha in before)
        self.done.new += batch.count
        self.done.batches += 1

    def _note_what_stays_held(self, known: Iterable[ItemId]) -> None:
        waiting = ItemSet(known) & quarantine.quarantined(self.tx.conn) if not self.way.held else ItemSet()
        if waiting:
            self.done.notes["photo that is in quarantine already and stays there until it is released"] += len(waiting)

    def renew(self, known: Mapping[str, ItemId]) -> None:
        """Write what a changed metadata file says of the people in photos that are known: their consents and demographics.

        A photo that showed nobody known gets its person; one that had another keeps it, and that is counted.
        """
        if not self.heard:
            claims = [(r.person, r.consent) for r in (self.rows[f] for f in known)]
            self.done.consents_unheard += len({(who, p) for who, claim in claims if claim for p in claim.purposes})
            return
        subjects = self._subjects(list(known))
        self._write_people(list(known), subjects)
        named, kept = items.name_people(self.tx, {i: subjects[self.rows[f].person or ""] for f, i in known.items()})
        self.done.named += named
        if kept:
            self.done.notes["known photo that the metadata now gives to another person; the first one stays"] += kept

    def _subjects(self, files: Sequence[str]) -> dict[str, SubjectNo]:
        people = {row.person for f in files if (row := self.rows.get(f)) is not None and row.person}
        pseudonyms = {person: pseudonym(self.intake.pseudonym_key, self.intake.source, person) for person in people}
        numbers = items.subject_numbers(self.tx, self.intake.source, pseudonyms.values())
        return {person: numbers[p] for person, p in pseudonyms.items()}

    def _item(self, photo: Photo, subjects: Mapping[str, SubjectNo]) -> items.NewItem:
        row = self.rows.get(photo.file)
        subject = subjects[row.person] if row is not None and row.person else None
        if subject is None:
            self.done.without_person += 1
        self.done.opted_out += photo.signals.opted_out
        self.done.notes.update(photo.signals.unread)
        picture = photo.picture
        return items.NewItem(
            sha256=picture.sha256,
            pixels=picture.pixel_digest,
            pdq=picture.pdq,
            pdq_quality=picture.pdq_quality,
            width=picture.width,
            height=picture.height,
            size_bytes=photo.size_bytes,
            signals=items.OPTED_OUT if photo.signals.opted_out else 0,
            subject=subject,
            attributes=tuple(_item_attributes(photo, row, has_person=subject is not None)),
        )

    def _write_copies(self, photos: Sequence[Photo], here: Mapping[bytes, ItemId], before: frozenset[bytes]) -> None:
        objects = places.object_numbers(self.tx, self.intake.store_no, (self.spots[p.file][0] for p in photos))
        rows = []
        seen: set[bytes] = set()
        for photo in photos:
            spot = self.spots[photo.file]
            stamp = self.stamps[photo.file]
            if stamp is None:
                self.done.refused.append(NotTaken(printable(photo.file), "it vanished while it was taken in"))
                continue
            if photo.picture.sha256 in before or photo.picture.sha256 in seen:
                self.done.more_copies += 1
            seen.add(photo.picture.sha256)
            rows.append(places.Copy(here[photo.picture.sha256], objects[spot[0]], spot[1], stamp, photo.size_bytes))
        places.replace_copies(self.tx, rows)

    def _write_people(self, files: Sequence[str], subjects: Mapping[str, SubjectNo]) -> None:
        attributes: list[tuple[SubjectNo, str, str, str]] = []
        said: list[Consent] = []
        living: dict[str, ItemSet] = {}
        for file in files:
            row = self.rows.get(file)
            if row is None or not row.person:
                continue
            subject = subjects[row.person]
            attributes.extend((subject, n, DEMOGRAPHICS, v) for n, v in row.attributes if class_of(n) == DEMOGRAPHICS)
            if row.jurisdiction:
                living.setdefault(row.jurisdiction, ItemSet()).add(subject)
            claim = row.consent
            if claim is None:
                continue
            begins = datetime.combine(claim.valid_from, time.min, UTC)
            if begins > self.tx.now:
                # When it was said is not known, and a day to come would outlast a withdrawal made before it.
                self.done.notes['consent that begins in the future; hand it in with "unsee consent import"'] += 1
                continue
            ends = datetime.combine(claim.valid_until, time.max, UTC) if claim.valid_until else None
            said.extend(
                Consent(
                    subject,
                    purpose,
                    ConsentState.GIVEN,
                    claim.notice,
                    begins,
                    begins,
                    ends,
                    released=bool(claim.release_sha256),
                    release_sha256=claim.release_sha256,
                )
                for purpose in claim.purposes
            )
        items.set_subject_attributes(self.tx, attributes)
        for place, people in living.items():
            residents.add(self.tx, place, people)
        if not self.heard:
            self.done.consents_unheard += len({(c.subject, c.purpose) for c in said})
            return
        self.done.consents += consents.record(self.tx, said)


def pseudonym(key: bytes, source: SourceId, person: str) -> bytes:
    """How a person of a source is known: HMAC-SHA-256 of the source and the giver's own id for them. 32 bytes."""
    return hmac.digest(key, f"unsee subject 1\n{source}\n{person}".encode(), "sha256")


def _spelled(path: PurePosixPath) -> tuple[str, str]:
    """The object and selector of a file, by its path below the store's root."""
    parts = [names.spell(part.encode("utf-8", "surrogateescape")) for part in path.parts]
    return "/".join(parts[:-1]) or names.ROOT, parts[-1]


def _item_attributes(photo: Photo, row: Row | None, *, has_person: bool) -> Iterator[tuple[str, str, str]]:
    """(name, data class, value) of what is known of one photo: the metadata's word comes before the camera's."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in row.attributes if row is not None else ():
        data_class = class_of(name)
        if data_class != DEMOGRAPHICS or not has_person:
            found[name] = (data_class, value)
    taken = row.taken.isoformat() if row is not None and row.taken else photo.exif.taken
    if taken:
        found.setdefault("taken", (EXIF, taken))
    if photo.exif.camera:
        found.setdefault("exif_camera", (EXIF, photo.exif.camera))
    if photo.exif.latitude is not None and photo.exif.longitude is not None:
        found.setdefault("exif_latitude", (LOCATION, f"{photo.exif.latitude:.6f}"))
        found.setdefault("exif_longitude", (LOCATION, f"{photo.exif.longitude:.6f}"))
    for name, (data_class, value) in found.items():
        yield name, data_class, value


@dataclass(frozen=True, slots=True)
class _Files:
    folder: str
    files: tuple[str, ...]


def _units(folder: str, files: Sequence[str]) -> Iterator[_Files]:
    for start in range(0, len(files), _UNIT_FILES):
        yield _Files(folder, tuple(files[start : start + _UNIT_FILES]))


def _examine(unit: _Files) -> list[Photo | Refused]:
    return [examine_photo(unit.folder, file) for file in unit.files]


class _Offset:
    def __init__(self, report: Progress, start: int, total: int) -> None:
        self._report, self._done, self._total = report, start, total

    def __call__(self, count: int) -> None:
        self._done += count
        self._report("photos", self._done, self._total)
