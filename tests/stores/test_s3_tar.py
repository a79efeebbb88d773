"""Tar shards under keys: through the contract suite, and what is theirs alone. Shards are written by webdataset."""

import io
import tarfile

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from s3_endpoint import Endpoint, error, gate
from unsee.stores.contract import Member, Target
from unsee.stores.registry import open_store
from unsee.stores.s3 import parts, rewriting
from unsee.testing.contract_members import MembersContract
from unsee.testing.contract_residue import ResidueContract
from unsee.testing.stores import contents, store_id, targets_of


class S3TarHarness:
    objects = ("train/000000.tar", "val ü.tar")
    escapes = (
        ("train/000000.tar", ""),
        ("train/000000.tar", "\\x61lpha.jpg"),
        ("train/../000000.tar", "alpha.jpg"),
        ("/train.tar", "alpha.jpg"),
        ("", "alpha.jpg"),
    )

    def __init__(self, endpoint):
        self.endpoint, self.client = endpoint, endpoint.client

    def make(self, at):
        bucket = self.endpoint.make()
        location = f"s3://{bucket}/corpus"
        return open_store(store_id(), "s3", location, {"endpoint": self.endpoint.url, "tar": "true"})

    def put(self, store, object_name, selector, data):
        where = {"Bucket": store.place.bucket, "Key": "corpus/" + object_name}
        held = {}
        if "Contents" in self.client.list_objects_v2(Bucket=where["Bucket"], Prefix=where["Key"]):
            held = members_of(self.client.get_object(**where)["Body"].read())
        self.client.put_object(**where, Body=shard(held | {selector: data}))

    def raw_finds(self, store, marker):
        found = []
        for entry in self.client.list_object_versions(Bucket=store.place.bucket).get("Versions", ()):
            which = {"Bucket": store.place.bucket, "Key": entry["Key"], "VersionId": entry["VersionId"]}
            if marker in self.client.get_object(**which)["Body"].read():
                found.append(f"{entry['Key']} {entry['VersionId']}")
        return found

    def take_root_away(self, store):
        self.endpoint.empty(store.place.bucket)

    def foreign_contents(self, store):
        client = Endpoint(store.place.endpoint).client
        found = {}
        for name in self.objects:
            body = client.get_object(Bucket=store.place.bucket, Key="corpus/" + name)["Body"].read()
            found |= {(name, member): data for member, data in members_of(body).items()}
        return found

    def __getstate__(self):
        return {**self.__dict__, "client": None, "endpoint": None}


def shard(members):
    out = io.BytesIO()
    with webdataset.TarWriter(out, mtime=0) as sink:
        for name, data in members.items():
            key, _, extension = name.partition(".")
            sink.write({"__key__": key, extension: data})
    return out.getvalue()


def members_of(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}


class TestS3TarStore(MembersContract, ResidueContract):
    @pytest.fixture
    def harness(self, s3):
        return S3TarHarness(s3)


@given(
    st.lists(st.integers(1, 40 << 20), min_size=1, max_size=12),
    st.integers(0, 1),
)
def test_parts_hold_what_stays_in_order_and_none_is_too_short(lengths, first):
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    cuts = list(zip([0, *ends], ends, strict=False))
    going, stay = cuts[first::2], cuts[1 - first :: 2]
    assert parts.staying(ends[-1], going) == stay
    made = parts.parts(stay)
    flat = [r for part in made for r in part.ranges]
    joined = []
    for start, end in flat:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    assert joined == stay
    assert all(part.size_bytes >= parts.LEAST_BYTES for part in made[:-1])
    assert all(part.through or len(part.ranges) == 1 for part in made)


@pytest.fixture
def large(s3):
    """A shard of 24 MB, whose parts the service copies."""
    bucket = s3.make()
    held = {f"{n:03d}.jpg": bytes([n]) * (3 << 20) for n in range(8)}
    s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=shard(held), ContentType="x/y", Metadata={"a": "b"})
    return bucket, held


