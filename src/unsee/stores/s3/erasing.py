"""Takes contents out of a bucket: every version that holds one, each by its id, and every unfinished upload; then looks again.

What is to go under a key is told by content (ETag and size) and not by version: so a call that is killed anywhere can be repeated,
and finds what the plan saw while one version of it is left. Order: uploads, then all but the current version of each key, then
the current one. Delete markers go with the last version under a key. Where others stay, a marker is put over the key before its
current version goes, or an older one would be what readers get.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from unsee.core.evidence import Gone
from unsee.stores.contract import Erased, Kept, Target
from unsee.stores.s3 import bucket, versions
from unsee.stores.s3.asking import GONE, NOT_OFFERED, PATIENCE, THROTTLED, Answered, Place, ask, chunks, rest, workers
from unsee.stores.s3.versions import Upload, Version

BATCH = 1_000
"""The most keys that S3 takes in one request."""
ROUNDS = 4
"""How often keys are emptied that somebody goes on writing to."""
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a batch, which is XML 1.0, cannot name (a carriage return would be read back as a line feed)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target under a key."""

    target: Target
    content: str
    """Which content its selector names; empty for the current one, whatever it is."""


@dataclass(slots=True)
class _Key:
    """What is known of one key while it is erased."""

    wanted: Sequence[Wanted]
    seen: list[Version] = field(default_factory=list)
    """What lay under it when the call came, by version."""
    going: dict[Wanted, str] = field(default_factory=dict)
    """The content that each target means."""
    kept: dict[Wanted, str] = field(default_factory=dict)
    """Why a target is left as it is."""
    uploads: list[Upload] = field(default_factory=list)
    refused: dict[str, Answered] = field(default_factory=dict)
    """Why a version or an upload could not be deleted, by its id."""
    tried: set[str] = field(default_factory=set)
    """Versions whose deletion was asked for."""
    hidden: bool = False
    """A delete marker was put over what stays."""

    def resolve(self) -> None:
        """Settle what each target means."""
        current = current_of(self.seen)
        hidden = current is None and any(not version.marker for version in self.seen)
        for one in self.wanted:
            stamp = one.target.stamp
            if one.content and stamp not in {None, one.content}:
                self.kept[one] = "it is named by one content and its stamp by another"
            elif not one.content and stamp is None and hidden:
                self.kept[one] = (
                    "a delete marker hides what lies under the key: name what is meant by its content, as a scan does"
                )
            elif not one.content and stamp is not None and current is not None and current.content != stamp:
                self.kept[one] = "it was written again since it was recorded: the current version is another"
            else:
                self.going[one] = one.content or stamp or (current.content if current else "")

    def doomed(self, found: Iterable[Version]) -> list[Version]:
        """What of these versions goes: what holds a content that goes, and the markers where nothing else is left."""
        found = list(found)
        staying = self.staying(found)
        return [version for version in found if version not in staying and not (version.marker and staying)]

    def staying(self, found: Iterable[Version]) -> list[Version]:
        """Versions of other contents. Where a target has no stamp, what is written meanwhile is no other content."""
        contents = set(self.going.values())
        follows = any(not one.content and one.target.stamp is None for one in self.going)
        known = {version.version_id for version in self.seen}
        return [
            version
            for version in found
            if not version.marker
            and version.content not in contents
            and not (follows and version.version_id not in known)
        ]


def current_of(found: Iterable[Version]) -> Version | None:
    """The version that readers get, if there is one."""
    return next((version for version in found if version.current and not version.marker), None)


