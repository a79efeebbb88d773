"""Empty directories go with the erasure, because their names may name people; nothing else does."""

from pathlib import Path

import pytest

from unsee.core.errors import PathEscape
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.files import FileStore


def test_directories_that_an_erasure_empties_go_up_to_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = tmp_path / "by-name" / "jane doe"
    person.mkdir(parents=True)
    (person / "1.jpg").write_bytes(b"x")
    store = FileStore(StoreId("s"), str(tmp_path))
    store.erase("by-name/jane doe", [Target("1.jpg")])
    flushed: list[int] = []
    monkeypatch.setattr("unsee.stores.emptying.os.fsync", flushed.append)
    assert store.tidy(["by-name/jane doe"]) == ("by-name/jane doe", "by-name")
    assert len(flushed) == 2, "each is gone from the disk"
    assert list(tmp_path.iterdir()) == []
    assert store.tidy(["by-name/jane doe", "."]) == ()


def test_a_directory_that_holds_anything_stays(tmp_path: Path) -> None:
    for name in ("a/full", "a/empty", "b/linked"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/full/kept.jpg").write_bytes(b"x")
    (tmp_path / "b/linked/link").symlink_to(tmp_path / "a")
    store = FileStore(StoreId("s"), str(tmp_path))
    assert store.tidy(["a/full", "a/empty", "a", "b/linked", "b/missing"]) == ("a/empty",)
    assert (tmp_path / "a/full/kept.jpg").read_bytes() == b"x"
    assert (tmp_path / "b/linked/link").is_symlink()


def test_tidying_never_leaves_the_store(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "empty").mkdir(parents=True)
    root.mkdir()
    (root / "way-out").symlink_to(outside)
    store = FileStore(StoreId("s"), str(root))
    for name in ("../outside/empty", "way-out/empty"):
        with pytest.raises(PathEscape):
            store.tidy([name])
    assert (outside / "empty").is_dir()
