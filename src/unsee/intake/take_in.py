"""Taking a folder in: list, pair with its metadata, examine, judge, write to the books; batch by batch, each whole or not at all.

The photos stay where they are: the books record where. Running it again on the same folder reads nothing that was not settled and
adds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath

from unsee.books import (
    channels,
    items,
    parties,
    places,
    quarantine,
    retention,
)
from unsee.books.database import Books, Tx
from unsee.core.channels import Admission
from unsee.core.ids import ItemId, ItemSet, PersonId, SourceId
from unsee.engine.local import run_units
from unsee.engine.outcome import Done
from unsee.intake.classes import require_kept
from unsee.intake.examine import Photo, Refused, examine_photo
from unsee.intake.gate import Verdict, judge
from unsee.intake.metadata import Metadata, Pairing, find_metadata, leave_out, pair, read_metadata
from unsee.intake.opening import require_open
from unsee.intake.outcome import NotTaken, TakenIn
from unsee.intake.walk import list_folder, printable
from unsee.intake.writing import Writing
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
                Writing(self, tx, pairing.rows, spots, stamps, done, way, reviewed).write(admitted)
        if told:
            with self.books.write() as tx:
                way = self._enter(tx)
                Writing(self, tx, pairing.rows, spots, stamps, done, way, reviewed).renew(
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


def _spelled(path: PurePosixPath) -> tuple[str, str]:
    """The object and selector of a file, by its path below the store's root."""
    parts = [names.spell(part.encode("utf-8", "surrogateescape")) for part in path.parts]
    return "/".join(parts[:-1]) or names.ROOT, parts[-1]


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
