"""What tests of several rooms share: the small corpus, built once a session, copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_corpus import Corpus, build, copy_of


@pytest.fixture(scope="session")
def built_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small corpus as it was made; do not change it."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def small(built_corpus: Corpus, tmp_path: Path) -> Corpus:
    """A copy of the small corpus that a test may spoil."""
    return copy_of(built_corpus, tmp_path / "small")
