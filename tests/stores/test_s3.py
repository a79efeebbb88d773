"""What S3 keeps beyond the current version of a key, what a lock holds, and answers that are not what they seem (R6)."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_endpoint import Endpoint, error, gate
from unsee.core.errors import InvalidValue, MissingExtra, PathEscape, StoreError, StoreUnreachable
from unsee.stores.contract import RawPart, Skipped, Target
from unsee.stores.registry import open_store
from unsee.stores.s3 import asking, erasing, versions
from unsee.stores.s3.keys import key_of, name_of
from unsee.testing.stores import store_id, targets_of

PHOTO = b"the photo that must go " * 9


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(asking, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def client(s3):
    return s3.client


@pytest.fixture
def locking(s3):
    return s3.make(lock=True)


def store_at(endpoint, bucket, prefix="c", **options):
    return open_store(store_id(), "s3", f"s3://{bucket}/{prefix}", {"endpoint": endpoint.url, **options})


def put(client, bucket, key, data=PHOTO, times=1):
    return [client.put_object(Bucket=bucket, Key=key, Body=data).get("VersionId") for _ in range(times)]


def under(client, bucket, key):
    """What is left under one key: versions, markers, uploads."""
    said = client.list_object_versions(Bucket=bucket, Prefix=key)
    loads = client.list_multipart_uploads(Bucket=bucket, Prefix=key)
    kinds = ((said, "Versions", "VersionId"), (said, "DeleteMarkers", "VersionId"), (loads, "Uploads", "UploadId"))
    return tuple([e[name] for e in answer.get(kind, ()) if e["Key"] == key] for answer, kind, name in kinds)


@given(st.text(st.characters(codec="utf-8")))
def test_every_key_has_one_name_and_the_name_leads_back(key):
    assert key_of(*name_of(key)) == key


@given(st.text(alphabet="/.\\_xe2a\x01", max_size=8), st.text(alphabet="/.\\_xe2a\x01", max_size=5))
def test_every_name_is_one_keys_or_refused(object_name, selector):
    try:
        key = key_of(object_name, selector)
    except PathEscape:
        return
    assert name_of(key) == (object_name, selector)


def test_names_of_odd_keys_can_be_read():
    assert name_of("a/b/") == ("a/b", "\\_")
    assert name_of("a//x.jpg") == ("a/\\_", "x.jpg")
    assert name_of("../x.jpg") == ("\\..", "x.jpg")
    assert name_of("x\x01.jpg") == (".", "x\\x01.jpg")


def test_bad_places_and_options_are_refused(monkeypatch):
    for location in ("bucket/prefix", "s3://", "s3:///prefix", "https://bucket"):
        with pytest.raises(InvalidValue, match="bucket"):
            open_store(store_id(), "s3", location)
    for options in (
        {"endpoint": "ftp://x"},
        {"endpoint": "http://user:secret@host"},
        {"concurrency": "0"},
        {"concurrency": "65"},
        {"concurrency": "four"},
        {"colour": "red"},
    ):
        with pytest.raises(InvalidValue) as caught:
            open_store(store_id(), "s3", "s3://b/p", options)
        assert "secret" not in str(caught.value)
    monkeypatch.setattr("unsee.stores.s3.find_spec", lambda name: None)
    with pytest.raises(MissingExtra):
        open_store(store_id(), "s3", "s3://b/p")


def test_a_prefix_ends_at_a_slash(s3, client):
    bucket = s3.make()
    put(client, bucket, "c/x.jpg")
    put(client, bucket, "cc/x.jpg")
    assert [m.object for m in store_at(s3, bucket).scan()] == ["."]


def test_versions_from_each_time_of_a_bucket_go(s3, client):
    """Written before versions were kept, while they were, while that was suspended: and each marker."""
    bucket = s3.make(versions=None)
    put(client, bucket, "c/x.jpg")
    for status in ("Enabled", "Suspended"):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        put(client, bucket, "c/x.jpg", times=2)
        if status == "Enabled":  # moto cannot put a marker where versioning is suspended
            client.delete_object(Bucket=bucket, Key="c/x.jpg")
    put(client, bucket, "c/x.jpg.not", b"another key that begins so")
    store = store_at(s3, bucket)
    outcome = store.erase(".", targets_of(store, ".", ["x.jpg"]))
    assert outcome.erased == ("x.jpg",)
    assert under(client, bucket, "c/x.jpg") == ([], [], [])
    assert store.read(".", "x.jpg.not") == b"another key that begins so"


def test_a_marker_alone_is_no_photo_and_goes_too(s3, client):
    bucket = s3.make()
    client.delete_object(Bucket=bucket, Key="c/x.jpg")
    store = store_at(s3, bucket)
    assert (list(store.scan()), store.probe(".", ["x.jpg"])) == ([], ())
    assert store.erase(".", [Target("x.jpg")]).absent == ("x.jpg",)
    assert under(client, bucket, "c/x.jpg") == ([], [], [])


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_locked_older_version_is_held_and_hidden_and_the_others_go(s3, client, locking, mode):
    old, middle, _current = put(client, locking, "c/x.jpg", times=3)
    put(client, locking, "c/y.jpg")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    client.put_object_retention(
        Bucket=locking, Key="c/x.jpg", VersionId=old, Retention={"Mode": mode, "RetainUntilDate": until}
    )
    store = store_at(s3, locking)
    targets = targets_of(store, ".", ["x.jpg", "y.jpg"])
    assert {v.name: v.removable for v in store.history(".")} == {
        f"x.jpg version {old}": False,
        f"x.jpg version {middle}": True,
    }
    for again in range(2):
        outcome = store.erase(".", targets)
        (kept,) = outcome.kept
        assert kept.held and mode in kept.reason and f"{until:%Y-%m-%dT%H:%M:%SZ}" in kept.reason and old in kept.reason
        assert (outcome.erased, outcome.absent) == (((), ("y.jpg",)) if again else (("y.jpg",), ()))
        left, markers, _ = under(client, locking, "c/x.jpg")
        assert left == [old] and len(markers) == 1
    with pytest.raises(StoreError, match="cannot be read"):
        store.read(".", "x.jpg")
    (hidden,) = store.scan()
    assert hidden.selector.startswith("x.jpg\\@") and hidden.stamp == targets[0].stamp
    assert [r.where for r in store.probe(".", [hidden.selector])] == [f"version {old}"]


def test_when_a_hold_ends_the_same_call_finishes(s3, client, locking):
    (version,) = put(client, locking, "c/x.jpg")
    hold = {"Bucket": locking, "Key": "c/x.jpg", "VersionId": version}
    client.put_object_legal_hold(**hold, LegalHold={"Status": "ON"})
    store = store_at(s3, locking)
    targets = targets_of(store, ".", ["x.jpg"])
    (kept,) = store.erase(".", targets).kept
    assert kept.held and "legal hold" in kept.reason
    assert store.read(".", "x.jpg") == PHOTO, "what a hold protects is left as it is"
    client.put_object_legal_hold(**hold, LegalHold={"Status": "OFF"})
    assert store.erase(".", targets).erased == ("x.jpg",)


def test_unfinished_uploads_are_seen_and_aborted(s3, client):
    bucket = s3.make()
    for key in ("c/x.jpg", "c/never-finished.jpg", "c/other.jpg"):
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=PHOTO)
    put(client, bucket, "c/x.jpg")
    store = store_at(s3, bucket)
    assert {s.selector for s in store.raw() if isinstance(s, Skipped)} == {"x.jpg", "never-finished.jpg", "other.jpg"}
    assert sum(isinstance(s, RawPart) for s in store.raw()) == 1
    assert sum("unfinished" in v.name for v in store.history(".")) == 3
    assert "unfinished upload" in store.probe(".", ["never-finished.jpg"])[0].where
    outcome = store.erase(".", [Target("x.jpg"), Target("never-finished.jpg")])
    assert set(outcome.erased) == {"x.jpg", "never-finished.jpg"}
    assert under(client, bucket, "c/never-finished.jpg")[2] == under(client, bucket, "c/x.jpg")[2] == []
    assert len(under(client, bucket, "c/other.jpg")[2]) == 1


def test_many_keys_go_in_batches_and_are_looked_for_in_jumps(s3, client, monkeypatch):
    bucket = s3.make()
    names = [f"{n:03d}.jpg" for n in range(40)]
    for name in names:
        put(client, bucket, f"c/{name}", name.encode())
    monkeypatch.setattr(erasing, "BATCH", 7)
    monkeypatch.setattr(versions, "IN_ONE_GO", 5)
    going = names[::2]
    with gate(s3) as passing:
        store = store_at(passing, bucket)
        outcome = store.erase(".", [Target(name) for name in going])
        assert set(outcome.erased) == set(going)
        batches = [a.body.count(b"<Key>") for a in passing.asked if a.method == "POST"]
    assert sorted(batches) == [6, 7, 7]
    assert [m.selector for m in store_at(s3, bucket).scan()] == names[1::2]


def test_pages_of_any_length_show_every_version(s3, client, monkeypatch):
    bucket = s3.make()
    keys = [f"c/{name}" for name in ("a", "a/b", "a/b/c", "a/d", "b", "b.jpg", "z")]
    for key in keys:
        put(client, bucket, key, times=3)
    plain = asking.ask
    monkeypatch.setattr(
        versions, "ask", lambda p, o, **k: plain(p, o, **(k | {"MaxKeys": 2} if o == "list_object_versions" else k))
    )
    place = store_at(s3, bucket).place
    assert [v.key for v in versions.under(place, "c/")] == [key for key in keys for _ in range(3)]
    for wanted in (keys, keys[:1], keys[2:3], keys[-1:], [keys[0], keys[3], "c/absent", keys[6]]):
        found = versions.of_keys(place, wanted, "c/")
        assert {key: len(some) for key, some in found.items()} == {key: 3 for key in wanted if key in keys}
    store = store_at(s3, bucket)
    assert [(m.object, m.selector) for m in store.scan()] == [
        (".", "a"),
        (".", "b"),
        (".", "b.jpg"),
        (".", "z"),
        ("a", "b"),
        ("a", "d"),
        ("a/b", "c"),
    ]


def test_a_busy_service_is_asked_again(s3, client):
    bucket = s3.make()
    put(client, bucket, "c/x.jpg", times=2)
    put(client, bucket, "c/y.jpg", times=2)
    with gate(s3) as passing:
        times = {}

        def busy(asked):
            what = (asked.method, re.sub(r"[a-z]+=[^&]*", "", asked.path))
            times[what] = times.get(what, 0) + 1
            if times[what] == 1 or (asked.method == "POST" and times[what] == 2):
                return error("SlowDown", "Please reduce your request rate.")
            if asked.method == "POST" and times[what] == 3:  # HTTP 200, and nothing was done
                entries = re.findall(rb"<Object>(.*?)</Object>", asked.body)
                said = b"".join(b"<Error>" + e + b"<Code>InternalError</Code></Error>" for e in entries)
                return 200, b"<DeleteResult>" + said + b"</DeleteResult>"
            return None

        passing.rules.append(busy)
        outcome = store_at(passing, bucket).erase(".", [Target("x.jpg"), Target("y.jpg")])
    assert set(outcome.erased) == {"x.jpg", "y.jpg"}
    assert under(client, bucket, "c/x.jpg") == ([], [], [])


def test_a_service_that_is_always_busy_keeps_the_member_and_says_so(s3, client):
    bucket = s3.make()
    put(client, bucket, "c/x.jpg")
    with gate(s3) as passing:
        passing.rules.append(lambda asked: error("SlowDown", "Please wait.") if asked.method == "DELETE" else None)
        (kept,) = store_at(passing, bucket).erase(".", [Target("x.jpg")]).kept
    assert "SlowDown" in kept.reason and not kept.held


def test_one_key_that_may_not_be_deleted_stops_nothing_else(s3, client):
    bucket = s3.make()
    for name in ("x", "y", "z"):
        put(client, bucket, f"c/{name}.jpg", times=2)
    refused = "Mfa Authentication must be used for this request"
    with gate(s3) as passing:

        def mfa(asked):
            if asked.method != "POST" or b"y.jpg" not in asked.body:
                return None
            inside = [e for e in re.findall(rb"<Object>.*?</Object>", asked.body) if b"y.jpg" not in e]
            s3.client.delete_objects(
                Bucket=bucket,
                Delete={
                    "Objects": [
                        {"Key": k.decode(), "VersionId": v.decode()}
                        for e in inside
                        for k, v in re.findall(rb"<Key>(.*?)</Key><VersionId>(.*?)</VersionId>", e)
                    ]
                },
            )
            said = f"<Error><Key>c/y.jpg</Key><Code>AccessDenied</Code><Message>{refused}</Message></Error>"
            return 200, f"<DeleteResult>{said}</DeleteResult>".encode()

        passing.rules.append(mfa)
        outcome = store_at(passing, bucket).erase(".", [Target(f"{n}.jpg") for n in "xyz"])
    assert set(outcome.erased) == {"x.jpg", "z.jpg"}
    (kept,) = outcome.kept
    assert kept.selector == "y.jpg" and refused in kept.reason and not kept.held
    assert under(client, bucket, "c/x.jpg") == ([], [], [])


def test_a_service_that_lies_is_not_believed(s3, client):
    bucket = s3.make()
    (version,) = put(client, bucket, "c/x.jpg")
    with gate(s3) as passing:
        passing.rules.append(lambda asked: (204, b"") if asked.method == "DELETE" else None)
        (kept,) = store_at(passing, bucket).erase(".", [Target("x.jpg")]).kept
    assert version in kept.reason and "although" in kept.reason


@pytest.mark.parametrize("stamped", [True, False])
def test_what_is_written_meanwhile_is_kept_with_a_stamp_and_erased_without(s3, client, stamped):
    bucket = s3.make()
    put(client, bucket, "c/x.jpg")
    with gate(s3) as passing:
        written = []

        def write(asked):
            if asked.method == "DELETE" and not written:
                written.extend(put(s3.client, bucket, "c/x.jpg", b"new"))

        passing.rules.append(write)
        store = store_at(passing, bucket)
        targets = targets_of(store, ".", ["x.jpg"]) if stamped else [Target("x.jpg")]
        outcome = store.erase(".", targets)
    if stamped:
        assert written[0] in outcome.kept[0].reason and "meanwhile" not in outcome.erased
        assert under(client, bucket, "c/x.jpg")[0] == written
    else:
        assert outcome.erased == ("x.jpg",)
        assert under(client, bucket, "c/x.jpg")[0] == []


def test_uploads_that_may_not_be_listed_are_no_absence(s3, client):
    bucket = s3.make()
    put(client, bucket, "c/x.jpg")
    with gate(s3) as passing:
        passing.rules.append(
            lambda asked: (
                error("AccessDenied", "No.", status=403)
                if asked.path.endswith("uploads") or "uploads&" in asked.path
                else None
            )
        )
        store = store_at(passing, bucket)
        (kept,) = store.erase(".", [Target("x.jpg")]).kept
        assert "unfinished uploads cannot be listed" in kept.reason
        with pytest.raises(StoreError, match="uploads cannot be listed"):
            store.probe(".", ["x.jpg"])


def test_versions_that_may_not_be_listed_are_no_absence(s3):
    bucket = s3.make()
    for code, raised in (("AccessDenied", StoreUnreachable), ("NotImplemented", StoreError)):
        with gate(s3) as passing:
            passing.rules.append(
                lambda asked, c=code: error(c, "No.", status=403) if "versions" in asked.path else None
            )
            for act in (lambda s: list(s.scan()), lambda s: s.erase(".", [Target("x")]), lambda s: s.probe(".", ["x"])):
                with pytest.raises(raised, match=code):
                    act(store_at(passing, bucket))


def test_an_endpoint_that_is_down_or_knows_nobody_is_unreachable(s3, monkeypatch):
    down = Endpoint("http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        list(store_at(down, "bucket").scan())
    (limit,) = [one for one in store_at(down, "bucket").capability().limits if "configuration" in one]
    assert "could not be read" in limit
    with pytest.raises(StoreUnreachable, match="profile"):
        list(store_at(s3, s3.make(), profile="nobody-of-that-name").scan())


def test_keys_that_xml_cannot_name_are_deleted_one_by_one(s3):
    listing = (
        b"<ListVersionsResult><EncodingType>url</EncodingType><Version><Key>c/a%0Db%01.jpg</Key><VersionId>v1</VersionId>"
        b"<IsLatest>true</IsLatest><Size>3</Size><ETag>e</ETag></Version></ListVersionsResult>"
    )
    with gate(s3) as passing:
        gone = []

        def odd(asked):
            if asked.method == "DELETE":
                gone.append(asked.path)
                return 204, b""
            if "versions" in asked.path:
                return 200, b"<ListVersionsResult/>" if gone else listing
            return 200, b"<ListMultipartUploadsResult/>"

        passing.rules.append(odd)
        outcome = store_at(passing, "bucket").erase(".", [Target("a\\x0db\\x01.jpg")])
    assert outcome.erased == ("a\\x0db\\x01.jpg",)
    assert gone == ["/bucket/c/a%0Db%01.jpg?versionId=v1"]


def test_what_the_bucket_does_by_itself_is_among_the_limits(s3, locking, client):
    client.put_bucket_lifecycle_configuration(
        Bucket=locking,
        LifecycleConfiguration={
            "Rules": [
                {"ID": "a", "Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 9, "StorageClass": "GLACIER"}]},
                {"ID": "b", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 90}},
            ]
        },
    )
    answers = {
        "versioning": (
            200,
            b"<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>",
        ),
        "replication": (
            200,
            b"<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::far</Bucket>"
            b"</Destination></Rule></ReplicationConfiguration>",
        ),
        "inventory": error("AccessDenied", "No.", status=403),
        "logging": error("NotImplemented", status=501),
    }
    with gate(s3) as passing:
        passing.rules.append(lambda asked: next((a for what, a in answers.items() if f"?{what}" in asked.path), None))
        capability = store_at(passing, locking).capability()
    said = " ".join(capability.limits)
    for words in (
        "MFA delete is on",
        "Object Lock is on",
        "arn:aws:s3:::far",
        "other storage classes",
        "by themselves",
    ):
        assert words in said
    assert "The endpoint does not tell of access logs." in capability.limits
    assert "Whether the bucket has inventories could not be seen: No (AccessDenied)." in capability.limits
    assert capability.keeps_history


def test_credentials_are_in_no_value_and_no_message(s3, monkeypatch):
    store = store_at(s3, "no-such-bucket-here")
    with pytest.raises(StoreUnreachable) as caught:
        list(store.scan())
    assert "NoSuchBucket" in str(caught.value) and "unsee-tests" not in str(caught.value) + repr(store)
