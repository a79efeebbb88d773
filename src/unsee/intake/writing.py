"""One batch on its way into the books: items, copies, people, their words and attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from unsee.books import consents, items, places, quarantine, residents
from unsee.books.database import Tx
from unsee.core.channels import Admission
from unsee.core.consent import Consent, ConsentState
from unsee.core.ids import ItemId, ItemSet, SubjectNo
from unsee.intake.classes import DEMOGRAPHICS, EXIF, LOCATION, class_of
from unsee.intake.examine import Photo
from unsee.intake.metadata import Row
from unsee.intake.outcome import NotTaken, TakenIn
from unsee.intake.pseudonyms import pseudonym
from unsee.intake.walk import printable

if TYPE_CHECKING:
    from unsee.intake.take_in import Intake


@dataclass(frozen=True, slots=True)
class Writing:
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
        """Write the batch: photos whose bytes this source has already become copies, the others items."""
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