def store_at(endpoint, bucket):
    return open_store(store_id(), "s3", f"s3://{bucket}/c", {"endpoint": endpoint.url, "tar": "true"})


def test_a_large_shard_is_copied_by_the_service(s3, large):
    bucket, held = large
    with gate(s3) as passing:
        store = store_at(passing, bucket)
        targets = targets_of(store, "x.tar", ["004.jpg"])
        scanned = passing.received_bytes
        outcome = store.erase("x.tar", targets)
        assert outcome.erased == ("004.jpg",)
        assert scanned < 400_000, "a scan reads headers, not the shard"
        assert passing.sent_bytes < 1 << 20, "12 MB before and 9 behind are copied by the service"
    store = store_at(s3, bucket)
    assert {name: data for (_, name), data in contents(store).items()} == {
        name: data for name, data in held.items() if name != "004.jpg"
    }
    seen = s3.client.head_object(Bucket=bucket, Key="c/x.tar")
    assert (seen["ContentType"], seen["Metadata"]) == ("x/y", {"a": "b"})
    assert len(s3.client.list_object_versions(Bucket=bucket)["Versions"]) == 1
    assert store.probe("x.tar", ["004.jpg"]) == ()


def test_an_upload_that_was_killed_is_aborted_by_the_next_call(s3, large, monkeypatch):
    bucket, _ = large
    store = store_at(s3, bucket)
    targets = targets_of(store, "x.tar", ["004.jpg"])
    monkeypatch.setattr(rewriting, "_if_unchanged", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.erase("x.tar", targets)
    assert len(s3.client.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
    assert "unfinished upload" in store.probe("x.tar", ["004.jpg"])[0].where
    monkeypatch.undo()
    assert store.erase("x.tar", targets).erased == ("004.jpg",)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=bucket)


def test_a_shard_that_is_written_meanwhile_is_kept(s3):
    bucket = s3.make()
    s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=shard({"a.jpg": b"a" * 99, "b.jpg": b"b" * 99}))
    other = shard({"c.jpg": b"c" * 99})
    with gate(s3) as passing:
        store = store_at(passing, bucket)

        def write(asked):
            if asked.method == "PUT":
                s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=other)

        passing.rules.append(write)
        (kept,) = store.erase("x.tar", [Target("a.jpg")]).kept
    assert "PreconditionFailed" in kept.reason
    assert s3.client.get_object(Bucket=bucket, Key="c/x.tar")["Body"].read() == other


def test_older_versions_go_only_where_they_hold_a_target_and_a_locked_one_is_held(s3):
    bucket = s3.make(lock=True)
    put = lambda held: s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=shard(held))["VersionId"]  # noqa: E731
    a, b, c = ({f"{n}.jpg": n.encode() * 700} for n in "abc")
    without, locked, _ = put(b), put(a | b), put(a | b | c)
    hold = {"Bucket": bucket, "Key": "c/x.tar", "VersionId": locked}
    s3.client.put_object_legal_hold(**hold, LegalHold={"Status": "ON"})
    store = store_at(s3, bucket)
    (kept,) = store.erase("x.tar", [Target("a.jpg")]).kept
    assert kept.held and locked in kept.reason and "legal hold" in kept.reason
    assert {v.name: v.removable for v in store.history("x.tar")} == {
        f"version {without}": True,
        f"version {locked}": False,
    }
    s3.client.put_object_legal_hold(**hold, LegalHold={"Status": "OFF"})
    assert store.erase("x.tar", [Target("a.jpg")]).erased == ("a.jpg",)
    assert [v.name for v in store.history("x.tar")] == [f"version {without}"]
    assert {m.selector for m in store.scan() if isinstance(m, Member)} == {"b.jpg", "c.jpg"}


