"""A whole small workspace, made once a session and copied for each test: people, stores, sources, photos, a model, a stray.

::

    corpus/okcupid/…       source okcupid-2014 (legacy): 4 people × 3 photos in 2 directories, photos.csv
    corpus/panel/…         source consented-panel: 2 people × 2 photos, consent to training and evaluation
    corpus/members/…       source members-2024: 1 person × 2 photos, and two twins of okcupid photos (equal bytes; re-encoded)
    corpus/old-backup/     what no book records: a directory of okcupid with its photos.csv
    corpus/loose/          a renamed photo, a thumbnail, a note, a broken JPEG, a link that leads out
    mirror/                another store: an exact copy below two directories that hold nothing else, and an innocent picture
    ws/models/rec-2014/    trained on all of okcupid and the panel; rec-panel on the panel only; unfinished/ is a stray
"""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from unsee.app import agreements, channels, datasets, intake, interests, orders, registry, suppliers, workspace
from unsee.app.training import open_dataset
from unsee.app.workspace import Workspace
from unsee.books import parties, training
from unsee.books.channels import admission_of
from unsee.books.schema import metadata
from unsee.core.ids import ModelId, PersonId, RunId, SourceId
from unsee.core.lineage import Node
from unsee.core.parties import AgreementStatus, Interest, Terms
from unsee.erase.executor import Applied
from unsee.erase.journal import Boundary
from unsee.replace.folder import ConsentSpec, FolderSpec, write_folder
from unsee.training.reader import Reader
from unsee.training.recorder import record_run

DANA, ADA, BEN, CLEO = (PersonId(name) for name in ("dana", "ada", "ben", "cleo"))
"""The engineer who plans, two independent approvers, and one who is interested in OkCupid."""
OKCUPID = "okcupid-2014"
PANEL = "consented-panel"
MEMBERS = "members-2024"
TRAIN = "train-face-recognition"
ORDER = "order-0001"
PLAN = "plan-0001-1"
RESEARCH = Terms(recipient_category="research partners")
"""The taker, in the words of `policy`."""
WINDOW = 32
"""Bytes of a marker: a piece out of a file's middle that stands nowhere else."""


