"""What erasing from Delta tables promises beyond the contract: history, statistics, other writers, and tables that are not well."""

import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from unsee.core.errors import InvalidValue, StoreError
from unsee.stores import datafiles
from unsee.stores.contract import Member, Skipped, Target
from unsee.stores.delta import erasing, open_delta
from unsee.stores.delta import log as logs
from unsee.stores.rowerasure import Call
from unsee.stores.rows import RowShape
from unsee.testing.stores import store_id

OPTIONS = {"data": "image", "key": "name", "settled_s": "0"}


def image_of(name):
    return hashlib.sha512(name.encode()).digest() * 12


def rows(*names):
    return pa.table({"name": list(names), "image": [image_of(n) for n in names], "age": [len(n) for n in names]})


def names_in(table, version=None):
    return sorted(DeltaTable(str(table), version=version).to_pyarrow_table()["name"].to_pylist())


def finds(root, *needles):
    """Files that hold one of the texts, as they lie or inside Parquet (checkpoints are compressed)."""
    found = set()
    for path in Path(root).rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            if path.suffix == ".parquet":
                text += repr(pq.read_table(path).to_pylist()).encode()
                meta = pq.read_metadata(path)
                for group in range(meta.num_row_groups):
                    for column in range(meta.num_columns):
                        text += str(meta.row_group(group).column(column).statistics).encode()
            found |= {path.name for needle in needles if needle.encode() in text or needle in path.as_posix()}
    return found


@pytest.fixture
def table(tmp_path):
    """Versions 0 to 2 append a file each, version 3 is a checkpoint's, version 4 deletes a row with delta-rs."""
    at = tmp_path / "root" / "faces"
    for batch in (["ann", "bob"], ["cid", "dan"], ["eve", "fay"]):
        write_deltalake(str(at), rows(*batch), mode="append")
    DeltaTable(str(at)).delete("name = 'dan'")
    DeltaTable(str(at)).create_checkpoint()
    write_deltalake(str(at), rows("gus", "zoe"), mode="append")
    return at


@pytest.fixture
def store(table):
    return open_delta(store_id(), str(table.parent), OPTIONS)


def test_past_versions_stay_readable_without_the_rows(store, table):
    before = {version: names_in(table, version) for version in range(5)}
    outcome = store.erase("faces", [Target("ann"), Target("dan"), Target("zoe")])
    assert set(outcome.erased) == {"ann", "dan", "zoe"}
    for version, names in before.items():
        assert names_in(table, version) == [name for name in names if name not in {"ann", "dan", "zoe"}]
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus"]
    assert "now read without them" in outcome.notes[0]
    assert [held.name for held in store.history("faces")] == [f"version {n}" for n in range(5)]


def test_no_log_entry_checkpoint_or_predicate_names_an_erased_value(store, table):
    """ann, dan and zoe are smallest and largest values in statistics; dan is in the predicate of a past delete."""
    assert finds(table, "ann", "dan", "zoe")
    store.erase("faces", [Target("ann"), Target("dan"), Target("zoe")])
    assert not finds(table, "ann", "dan", "zoe")
    assert finds(table, "gus")  # the search does find what is there


def test_a_partition_directory_named_after_a_person_goes(tmp_path):
    at = tmp_path / "faces"
    write_deltalake(str(at), rows("ann", "bob"), partition_by=["name"])
    write_deltalake(str(at), rows("ann", "cid"), mode="append", partition_by=["name"])
    DeltaTable(str(at)).create_checkpoint()
    store = open_delta(store_id(), str(tmp_path), OPTIONS)
    assert sorted(m.selector for m in store.scan()) == ["ann", "bob", "cid"]  # both rows of ann are one member
    assert store.erase("faces", [Target("ann")]).erased == ("ann",)
    assert not finds(tmp_path, "ann")
    assert [names_in(at, version) for version in (0, 1, 2)] == [["bob"], ["bob", "cid"], ["bob", "cid"]]


def test_files_that_hold_none_of_the_rows_are_not_touched(store, table):
    others = {p: p.stat().st_ino for p in table.glob("*.parquet") if "fay" in repr(pq.read_table(p).to_pylist())}
    times = {p.name: p.stat().st_mtime_ns for p in (table / "_delta_log").glob("*.json")}
    store.erase("faces", [Target("ann")])
    assert {p: p.stat().st_ino for p in others} == others
    after = {p.name: p.stat().st_mtime_ns for p in (table / "_delta_log").glob("*.json")}
    assert {name: after[name] for name in times} == times  # time travel goes by these


