"""Indexes beside shards name no erased sample, and say what is there; also after a kill between shard and index."""

import csv
import hashlib
import io
import json
import pickle
import re
import shutil
import tarfile
from functools import partial

import pytest
import webdataset

from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.registry import open_store
from unsee.stores.tar.listings import Names, without
from unsee.testing.faults import kill_everywhere

KEYS = ("000", "001", "002")


def shard(path, keys=KEYS, **kw):
    with webdataset.TarWriter(str(path), encoder=False, mtime=0, **kw) as writer:
        for key in keys:
            writer.write({"__key__": key, "jpg": key.encode() * 300, "json": b'{"id": "%s"}' % key.encode()})


def wds2idx(path):
    """As DALI's tool makes it by way of `tarfile`: one line a sample, `ext offset size name` for each component."""
    runs = {}
    with tarfile.open(path) as reader:
        for entry in reader:
            if entry.isreg():
                key, _, extension = entry.name.partition(".")
                runs.setdefault(key, []).append(f"{extension} {entry.offset_data} {entry.size} {entry.name}")
    return f"v1.2 {len(runs)}\n" + "".join(" ".join(run) + "\n" for run in runs.values())


def wids(path, url):
    """An entry as `widsindex create` makes it."""
    with tarfile.open(path) as reader:
        count = len({entry.name.partition(".")[0] for entry in reader if entry.isreg()})
    data = path.read_bytes()
    return {
        "url": url,
        "md5sum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "nsamples": count,
        "filesize": len(data),
    }


def erase(root, *selectors, name="train.tar", mode="in-place"):
    return open_store(StoreId("shards"), "tar", str(root), {"mode": mode}).erase(name, [Target(s) for s in selectors])


@pytest.mark.parametrize("mode", ["in-place", "compact"])
def test_the_index_of_dali_is_what_its_tool_would_make_anew(tmp_path, mode):
    shard(tmp_path / "train.tar")
    (tmp_path / "train.idx").write_text(before := wds2idx(tmp_path / "train.tar"))
    assert not erase(tmp_path, "no-such.jpg", mode=mode).kept
    assert (tmp_path / "train.idx").read_text() == before
    assert erase(tmp_path, "001.jpg", "001.json", mode=mode).erased == ("001.jpg", "001.json")
    after = (tmp_path / "train.idx").read_text()
    assert after == wds2idx(tmp_path / "train.tar")
    assert after.startswith("v1.2 2\n")
    assert "001" not in after.replace("v1.2", "")


def test_an_older_index_of_dali_keeps_its_version(tmp_path):
    shard(tmp_path / "train.tar")
    old = re.sub(r" \S+\.(jpg|json)(?=[ \n])", "", wds2idx(tmp_path / "train.tar")).replace("v1.2", "v1.1")
    (tmp_path / "train.idx").write_text(old)
    erase(tmp_path, "000.jpg", "000.json")
    assert (tmp_path / "train.idx").read_text() == "v1.1 2\n" + "".join(old.splitlines(keepends=True)[2:])


@pytest.mark.parametrize("mode", ["in-place", "compact"])
def test_the_shard_list_of_wids_says_what_is_there(tmp_path, mode):
    (tmp_path / "train").mkdir()
    shard(tmp_path / "train" / "train.tar")
    shard(tmp_path / "train" / "other.tar")
    elsewhere = {"url": "https://example.org/train/train.tar", "md5sum": "0" * 32, "nsamples": 3, "filesize": 5}
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": [wids(tmp_path / "train" / n, f"train/{n}") for n in ("other.tar", "train.tar")] + [elsewhere],
        "name": "faces",
    }
    (tmp_path / "index.json").write_text(json.dumps(index, indent=2))
    erase(tmp_path, "001.jpg", "001.json", name="train/train.tar", mode=mode)
    index["shardlist"][1] = wids(tmp_path / "train" / "train.tar", "train/train.tar")
    assert json.loads((tmp_path / "index.json").read_text()) == index
    assert index["shardlist"][1]["nsamples"] == 2


def test_a_cache_of_wids_with_all_names_is_removed_and_never_loaded(tmp_path):
    shard(tmp_path / "train.tar")
    (tmp_path / "train.tar.index").write_bytes(pickle.dumps((["001.jpg"], [[0, 0]])) + b"not a pickle")
    erase(tmp_path, "001.jpg")
    assert not (tmp_path / "train.tar.index").exists()


def test_listings_lose_the_rows_of_what_went(tmp_path):
    shard(tmp_path / "train.tar")
    rows = [{"key": key, "caption": f"a face, {key} of 3", "file": f"{key}.jpg"} for key in KEYS]
    (tmp_path / "train.json").write_text(json.dumps({"count": 3, "samples": rows, "by": {"001": 5, "002": 6}}))
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["key", "caption", "file"])
        writer.writeheader()
        writer.writerows([*rows, {"key": "x", "caption": 'two\nlines, "quoted"', "file": ""}])
    untouched = (tmp_path / "train.csv").read_text()
    outcome = erase(tmp_path, "001.jpg", "001.json")
    assert outcome.kept == ()
    kept = [row for row in rows if row["key"] != "001"]
    assert json.loads((tmp_path / "train.json").read_text()) == {"count": 2, "samples": kept, "by": {"002": 6}}
    assert [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()] == kept
    assert (tmp_path / "train.csv").read_text() == "".join(
        line for line in untouched.splitlines(keepends=True) if not line.startswith("001")
    )