@dataclass
class Corpus:
    """One copy of the small corpus."""

    root: Path
    _opened: Workspace | None = None

    @property
    def ws(self) -> Workspace:
        """The workspace, opened anew at each call: nothing cached survives from one act to the next."""
        self.close()
        self._opened = workspace.open_workspace(self.root / "ws")
        return self._opened

    def close(self) -> None:
        """Give the books back."""
        if self._opened is not None:
            self._opened.books.close()

    @property
    def corpus(self) -> Path:
        """The first store."""
        return self.root / "corpus"

    @property
    def mirror(self) -> Path:
        """The second store."""
        return self.root / "mirror"

    @property
    def document(self) -> Path:
        """Some paper."""
        return self.root / "paper.pdf"

    def scope_files(self) -> list[Path]:
        """Every file that an order on okcupid must take away, recorded or not."""
        inside = [self.corpus / "okcupid", self.corpus / "old-backup"]
        found = [p for place in inside for p in place.rglob("*") if p.is_file()]
        found += [
            self.corpus / "loose" / "holiday.jpg",
            self.corpus / "loose" / "thumb.jpg",
            self.mirror / "by-name/jane doe/m1.jpg",
        ]
        return sorted(found)

    def kept_files(self) -> list[Path]:
        """Every file of the stores that must stay as it is."""
        scope = set(self.scope_files())
        every = [p for place in (self.corpus, self.mirror) for p in place.rglob("*") if p.is_file()]
        return sorted(p for p in every if p not in scope and not p.is_symlink())

    def open_order(self, source: str = OKCUPID) -> orders.Opened:
        """Receive an order on a source."""
        return orders.open_order(
            self.ws,
            source=source,
            profile_name="ftc-everalbum",
            instrument=self.document,
            authority="",
            effective=None,
            person=DANA,
        )

    def plan(self, order: str = ORDER) -> orders.Planned:
        """Make a plan."""
        return orders.make_plan(self.ws, order, person=DANA, workers=1)

    def approve(self, plan: str = PLAN) -> None:
        """Have the two independent people sign."""
        for person in (ADA, BEN):
            orders.approve(self.ws, plan, person=person, key_file=None)

    def ready(self) -> Corpus:
        """Order received, planned, approved twice."""
        self.open_order()
        self.plan()
        self.approve()
        return self

    def apply(self, plan: str = PLAN, *, at_boundary: Boundary | None = None) -> Applied:
        """Carry the plan out in this thread."""
        return orders.apply(
            self.ws, plan, workers=1, on_progress=lambda _what, _done, _total: None, at_boundary=at_boundary
        )

    def verify(self, order: str = ORDER) -> orders.Verification:
        """Look again."""
        return orders.verify(self.ws, order, workers=1)

    def take_in(
        self, folder: Path, source: str, *, metadata: Path | None = None, channel: bool = True, **choices: Any
    ) -> intake.TakenIn:
        """Take a folder in; where the source has no channel that holds it, one is registered first, unless told not to."""
        if channel and folder.is_dir():
            self.open_channel(folder, source)
        return intake.take_in(
            self.ws,
            folder,
            source=source,
            metadata=metadata,
            person=DANA,
            workers=1,
            on_progress=lambda _what, _done, _total: None,
            **choices,
        )

    def open_channel(self, folder: Path, source: str) -> None:
        """Register a channel of the source at the folder, where the source is known and needs one."""
        ws = self.ws
        with ws.books.read() as conn:
            known = any(s.id == source for s in parties.all_sources(conn))
            if not known or not admission_of(conn, SourceId(source), folder.resolve()).held:
                return
        name = f"{source}-{len(channels.all_channels(ws)) + 1}"
        channels.add_channel(ws, name, source=source, kind="folder", location=folder, person=DANA)

    def freeze(
        self,
        name: str,
        *sources: str,
        purpose: str = TRAIN,
        override: bool = False,
        permitted_only: bool = False,
        without_people_of: tuple[str, ...] = (),
    ) -> training.Dataset:
        """Freeze a dataset."""
        return datasets.freeze(
            self.ws,
            name,
            purpose=purpose,
            selection=datasets.Selection(sources=sources, without_people_of=without_people_of),
            permitted_only=permitted_only,
            override=datasets.Override(DANA, "as it was in 2014") if override else None,
            person=DANA,
        )[0]

    def open_dataset(self, name: str, purpose: str = TRAIN) -> Reader:
        """Open a dataset through the permitted reader."""
        return open_dataset(self.ws, name, purpose)

    def train(self, model: str, dataset: str) -> None:
        """A recorded run whose body writes a few files."""
        ws = self.ws
        with record_run(
            ws.books,
            run=RunId(f"run-{model}-1"),
            model=ModelId(model),
            purpose=TRAIN,
            recipe={"kind": "few-files", "seed": 7},
            inputs=[Node("dataset", dataset)],
            person=DANA,
            directory=ws.models / model,
        ) as recording:
            (recording.directory / "checkpoints").mkdir(parents=True)
            for name in ("weights.bin", "checkpoints/step-1.bin", "labels.json"):
                (recording.directory / name).write_bytes(f"{model} {name} ".encode() * 50)
        ws.drain()

    def sql(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Ask, or change, the books behind the program's back."""
        with closing(sqlite3.connect(self.root / "ws" / "books.sqlite")) as db, db:
            return db.execute(query, values).fetchall()

    def rows(self, table: str, columns: str) -> list[tuple[object, ...]]:
        """Columns of a table of the books, sorted by them."""
        chosen = [metadata.tables[table].c[name.strip()] for name in columns.split(",")]
        with self.ws.books.read() as conn:
            return [tuple(row) for row in conn.execute(sa.select(*chosen).order_by(*chosen))]

    def facts(self) -> list[str]:
        """Kinds of all facts, in order."""
        return [str(kind) for _seq, kind in self.rows("facts", "seq, kind")]


def marker(path: Path) -> bytes:
    """A piece of a file by which its bytes are known again anywhere."""
    data = path.read_bytes()
    middle = len(data) // 2
    return data[middle : middle + WINDOW]


def holders(markers: dict[Path, bytes], *places: Path) -> Iterator[str]:
    """Which files below `places` hold a marker: a raw search, with nothing of the program in it."""
    for place in places:
        for path in sorted(p for p in place.rglob("*") if p.is_file() and not p.is_symlink()):
            data = path.read_bytes()
            for origin, piece in markers.items():
                if piece in data:
                    yield f"{path} holds {origin.name}"


def reencoded(path: Path, *, side: int = 96, quality: int = 70) -> bytes:
    """The same picture, smaller and compressed anew: other bytes, other pixels."""
    held = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS).save(held, "JPEG", quality=quality)
    return held.getvalue()


