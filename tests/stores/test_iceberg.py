"""What erasing from Iceberg tables promises beyond the contract: history, tags, branches, bounds, other writers, bad input."""

import hashlib
import os
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import ManifestFile

from unsee.core.errors import InvalidValue, StoreError, StoreUnreachable
from unsee.stores.contract import Skipped, Target
from unsee.stores.iceberg import erasing, history, open_iceberg
from unsee.stores.iceberg.tables import local
from unsee.testing.stores import store_id
from unsee.testing.syscalls import system_calls

SCHEMA = pa.schema([("name", pa.string()), ("image", pa.binary()), ("age", pa.int64())])
FACES = "photos.faces"


def image_of(name):
    return hashlib.sha512(name.encode()).digest() * 12


def rows(*names):
    columns = {"name": list(names), "image": [image_of(n) for n in names], "age": [len(n) for n in names]}
    return pa.table(columns, schema=SCHEMA)


@pytest.fixture
def catalog(tmp_path):
    (tmp_path / "root").mkdir()
    opened = SqlCatalog("default", uri=f"sqlite:///{tmp_path}/root/catalog.db", warehouse=f"file://{tmp_path}/root")
    opened.create_namespace("photos")
    yield opened
    opened.close()


@pytest.fixture
def table(catalog):
    """Three appends, a tag and a branch on the second; a delete of dan by pyiceberg; a fourth append."""
    made = catalog.create_table(FACES, SCHEMA)
    for batch in (["ann", "bob"], ["cid", "dan"]):
        made.append(rows(*batch))
    with made.manage_snapshots() as manage:
        manage.create_tag(made.current_snapshot().snapshot_id, "v1")
        manage.create_branch(made.current_snapshot().snapshot_id, "trial")
    made.append(rows("eve", "fay"))
    made.delete("name == 'dan'")
    made.append(rows("gus", "zoe"))
    return made


@pytest.fixture
def options(tmp_path, table):
    return {"data": "image", "key": "name", "settled_s": "0", "catalog": f"sqlite:///{tmp_path}/root/catalog.db"}


@pytest.fixture
def store(tmp_path, options):
    return open_iceberg(store_id(), str(tmp_path / "root"), options)


def names_in(table, snapshot=None):
    return sorted(table.scan(snapshot_id=snapshot).to_arrow()["name"].to_pylist())


def everything(table):
    """Names in every snapshot."""
    table.refresh()
    return {one.snapshot_id: names_in(table, one.snapshot_id) for one in table.metadata.snapshots}


def bounds(table, root):
    """Every bound of a text column in any manifest below the root, listed or not."""
    found = set()
    for path in Path(root).rglob("*.avro"):
        if path.name.startswith("snap-"):
            continue
        manifest = ManifestFile.from_args(
            manifest_path=str(path), partition_spec_id=0, sequence_number=0, added_snapshot_id=0
        )
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
            for one in (entry.data_file.lower_bounds, entry.data_file.upper_bounds):
                found.add((one or {}).get(1, b"").decode())
    return found


def test_snapshots_tags_and_branches_stay_readable_without_the_rows(store, table):
    before = everything(table)
    gone = {"ann", "dan", "zoe"}
    outcome = store.erase(FACES, [Target(name) for name in sorted(gone)])
    assert set(outcome.erased) == gone
    after = everything(table)
    for snapshot, names in before.items():
        assert after[snapshot] == [name for name in names if name not in gone]
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus"]
    for ref in ("v1", "trial"):
        assert names_in(table, table.metadata.refs[ref].snapshot_id) == ["bob", "cid"]
    assert "now read without them" in outcome.notes[0]
    assert any("tag v1" in held.name for held in store.history(FACES))


def test_no_manifest_holds_the_value_of_an_erased_row(store, table, tmp_path):
    assert {"ann", "dan", "zoe"} <= bounds(table, tmp_path)
    store.erase(FACES, [Target("ann"), Target("dan"), Target("zoe")])
    assert not {"ann", "dan", "zoe"} & bounds(table, tmp_path)
    assert {"bob", "gus"} <= bounds(table, tmp_path)


def test_a_partition_directory_named_after_a_person_goes(catalog, store, tmp_path):
    made = catalog.create_table("photos.parts", SCHEMA)
    with made.update_spec() as change:
        change.add_identity("name")
    made.append(rows("ann", "bob"))
    made.append(rows("ann", "cid"))
    assert list(tmp_path.rglob("name=ann"))
    assert store.erase("photos.parts", [Target("ann")]).erased == ("ann",)
    assert not list(tmp_path.rglob("name=ann"))
    assert set(map(tuple, everything(made).values())) == {("bob",), ("bob", "cid")}


def test_renamed_columns_are_found_by_their_ids(catalog, store, table):
    with table.update_schema() as change:
        change.rename_column("name", "who")
    renamed = open_iceberg(
        store_id(),
        store.location,
        {"data": "image", "key": "who", "settled_s": "0", "catalog": store.catalogue.spelled},
    )
    table.append(rows("hal").rename_columns(["who", "image", "age"]))
    assert renamed.erase(FACES, [Target("ann"), Target("hal")]).erased == ("ann", "hal")
    table.refresh()
    assert sorted(table.scan().to_arrow()["who"].to_pylist()) == ["bob", "cid", "eve", "fay", "gus", "zoe"]