def test_without_a_key_rows_are_named_by_their_data(table):
    store = open_delta(store_id(), str(table.parent), {"data": "image", "settled_s": "0"})
    name = hashlib.sha256(image_of("bob")).hexdigest()
    assert store.read("faces", name) == image_of("bob")
    assert store.erase("faces", [Target(name)]).erased == (name,)
    assert names_in(table, 0) == ["ann"]
    assert store.probe("faces", [name]) == ()


def test_a_row_that_came_in_between_is_taken_too(store, table, monkeypatch):
    """Another writer commits between our look and our commit: the round begins again and nothing of its work is lost."""
    commit, waiting = logs.commit, [rows("ann", "hal")]

    def late(log, actions):
        if waiting:
            write_deltalake(str(table), waiting.pop(), mode="append")
        return commit(log, actions)

    monkeypatch.setattr(erasing.logs, "commit", late)
    assert store.erase("faces", [Target("ann")]).erased == ("ann",)
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus", "hal", "zoe"]
    assert not [p for p in table.rglob("*.unsee.parquet") if p.name not in repr(DeltaTable(str(table)).file_uris())]


def test_a_writer_that_began_before_gets_a_conflict(store, table):
    late = DeltaTable(str(table))
    store.erase("faces", [Target("ann")])
    with pytest.raises((DeltaError, OSError)):
        late.delete("name = 'bob'")
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus", "zoe"]


def test_rows_that_another_program_deleted_since_the_plan_go_from_history(store, table):
    stamp = store.stamps("faces", ["eve"])[0]
    DeltaTable(str(table)).delete("name = 'eve'")
    outcome = store.erase("faces", [Target("eve", stamp)])
    assert outcome.erased == ("eve",)
    assert not finds(table, "eve")