def innocent(seed: int) -> bytes:
    """A picture that resembles nothing else here."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8).astype(np.uint8))
    held = io.BytesIO()
    coarse.resize((96, 96), Image.Resampling.BICUBIC).save(held, "JPEG", quality=85)
    return held.getvalue()


def build(root: Path, *, books_url: str | None = None) -> Corpus:
    """Make the corpus in an empty directory, its books there or at a URL."""
    made = Corpus(root)
    made.document.write_bytes(b"%PDF-1.4 a paper\n")
    ws = workspace.create(root / "ws", "Acme Vision", books_url=books_url)
    for person, title in ((DANA, "Data engineer"), (ADA, "Privacy officer"), (BEN, "Counsel"), (CLEO, "Founder")):
        registry.add_person(ws, person, name=person.title(), title=title, organisation=None, key_file=None)
    _photos(made)
    for name in ("corpus", "mirror"):
        registry.add_store(ws, name, kind="files", location=str(root / name), options={})
    _sources(made, ws)
    made.take_in(made.corpus / "okcupid", OKCUPID)
    made.take_in(made.corpus / "panel", PANEL)
    made.take_in(made.corpus / "members", MEMBERS)
    _unrecorded(made)
    made.freeze("faces-2014", OKCUPID, PANEL, override=True)
    made.freeze("faces-panel", PANEL)
    made.train("rec-2014", "faces-2014")
    made.train("rec-panel", "faces-panel")
    (ws.models / "unfinished").mkdir()
    (ws.models / "unfinished" / "half.bin").write_bytes(b"what a killed run left " * 20)
    ws.books.close()
    return made


def _photos(made: Corpus) -> None:
    consent = ConsentSpec((TRAIN, "evaluate"), "notice-2024-1", date(2024, 1, 1))
    write_folder(
        FolderSpec(seed=1, tones={"dark": 3, "light": 1}, photos_per_person=3, people_per_directory=2, gps_share=0.5),
        made.corpus / "okcupid",
        workers=1,
    )
    write_folder(
        FolderSpec(seed=2, tones={"mid": 2}, photos_per_person=2, consent=consent), made.corpus / "panel", workers=1
    )
    write_folder(
        FolderSpec(seed=3, tones={"light": 1}, photos_per_person=2, consent=consent), made.corpus / "members", workers=1
    )
    first, second, *_ = sorted((made.corpus / "okcupid" / "part-000").iterdir())
    (made.corpus / "members" / "twins").mkdir()
    shutil.copy(first, made.corpus / "members" / "twins" / "same-bytes.jpg")
    (made.corpus / "members" / "twins" / "re-encoded.jpg").write_bytes(reencoded(second, side=112, quality=80))
    made.mirror.mkdir()


def _sources(made: Corpus, ws: Workspace) -> None:
    for name, kind, issuer, collected, legacy in (
        (OKCUPID, "partner", "OkCupid", date(2014, 9, 1), True),
        (PANEL, "panel", "Panel Ltd", date(2024, 2, 1), False),
        (MEMBERS, "upload", "Members Inc", date(2024, 2, 1), False),
    ):
        registry.add_source(
            ws,
            name,
            title=name,
            kind=kind,
            issuer=issuer,
            collected_on=collected,
            data_classes=["photo", "demographics"],
            geography="US",
            legacy=legacy,
        )
    for name in (PANEL, MEMBERS):
        draft(made, f"agreement-{name}", name, TRAIN, "evaluate")
        agree(made, f"agreement-{name}")
    interests.declare(ws, Interest("Cleo", "OkCupid", "equity", date(2011, 1, 1), CLEO, SourceId(OKCUPID)))


def draft(made: Corpus, name: str, source: str, *purposes: str, terms: Terms | None = None) -> None:
    """Dana drafts an agreement in force from 2024 on."""
    agreements.draft(
        made.ws,
        name,
        source=source,
        document=made.document,
        purposes=purposes,
        prohibitions=[],
        valid_from=date(2024, 1, 1),
        valid_until=None,
        person=DANA,
        terms=terms,
    )


def policy(made: Corpus, source: str, *purposes: str, in_force: date = date(2010, 1, 1)) -> None:
    """Keep a snapshot of the giver's privacy policy, which names research partners."""
    suppliers.add_privacy_policy(
        made.ws,
        source,
        text=made.document,
        in_force=in_force,
        purposes=purposes,
        recipient_categories=["research partners"],
        url="",
        person=DANA,
    )


