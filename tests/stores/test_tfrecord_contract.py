"""TFRecord and RecordIO through the contract suite: files of the package `tfrecord`, and of MXNet's documented framing."""

import gzip
from functools import partial

import pytest
from record_harnesses import RecordIoHarness, TfRecordHarness

from unsee.testing.stores import StoreContract


class TestTfRecord(StoreContract):
    @pytest.fixture
    def harness(self):
        return TfRecordHarness()


class TestTfRecordCompressedWithZeros(StoreContract):
    @pytest.fixture
    def harness(self):
        return TfRecordHarness(partial(gzip.compress, mtime=0), zero="true")


class TestRecordIo(StoreContract):
    names = ("11", "12", "13", "9223372036854775807")

    @pytest.fixture
    def harness(self):
        return RecordIoHarness()