def test_a_broken_shard_is_said_and_kept_as_it_is(s3):
    bucket = s3.make()
    cut = shard({"a.jpg": b"a" * 2000, "b.jpg": b"b" * 2000})[:3500]
    s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=cut)
    store = store_at(s3, bucket)
    *_, skipped = store.scan()
    assert "cut off" in skipped.reason
    outcome = store.erase("x.tar", [Target("a.jpg"), Target("b.jpg")])
    assert {k.selector for k in outcome.kept} == {"a.jpg", "b.jpg"} and not outcome.erased
    assert s3.client.get_object(Bucket=bucket, Key="c/x.tar")["Body"].read() == cut


def test_an_endpoint_without_conditions_is_looked_at_just_before(s3):
    bucket = s3.make()
    s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=shard({"a.jpg": b"a" * 99, "b.jpg": b"b" * 99}))
    with gate(s3) as passing:
        times = []

        def no_conditions(asked):
            if asked.method == "PUT" and not times:
                times.append(1)
                return error("NotImplemented", status=501)
            return None

        passing.rules.append(no_conditions)
        assert store_at(passing, bucket).erase("x.tar", [Target("a.jpg")]).erased == ("a.jpg",)


def test_members_of_versions_that_are_not_current_are_found_and_erased(s3):
    """A shard was written again without a photo, another one deleted: both keep it (R6)."""
    bucket = s3.make()
    a, b, c = ({f"{n}.jpg": n.encode() * 700} for n in "abc")
    for key, held in (("c/x.tar", a | b), ("c/x.tar", b | c), ("c/y.tar", a)):
        s3.client.put_object(Bucket=bucket, Key=key, Body=shard(held))
    s3.client.delete_object(Bucket=bucket, Key="c/y.tar")
    store = store_at(s3, bucket)
    places = sorted((m.object.partition("@")[0], m.selector, m.object) for m in store.scan())
    assert [place[:2] for place in places] == [
        ("x.tar", "b.jpg"),
        ("x.tar", "c.jpg"),
        ("x.tar\\", "a.jpg"),
        ("y.tar\\", "a.jpg"),
    ]
    for older in (places[2][2], places[3][2]):
        assert store.read(older, "a.jpg") == a["a.jpg"]
        targets = targets_of(store, older, ["a.jpg"])
        assert targets[0].stamp and store.probe(older, ["a.jpg"])
        outcome = store.erase(older, targets)
        assert outcome.erased == ("a.jpg",) and store.probe(older, ["a.jpg"]) == ()
        assert outcome.notes == (
            ("Versions of shards that readers did not get were deleted as a whole, with another member.",)
            if older.startswith("x")
            else ()
        )
        assert store.erase(older, targets).absent == ("a.jpg",)
    assert {(m.object, m.selector) for m in store.scan()} == {("x.tar", "b.jpg"), ("x.tar", "c.jpg")}


def test_a_content_that_is_current_again_is_no_absence(s3):
    bucket = s3.make()
    one, other = shard({"a.jpg": b"a" * 700}), shard({"b.jpg": b"b" * 700})
    for body in (one, other):
        s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=body)
    store = store_at(s3, bucket)
    (older,) = {m.object for m in store.scan()} - {"x.tar"}
    targets = targets_of(store, older, ["a.jpg"])
    s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=one)
    (kept,) = store.erase(older, targets).kept
    assert "current again" in kept.reason
    assert store.read("x.tar", "a.jpg") == b"a" * 700


def test_small_members_are_read_with_their_headers(s3):
    """A request for each of them would wait longer than their bytes take."""
    bucket = s3.make()
    held = {f"{n:03d}.jpg": bytes([n]) * (60 << 10) for n in range(200)}
    s3.client.put_object(Bucket=bucket, Key="c/x.tar", Body=shard(held))
    with gate(s3) as passing:
        store = store_at(passing, bucket)
        assert [m.selector for m in store.scan()] == list(held)
        assert len(passing.asked) < 10
