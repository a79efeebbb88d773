"""The files of a store as raw bytes: all of them, whatever they are called, and what cannot be read is said."""

import errno
import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.core.errors import StoreUnreachable
from unsee.stores import rawfiles
from unsee.stores.contract import RawPart, Skipped
from unsee.testing.processes import as_an_ordinary_user


def shown(location):
    """Places and their bytes, in order; a picklable form of what `parts` yields."""
    return [
        (part.where, b"".join(part.pieces)) if isinstance(part, RawPart) else (part.object, part.selector, part.reason)
        for part in rawfiles.parts(str(location))
    ]


def test_every_regular_file_is_shown_also_hidden_ones_in_a_stable_order(tmp_path):
    for name in ("b", "a/.unsee-erasing/x", "a/z", ".hidden/y", "empty"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty" else name.encode())
    assert shown(tmp_path) == [
        ("./b", b"b"),
        ("./empty", b""),
        (".hidden/y", b".hidden/y"),
        ("a/z", b"a/z"),
        ("a/.unsee-erasing/x", b"a/.unsee-erasing/x"),
    ]


def test_a_single_file_is_a_root_too(tmp_path):
    (tmp_path / "index.faiss").write_bytes(b"vectors")
    (tmp_path / "another").write_bytes(b"not asked for")
    assert shown(tmp_path / "index.faiss") == [("./index.faiss", b"vectors")]


def test_names_that_are_no_text_are_spelled(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"\xff\n"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(b"x")
    assert shown(tmp_path) == [("./\\xff\\x0a", b"x")]


def test_links_devices_and_pipes_are_named_never_followed_or_opened(tmp_path):
    (tmp_path / "out").symlink_to("/etc/passwd")
    (tmp_path / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert shown(tmp_path) == [
        (".", "out", "a symbolic link, not a regular file"),
        (".", "pipe", "a fifo, not a regular file"),
        (".", "up", "a symbolic link, not a regular file"),
    ]


def test_what_may_not_be_read_is_said(tmp_path):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "inside").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "secret").chmod(0)
    outcome = as_an_ordinary_user(partial(shown, tmp_path))
    (tmp_path / "closed").chmod(0o700)
    assert outcome.returned == [
        (".", "secret", "Permission denied"),
        ("closed", "", "the directory cannot be listed: Permission denied"),
    ], outcome.words


@pytest.mark.parametrize("absent", ["nothing", "a/b"])
def test_an_absent_root_is_never_an_empty_one(tmp_path, absent):
    with pytest.raises(StoreUnreachable):
        shown(tmp_path / absent)


def test_a_file_larger_than_memory_comes_in_pieces(tmp_path):
    size = 3 * rawfiles.PIECE_BYTES + 5
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    [part] = rawfiles.parts(str(tmp_path))
    lengths = [len(piece) for piece in part.pieces]
    assert sum(lengths) == size
    assert max(lengths) <= rawfiles.PIECE_BYTES


def test_a_disk_that_fails_is_an_error_not_the_end_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x" * 100)

    class Failing:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            os.close(self.file)

        def read(self, _):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdopen", lambda file, *_, **__: Failing(file))
    with pytest.raises(OSError, match="Input/output error"):
        shown(tmp_path)


def test_what_goes_while_it_is_listed_is_not_there(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "deep").mkdir()
    parts = rawfiles.parts(str(tmp_path))
    assert next(parts).where == "./a"
    (tmp_path / "b").unlink()
    (tmp_path / "deep").rmdir()
    assert [part.where for part in parts] == ["./c"]


def test_nothing_stays_open(tmp_path):
    for n in range(20):
        (tmp_path / str(n)).write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    shown(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


names = st.lists(st.sampled_from(["a", "b", ".c", "d e"]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=40, deadline=None)
@given(tree=st.dictionaries(names, st.binary(max_size=50), max_size=8))
def test_the_parts_of_any_tree_are_its_files(tree, tmp_path_factory):
    root: Path = tmp_path_factory.mktemp("tree")
    planted = {}
    for name, data in tree.items():
        path = root / name
        if any(above.is_file() for above in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        planted[name if "/" in name else f"./{name}"] = data
    found = shown(root)
    assert dict(found) == planted
    assert len(found) == len(planted)
    assert found == shown(root)
    assert not any(isinstance(part, Skipped) for part in rawfiles.parts(str(root)))
