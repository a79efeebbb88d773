"""One order goes through files, tar shards, Parquet, Lance, S3, FAISS and a vault at once, each written by its own tool."""

from __future__ import annotations

import io
import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_endpoint import Endpoint
from small_corpus import DANA, OKCUPID, PANEL, PLAN, Corpus
from unsee.app import indexing, orders, registry, vault
from unsee.books import places
from unsee.core.ids import StoreId

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import demo_lake


@pytest.fixture
def lake(small: Corpus, s3: Endpoint) -> Iterator[Corpus]:
    """What the demo makes, in small; the Lance dataset and the bucket are recorded by nobody."""
    bucket = f"faces-{uuid.uuid4().hex}"
    okcupid, panel = demo_lake.every(small.corpus / "okcupid", 1), demo_lake.every(small.corpus / "panel", 1)
    photos = demo_lake.shuffled(okcupid + panel, seed=3)
    place = small.root / "lake"
    demo_lake.shards(photos, place / "shards")
    demo_lake.parquet(photos, place / "tables")
    demo_lake.lance(photos, place / "lance")
    demo_lake.vectors(okcupid, place / "vectors", small.root / "made-from.csv")
    demo_lake.bucket(photos, s3.url, bucket)
    by_id = {"key": "id", "data": "image"}
    for name, kind, options in (
        ("shards", "tar", {}),
        ("tables", "parquet", by_id),
        ("lance", "lance", by_id),
        ("vectors", "faiss", {}),
    ):
        registry.add_store(small.ws, name, kind=kind, location=str(place / name), options=options)
    registry.add_store(small.ws, "bucket", kind="s3", location=f"s3://{bucket}", options={"endpoint": s3.url})
    for name in ("shards", "tables"):
        for source in (OKCUPID, PANEL):
            indexing.index_store(small.ws, name, source=source, made_from=None, person=DANA)
    indexing.index_store(small.ws, "vectors", source=OKCUPID, made_from=small.root / "made-from.csv", person=DANA)
    vault.create_vault(
        small.ws, "vault", place / "vault", keys=small.root / "keys-of-it" / "ring", wrap=f"file:{small.root}/master"
    )
    vault.seal(small.ws, "vault", "corpus", source=OKCUPID, remove_plain=False, on_progress=lambda _w, _d, _t: None)
    yield small
    s3.empty(bucket)


def bucket_of(corpus: Corpus) -> str:
    with corpus.ws.books.read() as conn:
        return places.store(conn, StoreId("bucket")).location.removeprefix("s3://")


def raw(place: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())


def test_one_order_takes_a_source_out_of_every_store_and_leaves_everybody_else(lake: Corpus, s3: Endpoint) -> None:
    going = [path.read_bytes() for path in sorted((lake.corpus / "okcupid").rglob("*.jpg"))]
    staying = [path.read_bytes() for path in sorted((lake.corpus / "panel").rglob("*.jpg"))]
    captions = [b"a face, okcupid-%06d" % n for n in range(len(going))]
    place = lake.root / "lake"
    before = raw(place)
    assert all(photo in before for photo in going), "the harness: they are there, and a raw search sees them"
    lake.ready()
    units = list(orders.find_plan(lake.ws, PLAN).directory.units())
    assert {u.store for u in units} == {"corpus", "mirror", "shards", "tables", "lance", "bucket", "vectors", "vault"}
    reasons = {t.reason for u in units if u.store == "shards" for t in u.targets if t.selector.endswith(".json")}
    assert reasons == {"in one sample with a photo in scope"}
    key = next(t.selector for u in units if u.store == "bucket" for t in u.targets)
    bucket = bucket_of(lake)
    for version in s3.client.list_object_versions(Bucket=bucket)["Versions"]:
        if version["Key"].endswith(key.partition("@")[0].rpartition("/")[2]):  # somebody else deletes it after the plan
            s3.client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    done = lake.apply()
    assert (done.absent, sum(done.by_store["bucket"].values())) == (1, len(going) - 1)
    assert set(done.by_store) == {u.store for u in units}
    best = (
        lake.ws.stores()[StoreId("vault")].capability().best_gone.step
    )  # D4, but in memory nothing is overwritten in place
    assert done.by_store["vault"] == {best: len(going) + 1}, "its photos, and photos.csv"
    after = raw(place)
    assert not [n for n, photo in enumerate(going) if photo[len(photo) // 2 :][:64] in after]
    assert not [c for c in captions if c in after]
    assert all(photo in raw(place / "shards") for photo in staying)
    held = io.BytesIO()
    for page in s3.client.get_paginator("list_object_versions").paginate(Bucket=bucket_of(lake)):
        held.write(json.dumps(page, default=str).encode())
    assert b"okcupid" not in held.getvalue(), "no version, no delete marker"
    assert b"panel" in held.getvalue()
    seen = lake.verify()
    assert {s.store for s in seen.searched} == {u.store for u in units}
    assert all(s.canary_found for s in seen.searched)
    assert sum(s.size_bytes for s in seen.searched) > sum(map(len, staying)) * 4