def test_a_sample_of_which_something_stays_keeps_its_row(tmp_path):
    shard(tmp_path / "train.tar")
    (tmp_path / "train.json").write_text(before := json.dumps([{"key": key} for key in KEYS]))
    assert erase(tmp_path, "001.jpg").kept == ()
    assert (tmp_path / "train.json").read_text() == before
    assert erase(tmp_path, "001.json").kept == ()
    assert json.loads((tmp_path / "train.json").read_text()) == [{"key": "000"}, {"key": "002"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.idx", "v9.9 3\njpg 0 0 001.jpg\n"),
        ("train.json", '{"half": ["001.jpg", '),
        ("train.csv", 'key,file\n"001,001.jpg\n'),
        ("train.json", json.dumps({"note": "see 001.jpg and 002.jpg"})),
    ],
)
def test_an_index_that_is_not_understood_and_names_what_went_is_a_reason(tmp_path, name, text):
    shard(tmp_path / "train.tar")
    (tmp_path / name).write_text(text)
    for _again in range(2):
        (kept,) = erase(tmp_path, "001.jpg").kept
        assert f"but not its index {name!r}" in kept.reason
    store = open_store(StoreId("shards"), "tar", str(tmp_path))
    assert [r.where for r in store.probe("train.tar", ["001.jpg"])] == [f"its name in the index {name}"]
    (tmp_path / name).unlink()
    assert erase(tmp_path, "001.jpg").absent == ("001.jpg",)


def test_files_that_are_no_index_of_the_shard_are_left_alone(tmp_path):
    shard(tmp_path / "train.tar")
    others = {
        "notes.json": '{"see": "001.jpg"}',
        "other.idx": "v9",
        "train_stats.json": '{"count": 3}',
        "broken.json": "{",
    }
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    assert erase(tmp_path, "001.jpg").erased == ("001.jpg",)
    assert {name: (tmp_path / name).read_text() for name in others} == others


@pytest.mark.parametrize("name", ["train.tar", "train.tar.gz"])
def test_a_kill_between_shard_and_index_is_finished_by_the_same_call(tmp_path, name):
    made, root = tmp_path / "made", tmp_path / "root"
    made.mkdir()
    shard(made / name)
    entry = {"url": name, "md5sum": "0" * 32, "nsamples": 3, "filesize": 1}
    (made / "list.json").write_text(json.dumps({"shardlist": [entry]}))
    (made / "train.json").write_text(json.dumps([{"key": key} for key in KEYS]))
    (made / f"{name}.index").write_bytes(b"pickled")
    if name == "train.tar":
        (made / "train.idx").write_text(wds2idx(made / name))

    def reset():
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(made, root)

    reset()
    store = open_store(StoreId("shards"), "tar", str(root))
    call = partial(store.erase, name, [Target("001.jpg"), Target("001.json")])
    expected = None
    for killed in kill_everywhere(call, reset=reset):
        if (root / "train.idx").exists():
            assert re.match(r"v1\.2 [23]\n", (root / "train.idx").read_text()), killed
        assert len(json.loads((root / "train.json").read_text())) in {2, 3}, killed
        assert not call().kept, killed
        assert sorted(path.name for path in root.iterdir()) == sorted(
            {p.name for p in made.iterdir()} - {f"{name}.index"}
        )
        found = {path.name: path.read_bytes() for path in root.iterdir() if path.name != name}
        (listed,) = json.loads(found["list.json"])["shardlist"]
        assert listed == wids(root / name, name), killed
        expected = expected or found
        assert found == expected, killed


def test_names_that_stay_are_never_words_of_what_went():
    names = Names.of([b"a/1.jpg", b"b/2.jpg"], [b"c/1.jpg", b"b/2.json"])
    assert names.words == {"a/1.jpg", "a/1", "b/2.jpg", "2.jpg"}
    assert without("x.json", b'["a/1.jpg", "1.jpg", "b/2"]', names) == b'["1.jpg", "b/2"]'


def test_the_index_of_a_shard_with_two_dots_in_its_name(tmp_path):
    shard(tmp_path / "train.v2.tar")
    for name in ("train.idx", "train.v2.idx", "train.v2.tar.idx"):
        (tmp_path / name).write_text(wds2idx(tmp_path / "train.v2.tar"))
    erase(tmp_path, "001.jpg", name="train.v2.tar")
    for name in ("train.idx", "train.v2.idx", "train.v2.tar.idx"):
        assert (tmp_path / name).read_text() == wds2idx(tmp_path / "train.v2.tar")


def test_an_index_deeper_than_any_real_one_is_a_reason_and_no_crash(tmp_path):
    shard(tmp_path / "train.tar")
    deep = io.StringIO()
    deep.write("[" * 5000 + '"001.jpg"' + "]" * 5000)
    (tmp_path / "train.json").write_text(deep.getvalue())
    assert len(erase(tmp_path, "001.jpg").kept) == 1
