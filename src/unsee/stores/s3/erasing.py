"""Takes keys out of a bucket: every version, every delete marker, every unfinished upload; then looks again.

Order, so that a call that is killed anywhere can be repeated: uploads, then all but the current version of each key, then the
current one. While that one stands it carries the stamp that the plan saw; were it the first to go, an older one would take its
place and look like something that somebody wrote since.
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
from unsee.stores.s3 import versions
from unsee.stores.s3.asking import GONE, NOT_OFFERED, PATIENCE, THROTTLED, Answered, Place, ask, chunks, rest, workers
from unsee.stores.s3.versions import Upload, Version

BATCH = 1_000
"""The most keys that S3 takes in one request."""
ROUNDS = 4
"""How often keys are emptied that somebody goes on writing to."""
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a batch, which is XML 1.0, cannot name (a carriage return would be read back as a line feed)."""


@dataclass(slots=True)
class _Key:
    """What is known of one key while it is erased."""

    target: Target
    seen: list[Version] = field(default_factory=list)
    """What lay under it when the call came, by version."""
    uploads: list[Upload] = field(default_factory=list)
    refused: dict[str, Answered] = field(default_factory=dict)
    """Why a version or an upload could not be deleted, by its id."""


def erase(place: Place, prefix: str, targets: Mapping[str, Target]) -> Erased:
    """Erase whole keys, all of which begin with `prefix`.

    Raises:
        StoreUnreachable: the bucket cannot be reached; the same call finishes when it can.
        StoreError: the endpoint cannot list versions.
    """
    if not targets:
        return Erased((), (), (), Gone.D2)
    keys = {key: _Key(target) for key, target in targets.items()}
    unseen = _look_for_uploads(place, prefix, keys)
    for key, found in versions.of_keys(place, keys, prefix).items():
        keys[key].seen = found
    kept = {key: reason for key, state in keys.items() if (reason := _changed(state))}
    going = {key: state for key, state in keys.items() if key not in kept}
    _abort(place, going)
    left: dict[str, list[Version]] = {key: state.seen for key, state in going.items()}
    for _ in range(ROUNDS):
        _empty(place, going, left)
        left = versions.of_keys(place, going, prefix)
        left = {key: found for key, found in left.items() if _goes_on(going[key], found)}
        if not left:
            break
    return _outcome(place, prefix, keys, kept, unseen)


def _changed(state: _Key) -> str:
    current = next((version for version in state.seen if version.current and not version.marker), None)
    if state.target.stamp is None or current is None or current.stamp == state.target.stamp:
        return ""
    return "it was written again since it was recorded: the current version is another"


def _goes_on(state: _Key, found: Sequence[Version]) -> bool:
    """Whether there is something that this call may delete and has not tried: without a stamp, also what was written meanwhile."""
    known = {version.version_id for version in state.seen}
    fresh = [v for v in found if v.version_id not in known and (v.marker or state.target.stamp is None)]
    return bool(fresh) and not state.refused


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
    """Delete what is left under the keys, what is current last."""
    older = [version for found in left.values() for version in found if not version.current]
    _delete(place, keys, older)
    # Where an older version stays, a marker must hide it, or it would be the photo that readers get.
    staying = {key for key in left if keys[key].refused.keys() & {version.version_id for version in left[key]}}
    last = [v for found in left.values() for v in found if v.current and not (v.marker and v.key in staying)]
    replaced = {version.key for version in last if version.key in staying and _hide(place, keys, version)}
    _delete(place, keys, [version for version in last if version.key not in replaced])


def _hide(place: Place, keys: Mapping[str, _Key], version: Version) -> bool:
    """Put a delete marker over a key; whether it took the place of this version (where versioning is suspended)."""
    try:
        said = ask(place, "delete_object", Key=version.key)
    except Answered as error:
        keys[version.key].refused["a marker to hide it"] = error
        return False
    return bool(version.version_id == said.get("VersionId", "null"))


def _delete(place: Place, keys: Mapping[str, _Key], doomed: Sequence[Version]) -> None:
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


def _outcome(
    place: Place, prefix: str, keys: Mapping[str, _Key], changed: Mapping[str, str], unseen: Answered | None
) -> Erased:
    """Look again, and say of each key what became of it."""
    going = {key: _Key(state.target) for key, state in keys.items() if key not in changed}
    left = versions.of_keys(place, going, prefix)
    unseen = _look_for_uploads(place, prefix, going) or unseen if going else unseen
    locks = locks_of(place, [v for key, found in left.items() for v in found if v.version_id in keys[key].refused])
    erased: list[str] = []
    absent: list[str] = []
    kept: list[Kept] = []
    for key, state in keys.items():
        selector = state.target.selector
        held_bytes = bool(state.uploads) or any(not version.marker for version in state.seen)
        if key in changed:
            kept.append(Kept(selector, changed[key]))
        elif key in left or going[key].uploads:
            kept.append(_kept(state, left.get(key, []), going[key].uploads, locks))
        elif unseen:
            kept.append(Kept(selector, f"all its versions are gone, but unfinished uploads cannot be listed: {unseen}"))
        else:
            (erased if held_bytes else absent).append(selector)
    return Erased(tuple(erased), tuple(absent), tuple(kept), Gone.D2)


def _kept(
    state: _Key, left: Sequence[Version], unfinished: Sequence[Upload], locks: Mapping[tuple[str, str], str]
) -> Kept:
    """The reasons why something of a key is left."""
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
    if left and (removed := len(known - {version.version_id for version in left})):
        reasons.append(f"{removed} other {'entry' if removed == 1 else 'entries'} under the key went")
    return Kept(state.target.selector, "; ".join(reasons), held)


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