def erase(place: Place, prefix: str, targets: Mapping[str, Sequence[Wanted]]) -> Erased:
    """Erase what is wanted under these keys, all of which begin with `prefix`.

    Raises:
        StoreUnreachable: the bucket cannot be reached; the same call finishes when it can.
        StoreError: the endpoint cannot list versions.
    """
    if not targets:
        return Erased((), (), (), Gone.D2)
    keys = {key: _Key(wanted) for key, wanted in targets.items()}
    unseen = _look_for_uploads(place, prefix, keys)
    for key, found in versions.of_keys(place, keys, prefix).items():
        keys[key].seen = found
    for state in keys.values():
        state.resolve()
    going = {key: state for key, state in keys.items() if state.going}
    _abort(place, going)
    left = {key: state.seen for key, state in going.items()}
    for _ in range(ROUNDS):
        _empty(place, going, left)
        left = versions.of_keys(place, going, prefix)
        left = {key: found for key, found in left.items() if _goes_on(going[key], found)}
        if not left:
            break
    return _outcome(place, prefix, keys, unseen)


def _goes_on(state: _Key, found: Sequence[Version]) -> bool:
    """Whether there is something that this call may delete and has not tried."""
    return not state.refused and any(version.version_id not in state.tried for version in state.doomed(found))


def _look_for_uploads(place: Place, prefix: str, keys: Mapping[str, _Key]) -> Answered | None:
    """Note the unfinished uploads to these keys; the answer where they may not be listed."""
    try:
        for upload in versions.uploads(place, prefix if len(keys) > 1 else next(iter(keys), prefix)):
            if upload.key in keys:
                keys[upload.key].uploads.append(upload)
    except Answered as error:
        # An endpoint without multipart uploads has none that are unfinished.
        return None if error.code in NOT_OFFERED else error
    return None


def _abort(place: Place, keys: Mapping[str, _Key]) -> None:
    found = [upload for state in keys.values() for upload in state.uploads]

    with workers(place, len(found)) as pool:
        for upload, refused in zip(found, pool.map(lambda one: abort(place, one), found), strict=True):
            if refused is not None:
                keys[upload.key].refused[upload.upload_id] = refused


def abort(place: Place, upload: Upload) -> Answered | None:
    """Throw away the parts of an unfinished upload; why the service refuses, if it does."""
    try:
        ask(place, "abort_multipart_upload", Key=upload.key, UploadId=upload.upload_id)
    except Answered as error:
        return None if error.code in GONE else error
    return None


def _empty(place: Place, keys: Mapping[str, _Key], left: Mapping[str, Sequence[Version]]) -> None:
    """Delete what goes of what is left under the keys, what is current last."""
    doomed = {key: keys[key].doomed(found) for key, found in left.items()}
    _delete(place, keys, [version for found in doomed.values() for version in found if not version.current])
    last: list[Version] = []
    beneath: dict[Version, list[Version]] = {}
    for key, found in doomed.items():
        refused = [version for version in found if version.version_id in keys[key].refused]
        staying = keys[key].staying(left[key]) + refused
        for version in found:
            if version.current and staying and not version.marker:
                beneath[version] = staying
            elif version.current and not staying:
                last.append(version)
    _delete(place, keys, [*last, *_hidden(place, keys, beneath)])


def _hidden(place: Place, keys: Mapping[str, _Key], beneath: Mapping[Version, Sequence[Version]]) -> list[Version]:
    """Put delete markers over keys under whose current version others stay; those versions that may go now.

    Cost: a request a key, and a HEAD where the bucket has locks.
    """
    if not beneath:
        return []
    locks = locks_of(place, list(beneath)) if bucket.locks(place) else {}
    suspended = any(old.version_id == "null" for staying in beneath.values() for old in staying) and bucket.suspended(
        place
    )

    def hide(version: Version) -> Answered | bool:
        if lock := locks.get((version.key, version.version_id)):
            return Answered("ObjectLocked", lock)
        if suspended and any(old.version_id == "null" for old in beneath[version]):
            return Answered(
                "VersioningSuspended", "a delete marker over it would take away the version null, which stays"
            )
        try:
            said = ask(place, "delete_object", Key=version.key)
        except Answered as error:
            return error
        # Where versioning is suspended, the marker takes the place of a current version null.
        return bool(version.version_id == said.get("VersionId", "null"))

    free: list[Version] = []
    with workers(place, len(beneath)) as pool:
        for version, said in zip(beneath, pool.map(hide, beneath), strict=True):
            state = keys[version.key]
            if isinstance(said, Answered):
                state.refused[version.version_id] = said
                continue
            state.hidden = True
            if not said:
                free.append(version)
    return free