def test_versions_that_were_vacuumed_since_the_plan_are_no_matter(store, table):
    DeltaTable(str(table)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert store.erase("faces", [Target("ann")]).erased == ("ann",)
    assert names_in(table) == ["bob", "cid", "eve", "fay", "gus", "zoe"]


def test_a_young_file_of_no_version_keeps_its_rows_an_old_one_goes(store, table):
    orphan = table / "part-00000-orphan.parquet"
    pq.write_table(rows("ann", "ida"), orphan)
    patient = open_delta(store_id(), store.location, {**OPTIONS, "settled_s": "3600"})
    (kept,) = patient.erase("faces", [Target("ann")]).kept
    assert "orphan" in kept.reason and "commit" in kept.reason
    assert {found.where for found in store.probe("faces", ["ann"])} == {"current", f"{orphan.name}, of no version"}
    assert store.erase("faces", [Target("ann")]).erased == ("ann",)
    assert not orphan.exists()


def test_deletion_vectors_are_kept_with_a_reason(store, table):
    first = table / "_delta_log" / f"{0:020d}.json"
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    vector = {"storageType": "i", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 1}
    for line in lines:
        if "add" in line:
            line["add"]["deletionVector"] = vector
    first.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = erasing.erase(str(table), store.shape, [Target("ann"), Target("eve")], 0)
    assert outcome.erased == ("eve",)
    assert "deletion vector" in outcome.kept[0].reason


@pytest.mark.parametrize(
    ("change", "words"),
    [({"protocol": {"writerFeatures": ["rowTracking"], "minWriterVersion": 7}}, "rowTracking"),
     ({"metaData": {"configuration": {"delta.appendOnly": "true"}}}, "append-only")],
)  # fmt: skip
def test_tables_that_forbid_it_are_kept(change, words):
    log = logs.Log("t", protocol=change.get("protocol", {}), metadata=change.get("metaData", {}))
    assert words in erasing.why_not(log)
    assert erasing.why_not(logs.Log("t", protocol={"minWriterVersion": 2})) == ""


def test_column_mapping_names_columns_as_the_files_do(tmp_path):
    at = tmp_path / "faces"
    write_deltalake(str(at), rows("ann", "bob").rename_columns(["c1", "c2", "c3"]))
    log = logs.read(str(at))
    fields = json.loads(log.metadata["schemaString"])
    for field, name in zip(fields["fields"], ("name", "image", "age"), strict=True):
        field["metadata"]["delta.columnMapping.physicalName"] = field["name"]
        field["name"] = name
    log.metadata["schemaString"] = json.dumps(fields)
    log.metadata["configuration"] = {"delta.columnMapping.mode": "name"}
    shape = open_delta(store_id(), str(tmp_path), OPTIONS).shape
    file = erasing.data_file(log, shape, next(iter(erasing.all_files(log))))
    assert (file.shape.key, file.shape.data) == ("c1", "c2")


def test_a_damaged_log_is_said_and_nothing_is_lost(store, table):
    before = {p: p.read_bytes() for p in table.rglob("*.parquet") if p.parent == table}
    (table / "_delta_log" / f"{4:020d}.json").write_text('{"add": {"pa')
    (skipped,) = store.scan()
    assert isinstance(skipped, Skipped) and "damaged" in skipped.reason and skipped.object == "faces"
    outcome = store.erase("faces", [Target("ann")])
    assert "damaged" in outcome.kept[0].reason and not outcome.erased
    with pytest.raises(StoreError, match="damaged"):
        store.probe("faces", ["ann"])
    assert {p: p.read_bytes() for p in before} == before


def test_a_data_file_cut_off_keeps_every_target(store, table):
    victim = next(p for p in sorted(table.glob("*.parquet")) if "fay" in repr(pq.read_table(p).to_pylist()))
    os.truncate(victim, 200)
    outcome = store.erase("faces", [Target("ann")])
    assert victim.name in outcome.kept[0].reason
    assert any(isinstance(found, Skipped) and victim.name in found.reason for found in store.scan())
    with pytest.raises(StoreError, match="cannot be read"):
        store.probe("faces", ["ann"])


def test_a_missing_data_file_is_skipped_and_the_rest_goes_on(store, table):
    victim = next(p for p in sorted(table.glob("*.parquet")) if "fay" in repr(pq.read_table(p).to_pylist()))
    victim.unlink()
    assert any(isinstance(found, Skipped) for found in store.scan())
    assert {m.selector for m in store.scan() if isinstance(m, Member)} == {"ann", "bob", "cid", "gus", "zoe"}
    assert store.erase("faces", [Target("ann")]).erased == ("ann",)


def test_statistics_of_a_copy_are_those_of_its_rows(store, table):
    store.erase("faces", [Target("ann")])
    (stats,) = [json.loads(a["stats"]) for p, a in logs.read(str(table)).active.items() if p.endswith(".unsee.parquet")]
    assert stats["numRecords"] == 1
    assert stats["minValues"] == {"name": "bob", "age": 3}


def test_a_copy_holds_no_statistics_of_pictures_and_no_dictionary_of_what_went(tmp_path):
    source, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    table = pa.table(
        {"name": pa.array(["ann", "bob"]).dictionary_encode(), "image": [b"picture of ann", b"picture of bob"]}
    )
    pq.write_table(table, source, compression="none", write_statistics=True)
    file = datafiles.DataFile(str(source), RowShape("image", "name"))
    meta, _stamps = datafiles.copy_without(file, datafiles.look(file, {"ann"}), str(target), ())
    assert b"ann" in source.read_bytes() and b"ann" not in target.read_bytes()
    assert pq.read_table(target)["name"].to_pylist() == ["bob"]
    statistics = [meta.row_group(0).column(n).statistics for n in range(2)]
    assert statistics[0] is not None and statistics[1] is None


def test_checksums_beside_a_file_go_with_it(tmp_path):
    place = tmp_path / "name=ann" / "x.parquet"
    place.parent.mkdir()
    for name in ("x.parquet", ".x.parquet.crc"):
        (place.parent / name).write_bytes(b"x")
    datafiles.remove([str(place)], str(tmp_path))
    assert not place.parent.exists()


def test_several_rows_of_one_key_have_one_stamp_in_any_order():
    assert datafiles.member_stamp(["a", "a"]) == "a"
    assert datafiles.member_stamp(["a", "b"]) == datafiles.member_stamp(["b", "a"]) not in {"a", "b"}


def test_what_contradicts_itself_and_what_is_young_by_either_time_is_left(tmp_path):
    call = Call.of([Target("a", "1"), Target("a", "2"), Target("b", "1"), Target("b", "1")], 3600.0)
    assert call.kept == {"a": "it is listed twice, with different stamps"}
    (tmp_path / "x").write_bytes(b"")
    os.utime(tmp_path / "x", (0, 0))
    assert not call.settled((tmp_path / "x").stat()), "copied with its time just now"


def test_options_are_checked(tmp_path):
    with pytest.raises(InvalidValue, match="settled_s"):
        open_delta(store_id(), str(tmp_path), {"settled_s": "soon"})
    with pytest.raises(InvalidValue, match="no option"):
        open_delta(store_id(), str(tmp_path), {"colour": "red"})
