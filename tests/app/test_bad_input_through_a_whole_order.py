"""Bad input through a whole order: each failure names its object and member, everything else goes, and the report says so."""

from __future__ import annotations

import base64
import errno
import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import polars
import pytest

from small_corpus import ADA, DANA, OKCUPID, ORDER, PLAN, Corpus
from unsee.app import certification, indexing, orders, registry
from unsee.attest.bundle import envelope_of
from unsee.core.errors import ResidueFound, UnitsFailed
from unsee.stores import shards


def photos(corpus: Corpus, source: str = "okcupid") -> list[bytes]:
    return [path.read_bytes() for path in sorted((corpus.corpus / source).rglob("*.jpg"))]


def tar(*entries: tuple[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=kind) as writer:
        for name, data in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            writer.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def with_link(name: str, data: bytes, link: str) -> bytes:
    """A shard with a second name of its member."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as writer:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        writer.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo(link)
        entry.type, entry.linkname = tarfile.LNKTYPE, name
        writer.addfile(entry)
    return made.getvalue()


def table(place: Path, rows: dict[str, bytes]) -> None:
    polars.DataFrame({"id": list(rows), "image": list(rows.values())}).write_parquet(place)


@pytest.fixture
def lake(small: Corpus, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Shards and tables that hold the order's photos and others'."""
    monkeypatch.setattr("unsee.stores.tar.sources.ALWAYS_BYTES", 1 << 20)  # a small bomb is as good as a large one
    one, two, three, four, *_ = photos(small)
    stays = photos(small, "panel")[0]
    place = small.root / "lake"
    for name in ("shards", "tables"):
        (place / name).mkdir(parents=True)
    for name, data in {
        "good": tar(("one.jpg", one), ("other.jpg", stays)),
        "twice": tar(("one.jpg", one), ("one.jpg", two), ("other.jpg", stays)),
        "long-gnu": tar((LONG, one), ("other.jpg", stays)),
        "long-pax": tar((LONG, one), ("other.jpg", stays), kind=tarfile.PAX_FORMAT),
        "dots": tar(("../../one.jpg", one), ("other.jpg", stays)),
        "linked": with_link("one.jpg", three, "again.jpg"),
        "cut": tar(("one.jpg", one), ("other.jpg", stays), ("two.jpg", four))[: -10_240 - 512],
    }.items():
        (place / "shards" / f"{name}.tar").write_bytes(data)
    (place / "shards" / "packed.tar.gz").write_bytes(gzip.compress(tar(("one.jpg", one), ("other.jpg", stays))))
    (place / "shards" / "bomb.tar.gz").write_bytes(gzip.compress(tar(("zeros", bytes(4 << 20)))))
    for name in ("a", "b"):
        table(place / "tables" / f"{name}.parquet", {"one": one, "other": stays})
    (place / "tables" / "corrupt.parquet").write_bytes(b"PAR1" + bytes(400) + b"\xff\xff\xff\x7fPAR1")
    registry.add_store(small.ws, "shards", kind="tar", location=str(place / "shards"), options={})
    options = {"key": "id", "data": "image"}
    registry.add_store(small.ws, "tables", kind="parquet", location=str(place / "tables"), options=options)
    said = {}
    for name in ("shards", "tables"):
        said |= indexing.index_store(small.ws, name, source=OKCUPID, made_from=None, person=DANA).failed
    assert {name: [word for word in UNREADABLE[name] if word not in said[name]] for name in UNREADABLE} == {
        "cut.tar": [],
        "bomb.tar.gz": [],
        "corrupt.parquet": [],
    }
    return small


UNREADABLE = {
    "cut.tar": ["at byte 10,240", "512 bytes of 'other.jpg' are missing"],
    "bomb.tar.gz": ["as a decompression bomb does"],
    "corrupt.parquet": ["its footer says that it is 2,147,483,647 bytes long, which cannot be"],
}
LONG = "deep/" * 40 + "one.jpg"


def test_each_failure_names_its_place_and_all_else_goes_once_it_is_mended(
    lake: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars, tables = lake.root / "lake" / "shards", lake.root / "lake" / "tables"
    stays = photos(lake, "panel")[0]
    lake.ready()
    planned = orders.find_plan(lake.ws, PLAN).directory
    held = {(u.object, t.selector.partition("@")[0]) for u in planned.units() for t in u.targets if u.store == "shards"}
    missed = planned.summary["search"]["not_compared"]
    assert [r for r in missed if r.startswith("an object of store tables: its rows cannot be listed: its footer")]
    assert [r for r in missed if r.endswith("512 bytes of a member are missing")], "what is kept for good names nobody"
    assert {name for name, _selector in held} == {
        f"{n}.tar" for n in ("good", "twice", "long-gnu", "long-pax", "dots", "linked", "cut")
    } | {"packed.tar.gz"}
    assert {
        ("long-gnu.tar", LONG),
        ("long-pax.tar", LONG),
        ("dots.tar", "../../one.jpg"),
        ("linked.tar", "again.jpg"),
    } <= held

    def meanwhile(boundary: str) -> None:
        """What others do after the plan was compared with the world."""
        if boundary == "done:suppress":
            whole = (tables / "b.parquet").read_bytes()
            (tables / "b.parquet").write_bytes(whole[:-20])
            (tars / "long-pax.tar").write_bytes((tars / "long-pax.tar").read_bytes()[:1_500])
            (tars / "long-gnu.tar").write_bytes(tar(("other.jpg", stays)))
            (tars / "dots.tar").unlink()

    honest = shards._write_beside

    def failing(directory: int, name: bytes, *rest: Any) -> None:
        number = {b"packed.tar.gz": errno.ENOSPC, b"a.parquet": errno.EACCES}.get(name)
        if number is not None:
            raise OSError(number, os.strerror(number))
        honest(directory, name, *rest)

    monkeypatch.setattr(shards, "_write_beside", failing)
    with pytest.raises(UnitsFailed) as failed:
        lake.apply(at_boundary=meanwhile)
    monkeypatch.setattr(shards, "_write_beside", honest)
    assert sorted(map(str, failed.value.details)) == [
        f"shards:long-pax.tar/{LONG}: not found, and the shard cannot be read to its end: at byte 1,024: the archive is cut off "
        "between an extended header and its member",
        "shards:packed.tar.gz/one.jpg: the shard: No space left on device",
        "tables:a.parquet/one: Permission denied",
        "tables:b.parquet/one: it has no footer: it is truncated, or still being written",
    ]
    for name in ("good", "twice", "linked", "cut"):
        data = (tars / f"{name}.tar").read_bytes()
        assert not [p for p in photos(lake) if p[len(p) // 2 :][:64] in data], name
        assert (stays[:2_000] in data) is (name != "linked"), "nothing else is lost"
    assert not [p for p in lake.scope_files() if p.exists()], "the rest of the plan went on"

    table(tables / "b.parquet", {"other": stays})
    (tars / "long-pax.tar").write_bytes(tar(("other.jpg", stays)))
    done = lake.apply()
    assert done.failures == ()
    assert done.absent == 4, "what others took away, between the plan and the erasure, is not called erased"
    assert polars.read_parquet(tables / "a.parquet")["id"].to_list() == ["other"]
    with tarfile.open(tars / "packed.tar.gz") as packed:
        assert packed.getnames() == ["other.jpg"]
    with pytest.raises(ResidueFound) as left:
        lake.verify()
    (cut,) = map(str, left.value.details)
    assert cut.startswith("shards:cut.tar: could not be probed"), "a shard that cannot be read is not called clean"
    (tars / "cut.tar").unlink()
    assert lake.verify().passed
    out = lake.root / "certificates"
    certification.certify(lake.ws, certification.Request(ORDER, ADA, out, None, None, False, "own knowledge"))
    told = json.loads(envelope_of((out / "certificate.json").read_bytes()))
    statement = base64.b64decode(told["payload"]).decode()
    assert "other.jpg" not in statement
    for word in ("as a decompression bomb does", "2,147,483,647 bytes long, which cannot be", "4 were absent already"):
        assert word in statement, (
            "what was not looked into, and what was not erased by this tool, stands in the certificate"
        )