def _delete(place: Place, keys: Mapping[str, _Key], doomed: Sequence[Version]) -> None:
    for version in doomed:
        keys[version.key].tried.add(version.version_id)
    for version, error in remove(place, doomed).items():
        keys[version.key].refused[version.version_id] = error


def remove(place: Place, doomed: Sequence[Version]) -> dict[Version, Answered]:
    """Delete these versions, in batches where XML can name their keys; which were refused, and why."""
    plain = [version for version in doomed if not _NOT_XML.search(version.key)]
    odd = [version for version in doomed if _NOT_XML.search(version.key)]
    jobs: list[Sequence[Version]] = [*chunks(plain, BATCH), *([version] for version in odd)]
    with workers(place, len(jobs)) as pool:
        return dict(pair for refused in pool.map(lambda job: _batch(place, job), jobs) for pair in refused)


def _batch(place: Place, doomed: Sequence[Version]) -> list[tuple[Version, Answered]]:
    """One request, again for those that the service was too busy for; which versions it refused.

    A batch is answered with HTTP 200 whatever became of its keys: `Errors` says it.
    """
    refused: list[tuple[Version, Answered]] = []
    for attempt in range(1, PATIENCE + 1):
        try:
            errors = _try(place, doomed)
        except Answered as error:  # `ask` had patience already
            errors, attempt = [(version, error) for version in doomed], PATIENCE  # noqa: PLW2901
        busy = [version for version, error in errors if error.code in THROTTLED and attempt < PATIENCE]
        refused += [(v, e) for v, e in errors if e.code not in GONE and v not in busy]
        if not busy:
            break
        rest(attempt)
        doomed = busy
    return refused


def _try(place: Place, doomed: Sequence[Version]) -> list[tuple[Version, Answered]]:
    if len(doomed) == 1:
        ask(place, "delete_object", Key=doomed[0].key, VersionId=doomed[0].version_id)
        return []
    objects = [{"Key": version.key, "VersionId": version.version_id} for version in doomed]
    said = ask(place, "delete_objects", Delete={"Objects": objects, "Quiet": True})
    return _matched(doomed, said.get("Errors", ()))


def _matched(doomed: Sequence[Version], errors: Iterable[Mapping[str, Any]]) -> list[tuple[Version, Answered]]:
    """Each error with the version that it is about; some endpoints name the key alone: then all versions of that key."""
    by_key: dict[str, list[Version]] = defaultdict(list)
    for version in doomed:
        by_key[version.key].append(version)
    found: dict[tuple[str, str], tuple[Version, Answered]] = {}
    for error in errors:
        said = Answered(str(error.get("Code", "")), str(error.get("Message", "")))
        named = error.get("VersionId")
        for version in by_key.get(str(error.get("Key", "")), ()):
            if named in {None, "", version.version_id}:
                found[version.key, version.version_id] = (version, said)
    return list(found.values())


