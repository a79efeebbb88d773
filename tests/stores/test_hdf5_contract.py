"""HDF5 through the contract suite: files of h5py, a dataset for each photo, and one dataset of many."""

import pytest
from record_harnesses import Hdf5Harness

from unsee.testing.stores import StoreContract


class TestHdf5Datasets(StoreContract):
    @pytest.fixture
    def harness(self):
        return Hdf5Harness()


class TestHdf5RowsWithZeros(StoreContract):
    @pytest.fixture
    def harness(self):
        return Hdf5Harness(rows=True, zero="true")