def agree(made: Corpus, name: str, person: PersonId = ADA) -> None:
    """Submit a draft and have somebody approve it."""
    agreements.move(made.ws, name, AgreementStatus.IN_REVIEW, person=DANA, note="")
    agreements.move(made.ws, name, AgreementStatus.APPROVED, person=person, note="")


def _unrecorded(made: Corpus) -> None:
    okcupid, loose = made.corpus / "okcupid", made.corpus / "loose"
    backup = made.corpus / "old-backup"
    shutil.copytree(okcupid / "part-001", backup / "part-001")
    shutil.copy(okcupid / "photos.csv", backup / "photos.csv")
    loose.mkdir()
    first, second, third, *_ = sorted((okcupid / "part-000").iterdir())
    shutil.copy(first, loose / "holiday.jpg")
    (loose / "thumb.jpg").write_bytes(reencoded(second))
    (loose / "note.txt").write_text("no picture at all\n")
    (loose / "broken.jpg").write_bytes(third.read_bytes()[:300])
    outside = made.root / "outside"
    outside.mkdir()
    shutil.copy(third, outside / "elsewhere.jpg")
    (loose / "link.jpg").symlink_to(outside / "elsewhere.jpg")
    (made.mirror / "by-name" / "jane doe").mkdir(parents=True)
    shutil.copy(third, made.mirror / "by-name" / "jane doe" / "m1.jpg")
    (made.mirror / "hill.jpg").write_bytes(innocent(5))


def copy_of(built: Corpus, root: Path) -> Corpus:
    """A copy at another place. Store locations and file stamps in the books are rewritten to fit it."""
    shutil.copytree(built.root, root, symlinks=True, dirs_exist_ok=True)
    copied = Corpus(root)
    with closing(sqlite3.connect(root / "ws" / "books.sqlite")) as db, db:
        stores = {}
        for number, name in db.execute("SELECT no, id FROM stores").fetchall():
            stores[number] = root / name
            db.execute("UPDATE stores SET location = ? WHERE no = ?", (str(root / name), number))
        for number, location in db.execute("SELECT id, location FROM channels").fetchall():
            there = root / Path(location).relative_to(built.root.resolve())
            db.execute("UPDATE channels SET location = ? WHERE id = ?", (str(there.resolve()), number))
        rows = db.execute(
            "SELECT c.item_id, c.object_no, c.selector, o.store_no, o.name FROM copies c JOIN objects o ON o.no = c.object_no"
        ).fetchall()
        for item, object_no, selector, store, name in rows:
            seen = (stores[store] / name / selector).stat()
            db.execute(
                "UPDATE copies SET stamp = ? WHERE item_id = ? AND object_no = ? AND selector = ?",
                (f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}", item, object_no, selector),
            )
    return copied