def _outcome(place: Place, prefix: str, keys: Mapping[str, _Key], unseen: Answered | None) -> Erased:
    """Look again, and say of each target what became of it."""
    going = {key: _Key(state.wanted) for key, state in keys.items() if state.going}
    left = versions.of_keys(place, going, prefix)
    unseen = _look_for_uploads(place, prefix, going) or unseen if going else unseen
    locks = locks_of(place, [v for key, found in left.items() for v in found if v.version_id in keys[key].refused])
    erased: list[str] = []
    absent: list[str] = []
    kept: list[Kept] = []
    for key, state in keys.items():
        kept += [Kept(one.target.selector, reason) for one, reason in state.kept.items()]
        for one, content in state.going.items():
            selector = one.target.selector
            here = _of_target(state, one, content, left.get(key, []))
            if here or going[key].uploads:
                kept.append(_kept(state, one, here, going[key].uploads, locks))
            elif unseen:
                reason = f"all its versions are gone, but unfinished uploads cannot be listed: {unseen}"
                kept.append(Kept(selector, reason))
            else:
                there = bool(state.uploads) or any(v.content == content and not v.marker for v in state.seen)
                (erased if there else absent).append(selector)
    covered = sum(state.hidden for state in keys.values())
    notes = [f"A delete marker was put over {covered:,} keys under which older versions stay."] if covered else []
    return Erased(tuple(erased), tuple(absent), tuple(kept), Gone.D2, tuple(notes))


def _of_target(state: _Key, one: Wanted, content: str, left: Sequence[Version]) -> list[Version]:
    """What is left that keeps this target from being done."""
    doomed = state.doomed(left)
    known = {version.version_id for version in state.seen}
    return [
        version
        for version in left
        if (version in doomed and (version.marker or version.content == content or version.version_id not in known))
        # By its own name a key is not gone while readers get something under it.
        or (not one.content and version.current and not version.marker and version.version_id not in known)
    ]


def _kept(
    state: _Key,
    one: Wanted,
    left: Sequence[Version],
    unfinished: Sequence[Upload],
    locks: Mapping[tuple[str, str], str],
) -> Kept:
    """The reasons why something of a target is left."""
    reasons: list[str] = []
    held = True
    known = {version.version_id for version in state.seen}
    hidden = any(not version.marker for version in left)
    for version in left:
        refused = state.refused.get(version.version_id)
        lock = locks.get((version.key, version.version_id), "")
        if version.marker and hidden and state.refused:
            continue  # it hides what cannot be deleted
        what = f"{'delete marker' if version.marker else 'version'} {version.version_id}"
        held = held and bool(lock)
        if refused or lock:
            reasons.append(f"{what} stays: {lock or refused}")
        elif version.version_id in known:
            reasons.append(f"{what} is still there although the service said that it was deleted")
        else:
            reasons.append(f"{what} was written while it was erased; plan it again")
    for upload in unfinished:
        held = False
        refused = state.refused.get(upload.upload_id)
        reasons.append(f"an unfinished upload of it stays: {refused or 'it was begun while it was erased'}")
    if left and (removed := len((known & state.tried) - {version.version_id for version in left})):
        reasons.append(f"{removed} other {'entry' if removed == 1 else 'entries'} under the key went")
    if state.hidden:
        reasons.append("a delete marker hides what stays")
    return Kept(one.target.selector, "; ".join(reasons), held)


def locks_of(place: Place, refused: Sequence[Version]) -> dict[tuple[str, str], str]:
    """The rule of the place that forbids to delete a version, in words; empty where none is to be seen. Cost: a request each."""

    def look(version: Version) -> str:
        try:
            return (
                ""
                if version.marker
                else lock_of(ask(place, "head_object", Key=version.key, VersionId=version.version_id))
            )
        except Answered:
            return ""

    with workers(place, len(refused)) as pool:
        return {(v.key, v.version_id): words for v, words in zip(refused, pool.map(look, refused), strict=True)}


def lock_of(said: Mapping[str, Any]) -> str:
    """What forbids to delete a version, as the answer to HEAD tells it."""
    rules: list[str] = []
    if said.get("ObjectLockMode"):
        until = said.get("ObjectLockRetainUntilDate")
        date = f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if until else "a date that is not told"
        rules.append(f"Object Lock in {said['ObjectLockMode']} mode until {date}")
    if said.get("ObjectLockLegalHoldStatus") == "ON":
        rules.append("a legal hold without an end")
    return " and ".join(rules)
