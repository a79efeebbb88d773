"""Books on real SQLite files. They are migrated once and copied, for a migration takes longer than most tests."""

from __future__ import annotations

import shutil

import pytest
from book_writing import open_books, prepare


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("books") / "books.sqlite"
    prepare(path)
    return path


@pytest.fixture
def path(template, tmp_path):
    """A file with books that hold a source `panel` and a store `corpus`."""
    return shutil.copy(template, tmp_path / "books.sqlite")


@pytest.fixture
def books(path):
    opened = open_books(path)
    yield opened
    opened.close()
