"""Books on real SQLite files and in a real PostgreSQL server. They are migrated once and copied, for a migration takes longer
than most tests."""

from __future__ import annotations

import shutil

import pytest
from book_writing import open_books, open_url, prepare, url_of

import postgres


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("books") / "books.sqlite"
    prepare(url_of(path))
    return path


@pytest.fixture
def path(template, tmp_path):
    """A file with books that hold a source `panel` and a store `corpus`."""
    return shutil.copy(template, tmp_path / "books.sqlite")


@pytest.fixture(scope="session")
def database_template(server: postgres.Server) -> str:
    """The same as a database."""
    name = server.make()
    prepare(server.url(name))
    return name


@pytest.fixture
def database(server: postgres.Server, database_template):
    """The URL of a database with such books."""
    name = server.make(database_template)
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request):
    """The URL of such books: every test that asks for it runs on both databases."""
    if request.param == "sqlite":
        return url_of(request.getfixturevalue("path"))
    return request.getfixturevalue("database")


@pytest.fixture
def books(url):
    opened = open_url(url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_books(path):
    opened = open_books(path)
    yield opened
    opened.close()
