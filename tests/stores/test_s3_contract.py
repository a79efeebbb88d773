"""The S3 store through the contract suite: in a bucket with versions, each key written twice, and in one without."""

import json
from contextlib import suppress

import pytest

from s3_endpoint import Endpoint
from unsee.stores.registry import open_store
from unsee.stores.s3.keys import key_of, name_of
from unsee.testing.contract_faults import FaultContract
from unsee.testing.contract_members import MembersContract
from unsee.testing.contract_residue import ResidueContract
from unsee.testing.faults import WRITES
from unsee.testing.stores import store_id


class S3Harness:
    objects = ("people/ann/ü \\\\ deep/\\../\\_/\\.", ".")
    kills = 4
    writes = WRITES | {"socket.socket.sendall", "socket.socket.send"}
    escapes = (
        (".", "../passwd"),
        (".", ".."),
        (".", "."),
        (".", ""),
        ("people/ann", "/etc/passwd"),
        ("people/ann", "deep/alpha.jpg"),
        ("people/ann", "nul\0.jpg"),
        ("people/ann", "\\x2e\\x2e"),
        ("people/ann", "\\x2f"),
        ("people/ann", "\\xff"),
        ("people/ann", "\\x61lpha.jpg"),
        ("people/ann", "lone \udcff surrogate"),
        ("..", "alpha.jpg"),
        ("people/../..", "alpha.jpg"),
        ("/etc", "passwd"),
        ("", "alpha.jpg"),
        ("people//ann", "alpha.jpg"),
        ("people/ann/", "alpha.jpg"),
        ("./people", "alpha.jpg"),
    )

    def __init__(self, endpoint, *, versions):
        self.endpoint, self.versions, self.made = endpoint, versions, []
        self.client = endpoint.client

    def make(self, at):
        bucket = self.endpoint.make(versions=self.versions, lock=bool(self.versions))
        self.made.append(bucket)
        for beside in ("corpus", "corpus2/alpha.jpg", "corpus-2/people/ann/alpha.jpg", "alpha.jpg"):
            self.client.put_object(Bucket=bucket, Key=beside, Body=b"not of this store")
        return open_store(
            store_id(), "s3", f"s3://{bucket}/corpus", {"endpoint": self.endpoint.url, "concurrency": "3"}
        )

    def put(self, store, object_name, selector, data):
        key = "corpus/" + key_of(object_name, selector)
        for _ in range(2 if self.versions else 1):
            self.client.put_object(Bucket=store.place.bucket, Key=key, Body=data)

    def raw_finds(self, store, marker):
        found = []
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=store.place.bucket):
            for entry in page.get("Versions", ()):
                which = {"Bucket": store.place.bucket, "Key": entry["Key"], "VersionId": entry["VersionId"]}
                if marker in self.client.get_object(**which)["Body"].read():
                    found.append(f"{entry['Key']} {entry['VersionId']}")
        return found

    def take_root_away(self, store):
        self.endpoint.empty(store.place.bucket)
        self.made.remove(store.place.bucket)

    def deny(self, store, object_name):
        """Keys of the object may be read and listed; they may not be deleted."""
        resource = [f"arn:aws:s3:::{store.place.bucket}/*"]
        rule = {"Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteObject"], "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        self.client.put_bucket_policy(Bucket=store.place.bucket, Policy=policy)
        return lambda: self.client.delete_bucket_policy(Bucket=store.place.bucket)

    def foreign_contents(self, store):
        found = {}
        client = Endpoint(store.place.endpoint).client
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=store.place.bucket, Prefix="corpus/"):
            for entry in page.get("Contents", ()):
                with suppress(client.exceptions.NoSuchKey):
                    data = client.get_object(Bucket=store.place.bucket, Key=entry["Key"])["Body"].read()
                    found[name_of(entry["Key"].removeprefix("corpus/"))] = data
        return found

    def __getstate__(self):
        return {**self.__dict__, "client": None, "endpoint": None}


class LockingHarness(S3Harness):
    def hold(self, store, object_name, selector):
        key = "corpus/" + key_of(object_name, selector)
        self.client.put_object_legal_hold(Bucket=store.place.bucket, Key=key, LegalHold={"Status": "ON"})


class TestS3WithVersions(MembersContract, ResidueContract):
    @pytest.fixture
    def harness(self, s3):
        yield from harness_of(LockingHarness(s3, versions=True))


@pytest.mark.slow
class TestS3UnderFaults(FaultContract):
    """Minutes: each kill and each fault takes a bucket, a client and some hundred requests anew."""

    @pytest.fixture
    def harness(self, s3):
        yield from harness_of(S3Harness(s3, versions=True))


class TestS3WithoutVersions(MembersContract, ResidueContract):
    @pytest.fixture
    def harness(self, s3):
        yield from harness_of(S3Harness(s3, versions=None))


def harness_of(harness):
    yield harness
    for bucket in harness.made:
        assert harness.client.get_object(Bucket=bucket, Key="corpus2/alpha.jpg")["Body"].read() == b"not of this store"
