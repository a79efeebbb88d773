"""FAISS and usearch indexes through the contract suite, over files that the libraries wrote."""

import pytest
from vector_harnesses import NAMES, FaissHarness, UsearchHarness, finite

from unsee.testing.stores import StoreContract


class VectorContract(StoreContract):
    names = NAMES

    def data(self, object_name, selector, length=700):
        return finite(object_name, selector, length)


class TestFaissFlatWithIds(VectorContract):
    @pytest.fixture
    def harness(self):
        return FaissHarness("IDMap2,Flat")


@pytest.mark.slow
class TestFaissFlatOverwritten(VectorContract):
    @pytest.fixture
    def harness(self):
        return FaissHarness("IDMap,Flat", overwrite="true")


class TestFaissInvertedLists(VectorContract):
    @pytest.fixture
    def harness(self):
        return FaissHarness("IVF2,Flat", trained=80)


class TestFaissGraph(VectorContract):
    @pytest.fixture
    def harness(self):
        return FaissHarness("IDMap,HNSW8")


class TestUsearch(VectorContract):
    @pytest.fixture
    def harness(self):
        return UsearchHarness()


@pytest.mark.slow
class TestUsearchOverwritten(VectorContract):
    @pytest.fixture
    def harness(self):
        return UsearchHarness(overwrite="true")