def test_another_writer_in_between_loses_nothing(store, table, catalog, monkeypatch):
    commit, waiting = history.commit, [rows("ann", "hal")]

    def late(state, branch, copies, name):
        if waiting and branch == "main":
            catalog.load_table(FACES).append(waiting.pop())
            raise CommitFailedException("another writer was first")
        commit(state, branch, copies, name)

    monkeypatch.setattr(erasing.history, "commit", late)
    assert store.erase(FACES, [Target("ann")]).erased == ("ann",)
    table.refresh()
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus", "hal", "zoe"]
    assert store.probe(FACES, ["ann"]) == ()


def test_snapshots_expired_since_the_plan_leave_orphans_that_go(store, table):
    table.delete("name == 'ann'")
    keep = table.current_snapshot().snapshot_id
    ids = [one.snapshot_id for one in table.metadata.snapshots if one.snapshot_id != keep]
    with table.manage_snapshots() as manage:
        manage.remove_tag("v1").remove_branch("trial")
    table.maintenance.expire_snapshots().by_ids(ids).commit()
    assert store.probe(FACES, ["ann"])
    store.erase(FACES, [Target("ann")])
    assert store.probe(FACES, ["ann"]) == ()
    table.refresh()
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus", "zoe"]


def test_a_young_file_of_no_snapshot_keeps_its_rows(store, table, options):
    orphan = Path(local(table.location()), "data", "orphan.parquet")
    pq.write_table(rows("ann"), orphan)
    patient = open_iceberg(store_id(), store.location, {**options, "settled_s": "3600"})
    (kept,) = patient.erase(FACES, [Target("ann")]).kept
    assert "orphan" in kept.reason and "commit" in kept.reason
    assert store.erase(FACES, [Target("ann")]).erased == ("ann",)
    assert not orphan.exists()


def test_without_a_key_rows_are_named_by_their_data(store, table, options):
    keyless = open_iceberg(store_id(), store.location, {k: v for k, v in options.items() if k != "key"})
    name = hashlib.sha256(image_of("bob")).hexdigest()
    assert keyless.read(FACES, name) == image_of("bob")
    assert keyless.erase(FACES, [Target(name)]).erased == (name,)
    assert all("bob" not in names for names in everything(table).values())


def test_a_data_file_cut_off_keeps_every_target(store, table):
    victim = sorted(Path(store.location).rglob("*.parquet"))[0]
    os.truncate(victim, 100)
    outcome = store.erase(FACES, [Target("zoe"), Target("ann")])
    assert not outcome.erased and victim.name in outcome.kept[0].reason
    assert any(isinstance(found, Skipped) for found in store.scan()) or victim.name not in repr(
        table.scan().plan_files()
    )
    with pytest.raises(StoreError, match="cannot be read"):
        store.probe(FACES, ["ann"])


def test_a_missing_manifest_is_said(store, table):
    Path(local(table.current_snapshot().manifest_list)).unlink()
    (skipped,) = store.scan()
    assert isinstance(skipped, Skipped) and "metadata" in skipped.reason
    assert "metadata" in store.erase(FACES, [Target("ann")]).kept[0].reason


def test_an_absent_catalog_is_never_an_empty_one(store, tmp_path, options):
    gone = open_iceberg(store_id(), store.location, {**options, "catalog": f"sqlite:///{tmp_path}/none.db"})
    with pytest.raises(StoreUnreachable):
        list(gone.scan())
    with pytest.raises(StoreUnreachable):
        gone.erase(FACES, [Target("ann")])
    assert not (tmp_path / "none.db").exists()


def test_only_the_named_table(store, catalog, options):
    catalog.create_table("photos.other", SCHEMA).append(rows("ida"))
    assert {m.object for m in store.scan()} == {FACES, "photos.other"}
    one = open_iceberg(store_id(), store.location, {**options, "table": "photos.other"})
    assert [(m.object, m.selector) for m in one.scan()] == [("photos.other", "ida")]
    assert one.erase(FACES, [Target("ann")]).absent == ("ann",)


def test_options_are_checked(tmp_path):
    with pytest.raises(InvalidValue, match="catalog"):
        open_iceberg(store_id(), str(tmp_path), {})


def test_what_the_commit_wrote_is_on_the_disk(tmp_path, options):
    """pyiceberg flushes no metadata, and SQLite does not say when the flush of its directory failed."""
    store = open_iceberg(store_id(), str(tmp_path / "root"), options)
    metadata = next((tmp_path / "root").rglob("*.metadata.json")).parent
    before = set(metadata.iterdir())
    calls = system_calls(partial(store.erase, FACES, [Target("ann")]))
    new = {str(path) for path in set(metadata.iterdir()) - before}
    assert any(path.endswith(".metadata.json") for path in new)
    assert new <= {call.removeprefix("fsync ") for call in calls}
    assert calls[-1] == f"fsync {tmp_path / 'root'}"
