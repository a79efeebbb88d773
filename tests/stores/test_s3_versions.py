"""What lies under a key besides what readers get: older content, what delete markers hide, half-done erasures (R6)."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_endpoint import error, gate
from unsee.core.errors import PathEscape, StoreError
from unsee.stores.contract import HeldVersion, Target
from unsee.stores.registry import open_store
from unsee.stores.s3 import asking, versions
from unsee.stores.s3.keys import key_of, name_of, split_content, with_content
from unsee.testing.stores import contents, raw_places, store_id, targets_of

PHOTO = b"the photo that must go " * 9
OTHER = b"a photo of another giver " * 7


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(asking, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def client(s3):
    return s3.client


def store_at(endpoint, bucket, **options):
    return open_store(store_id(), "s3", f"s3://{bucket}/c", {"endpoint": endpoint.url, **options})


def write(client, bucket, key, *bodies):
    """A version for each body, a delete marker for None; their ids."""
    ids = []
    for body in bodies:
        said = (
            client.delete_object(Bucket=bucket, Key="c/" + key)
            if body is None
            else client.put_object(Bucket=bucket, Key="c/" + key, Body=body)
        )
        ids.append(said.get("VersionId"))
    return ids


def stack(client, bucket, key):
    """What lies under a key, newest first: bodies, and None for markers."""
    said = client.list_object_versions(Bucket=bucket, Prefix="c/" + key)
    both = [*said.get("Versions", ()), *said.get("DeleteMarkers", ())]
    found = sorted((e for e in both if e["Key"] == "c/" + key), key=lambda e: not e["IsLatest"])
    read = lambda e: client.get_object(Bucket=bucket, Key=e["Key"], VersionId=e["VersionId"])["Body"].read()  # noqa: E731
    return [read(e) if "ETag" in e else None for e in found]


def content(body):
    return f"{hashlib.md5(body).hexdigest()}-{len(body)}"  # noqa: S324


def named(selector, body):
    return with_content(selector, content(body))


@given(st.text(st.characters(codec="utf-8")), st.text(min_size=1))
def test_no_key_is_spelled_like_a_content_under_another(key, what):
    _, selector = name_of(key)
    assert split_content(selector) == (selector, "")
    assert split_content(with_content(selector, what)) == (selector, what)


def test_a_content_of_no_key_is_refused(s3):
    store = store_at(s3, s3.make())
    for selector in ("\\@x-1", "..\\@x-1", "a\\@", "a\\x61\\@x-1"):
        with pytest.raises(PathEscape):
            store.erase(".", [Target(selector)])
    with pytest.raises(PathEscape):
        key_of(".", with_content("x", "y"))


def test_what_a_delete_marker_hides_is_a_member_and_goes(s3, client):
    bucket = s3.make()
    first, second, _ = write(client, bucket, "a/x.jpg", PHOTO, PHOTO, None)
    store = store_at(s3, bucket)
    (member,) = store.scan()
    assert (member.object, member.selector) == ("a", named("x.jpg", PHOTO))
    assert (member.stamp, member.size_bytes) == (content(PHOTO), len(PHOTO))
    assert store.read("a", member.selector) == PHOTO
    with pytest.raises(StoreError, match="larger"):
        store.read("a", member.selector, limit_bytes=9)
    assert store.stamps("a", [member.selector, "x.jpg"]) == [member.stamp, None]
    assert set(store.history("a")) == {HeldVersion(f"x.jpg version {v}", True) for v in (first, second)}
    assert raw_places(store, [PHOTO])[PHOTO] == [f"version {v} of a/x.jpg" for v in (second, first)]
    (left,) = store.probe("a", [member.selector])
    assert first in left.where and second in left.where
    assert store.erase("a", [Target(member.selector, member.stamp)]).erased == (member.selector,)
    assert stack(client, bucket, "a/x.jpg") == []


def test_a_copy_that_was_recorded_before_a_marker_hid_it_goes_by_its_stamp(s3, client):
    bucket = s3.make()
    write(client, bucket, "x.jpg", PHOTO)
    store = store_at(s3, bucket)
    targets = targets_of(store, ".", ["x.jpg"])
    write(client, bucket, "x.jpg", None)
    (kept,) = store.erase(".", [Target("x.jpg")]).kept
    assert "by its content" in kept.reason, "without a stamp nobody can say what is meant"
    assert store.erase(".", targets).erased == ("x.jpg",)
    assert stack(client, bucket, "x.jpg") == []


def test_an_older_version_of_other_content_goes_alone(s3, client):
    """The photo of the scope was overwritten by a lawful one: that one stays what readers get."""
    bucket = s3.make()
    write(client, bucket, "x.jpg", PHOTO, OTHER, PHOTO, OTHER)
    store = store_at(s3, bucket)
    assert {(m.selector, m.stamp) for m in store.scan()} == {
        ("x.jpg", content(OTHER)),
        (named("x.jpg", PHOTO), content(PHOTO)),
    }
    both = [named("x.jpg", PHOTO), "x.jpg"]
    assert dict(store.read_many(".", both)) == dict(zip(both, (PHOTO, OTHER), strict=True))
    targets = targets_of(store, ".", both[:1])
    assert store.erase(".", targets).erased == (both[0],)
    assert stack(client, bucket, "x.jpg") == [OTHER, OTHER]
    assert store.erase(".", targets).absent == (both[0],)
    assert store.probe(".", both[:1]) == () and contents(store) == {(".", "x.jpg"): OTHER}


def test_no_older_version_takes_the_place_of_the_current_one(s3, client):
    """The lawful photo was overwritten by one of the scope: readers get neither, and the older one is kept as it is."""
    bucket = s3.make()
    write(client, bucket, "x.jpg", OTHER, PHOTO, PHOTO)
    store = store_at(s3, bucket)
    targets = targets_of(store, ".", ["x.jpg"])
    older = [m for m in store.scan() if m.selector != "x.jpg"]
    with gate(s3) as passing:
        shown = []

        def look(asked):
            if "versionId" in asked.path or asked.method == "POST":
                shown.append(stack(client, bucket, "x.jpg")[0])

        passing.rules.append(look)
        outcome = store_at(passing, bucket).erase(".", targets)
    assert outcome.erased == ("x.jpg",) and "1 keys under which older versions stay" in outcome.notes[0]
    assert shown and set(shown) <= {PHOTO, None}
    assert stack(client, bucket, "x.jpg") == [None, OTHER]
    assert store.probe(".", ["x.jpg"]) == ()
    assert list(store.scan()) == older, "it keeps its name"
    assert store.erase(".", targets).absent == ("x.jpg",)
    assert stack(client, bucket, "x.jpg") == [None, OTHER]


def test_a_key_whose_contents_all_go_leaves_nothing(s3, client):
    bucket = s3.make()
    write(client, bucket, "x.jpg", OTHER, None, PHOTO, OTHER, PHOTO)
    store = store_at(s3, bucket)
    members = list(store.scan())
    outcome = store.erase(".", [Target(m.selector, m.stamp) for m in members])
    assert len(members) == 2 and set(outcome.erased) == {m.selector for m in members}
    assert stack(client, bucket, "x.jpg") == [] and outcome.notes == ()


def test_a_content_that_is_named_with_the_stamp_of_another_is_kept(s3, client):
    bucket = s3.make()
    write(client, bucket, "x.jpg", PHOTO, OTHER)
    (kept,) = store_at(s3, bucket).erase(".", [Target(named("x.jpg", PHOTO), content(OTHER))]).kept
    assert "its stamp by another" in kept.reason
    assert stack(client, bucket, "x.jpg") == [OTHER, PHOTO]


def test_a_marker_that_is_refused_keeps_the_current_version(s3, client):
    bucket = s3.make()
    write(client, bucket, "x.jpg", OTHER, PHOTO)
    with gate(s3) as passing:
        passing.rules.append(
            lambda asked: (
                error("AccessDenied", "No.", status=403)
                if asked.method == "DELETE" and "versionId" not in asked.path
                else None
            )
        )
        store = store_at(passing, bucket)
        (kept,) = store.erase(".", targets_of(store, ".", ["x.jpg"])).kept
    assert "AccessDenied" in kept.reason and stack(client, bucket, "x.jpg") == [PHOTO, OTHER]


def test_a_locked_current_version_is_not_hidden(s3, client):
    bucket = s3.make(lock=True)
    _, current = write(client, bucket, "x.jpg", OTHER, PHOTO)
    client.put_object_legal_hold(Bucket=bucket, Key="c/x.jpg", VersionId=current, LegalHold={"Status": "ON"})
    store = store_at(s3, bucket)
    (kept,) = store.erase(".", targets_of(store, ".", ["x.jpg"])).kept
    assert kept.held and "legal hold" in kept.reason
    assert stack(client, bucket, "x.jpg") == [PHOTO, OTHER]


def test_where_a_marker_would_take_a_version_away_none_is_put(s3, client):
    """Where versioning is suspended, a marker takes the place of the version `null`, which is another photo here."""
    bucket = s3.make(versions=None)
    write(client, bucket, "x.jpg", OTHER)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    write(client, bucket, "x.jpg", PHOTO)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    store = store_at(s3, bucket)
    targets = targets_of(store, ".", ["x.jpg"])
    (kept,) = store.erase(".", targets).kept
    assert "would take away the version null" in kept.reason
    assert stack(client, bucket, "x.jpg") == [PHOTO, OTHER]
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert store.erase(".", targets).erased == ("x.jpg",)
    assert stack(client, bucket, "x.jpg") == [None, OTHER]


class Dead(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("concurrency", ["1", pytest.param("8", marks=pytest.mark.slow)])
def test_killed_at_any_request_the_same_call_finishes(s3, client, concurrency):
    """As the executor calls: targets and stamps are those of the plan, in every call."""
    stacks = {
        "a.jpg": [PHOTO],
        "b.jpg": [PHOTO, PHOTO],
        "c.jpg": [OTHER, PHOTO, PHOTO],
        "d.jpg": [PHOTO, OTHER, PHOTO, OTHER],
        "e.jpg": [PHOTO, PHOTO, None],
        "f.jpg": [OTHER],
        "g\u0308.jpg": [PHOTO, None, PHOTO],
    }
    killed_at = 0
    while True:
        bucket = s3.make()
        for key, bodies in stacks.items():
            write(client, bucket, key, *bodies)
        store = store_at(s3, bucket, concurrency=concurrency)
        going = [m for m in store.scan() if m.stamp == content(PHOTO)]
        targets = [Target(m.selector, m.stamp) for m in going]
        assert len(targets) == 6
        dying = store_at(s3, bucket, concurrency=concurrency)
        # Another place, and so other connections, on which only the killed call goes.
        dying = replace(dying, place=replace(dying.place, region="us-east-1"))
        alive = [killed_at]

        def send(alive=alive, **_said):
            alive[0] -= 1
            if alive[0] < 0:
                raise Dead

        events = asking.client_of(dying.place).meta.events
        events.register("before-send.s3", send, unique_id="kill")
        try:
            first = dying.erase(".", targets)
        except Dead:
            first = None
        finally:
            events.unregister("before-send.s3", unique_id="kill")
        assert {stack(client, bucket, key)[:1] == [OTHER] for key in ("d.jpg", "f.jpg")} == {True}
        assert stack(client, bucket, "c.jpg")[0] in {PHOTO, None}, "the older version is never what readers get"
        before = {left.selector for left in store.probe(".", [t.selector for t in targets])}
        second = store.erase(".", targets)
        assert not second.kept and before <= set(second.erased), (killed_at, second)
        assert raw_places(store, [PHOTO])[PHOTO] == [], killed_at
        assert contents(store) == {
            (".", "d.jpg"): OTHER,
            (".", "f.jpg"): OTHER,
            (".", named("c.jpg", OTHER)): OTHER,
        }
        left = {key: stack(client, bucket, key) for key in stacks}
        assert {key: bodies for key, bodies in left.items() if bodies} == {
            "c.jpg": [None, OTHER],
            "d.jpg": [OTHER, OTHER],
            "f.jpg": [OTHER],
        }
        s3.empty(bucket)
        if first is not None:
            assert set(first.erased) == {t.selector for t in targets}
            break
        killed_at += 1
    assert killed_at >= 10


def test_an_endpoint_that_loses_what_lies_behind_a_marker_is_found_out(s3, client, monkeypatch):
    """One does so: the first version behind a marker is not in its answer. No target may look absent for that."""
    bucket = s3.make()
    names = [f"{n:03d}.jpg" for n in range(30)]
    for name in names:
        write(client, bucket, name, PHOTO, PHOTO)
    plain, plain_page = asking.ask, versions.page
    monkeypatch.setattr(
        versions, "ask", lambda p, o, **k: plain(p, o, **(k | {"MaxKeys": 7} if o == "list_object_versions" else k))
    )
    monkeypatch.setattr(versions, "IN_ONE_GO", 5)

    def losing(place, prefix, *, after="", after_version="", delimiter=""):
        found = plain_page(place, prefix, after=after, after_version=after_version, delimiter=delimiter)
        return replace(found, versions=found.versions[1:]) if after and not after_version else found

    monkeypatch.setattr(versions, "page", losing)
    store = store_at(s3, bucket)
    assert store.stamps(".", names) == [content(PHOTO)] * 30
    assert len(store.probe(".", names[4::9])) == 3
    outcome = store.erase(".", targets_of(store, ".", names[3:20]))
    assert set(outcome.erased) == set(names[3:20])
    assert [m.selector for m in store_at(s3, bucket).scan()] == names[:3] + names[20:]


def test_capability_says_how(s3):
    assert store_at(s3, s3.make()).capability().method == "every version and delete marker deleted by id"
