"""LMDB through the contract suite: environments of the library itself, in a directory and in one file."""

import pytest
from record_harnesses import LmdbHarness

from unsee.testing.stores import StoreContract


class TestLmdb(StoreContract):
    @pytest.fixture
    def harness(self):
        return LmdbHarness()


class TestLmdbDatabaseOfANameWithZeros(StoreContract):
    names = ("images/alpha.jpg", "images/beta.jpg", "images/gamma.jpg", "images/delta.jpg")

    @pytest.fixture
    def harness(self):
        harness = LmdbHarness("images", zero="true")
        harness.siblings = ("images/alpha.json",)
        return harness
