"""What a bucket's configuration means for erasure, one sentence each, for the certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unsee.core.errors import StoreUnreachable
from unsee.stores.s3.asking import NOT_OFFERED, Answered, Place, ask

METHOD = "every version and delete marker deleted by id"
"""How members are erased, for the certificate."""
ALWAYS: tuple[str, ...] = (
    "The provider's own replicas, caches and disks are out of reach (D5): a version that no request finds is called gone from all "
    "versions (D2).",
    "Copies of keys in other buckets, and copies that a content delivery network keeps, are not seen.",
    "Versions are compared by ETag and size: equal pictures that were uploaded in other parts, or under encryption that changes "
    "the ETag, are members of their own.",
    "Where the current version of a key goes and older ones of other content stay, a delete marker is put over the key: no older "
    "version takes its place.",
    "The parts of unfinished uploads cannot be read, only aborted; a part on its way while its upload is aborted may stay until "
    "the next call.",
    "Access logs and audit trails keep the names of keys.",
    "Locks in GOVERNANCE mode are never bypassed.",
    "In a bucket that keeps no versions, a key that is written again between the look at its stamp and its removal, a request "
    "later, is removed.",
)
_NONE_SET = frozenset(
    {
        "ReplicationConfigurationNotFoundError",
        "NoSuchLifecycleConfiguration",
        "NoSuchConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "NoSuchObjectLockConfiguration",
    }
)


def limits(place: Place) -> tuple[tuple[str, ...], bool]:
    """Sentences about this bucket, and whether it keeps versions. What may not be asked is a sentence too.

    Cost: six requests.
    """
    said: list[str] = []
    versioning: dict[str, Any] = {}

    def keep(answer: Mapping[str, Any]) -> list[str]:
        versioning.update(answer)
        return _versioning(answer)

    looks: tuple[tuple[str, str, Callable[[Mapping[str, Any]], list[str]]], ...] = (
        ("versioning", "get_bucket_versioning", keep),
        ("Object Lock", "get_object_lock_configuration", _lock),
        ("replication", "get_bucket_replication", _replication),
        ("life cycle rules", "get_bucket_lifecycle_configuration", _life_cycle),
        ("inventories", "list_bucket_inventory_configurations", _inventory),
        ("access logs", "get_bucket_logging", _logging),
    )
    for what, operation, words in looks:
        try:
            said.extend(words(ask(place, operation)))
        except Answered as error:
            if error.code in NOT_OFFERED:
                said.append(f"The endpoint does not tell of {what}.")
            elif error.code not in _NONE_SET:
                said.append(f"Whether the bucket has {what} could not be seen: {error}.")
        except StoreUnreachable as error:
            return (f"The bucket's configuration could not be read: {error.message}",), True
    # Where nobody says whether it keeps versions, it may.
    return tuple(said), "ResponseMetadata" not in versioning or versioning.get("Status") in {"Enabled", "Suspended"}


def locks(place: Place) -> bool:
    """Whether versions of this bucket may be locked. True where that cannot be seen.

    Raises:
        StoreUnreachable: as `ask`.
    """
    try:
        return bool(_lock(ask(place, "get_object_lock_configuration")))
    except Answered as error:
        return error.code not in _NONE_SET | NOT_OFFERED


def suspended(place: Place) -> bool:
    """Whether the bucket, which kept versions once, keeps none of what is written now. True where that cannot be seen.

    Raises:
        StoreUnreachable: as `ask`.
    """
    try:
        return bool(ask(place, "get_bucket_versioning").get("Status") != "Enabled")
    except Answered:
        return True


def _versioning(said: Mapping[str, Any]) -> list[str]:
    if said.get("MFADelete") == "Enabled":
        return ["MFA delete is on: versions are deleted only by a person with the device; what is refused so is kept."]
    return []


def _lock(said: Mapping[str, Any]) -> list[str]:
    lock = said.get("ObjectLockConfiguration") or {}
    if lock.get("ObjectLockEnabled") != "Enabled":
        return []
    rule = (lock.get("Rule") or {}).get("DefaultRetention") or {}
    length = f"{rule['Days']} days" if rule.get("Days") else f"{rule['Years']} years" if rule.get("Years") else ""
    by_default = f"; new versions are locked in {rule.get('Mode')} mode for {length}" if length else ""
    return [
        f"Object Lock is on{by_default}: a locked version, or one under a legal hold, is kept and reported as held."
    ]


def _replication(said: Mapping[str, Any]) -> list[str]:
    rules = (said.get("ReplicationConfiguration") or {}).get("Rules", ())
    buckets = sorted({str(rule["Destination"]["Bucket"]) for rule in rules if rule.get("Status") == "Enabled"})
    return [
        f"The bucket is replicated to {bucket}: S3 does not replicate the deletion of versions; register that bucket as a store."
        for bucket in buckets
    ]


def _life_cycle(said: Mapping[str, Any]) -> list[str]:
    rules = [rule for rule in said.get("Rules", ()) if rule.get("Status") == "Enabled"]
    moved = [rule for rule in rules if rule.get("Transitions") or rule.get("NoncurrentVersionTransitions")]
    words = []
    if moved:
        words.append(
            "Life cycle rules move versions to other storage classes: what is archived is erased, but cannot be read."
        )
    if len(rules) > len(moved):
        words.append(
            "Life cycle rules delete keys, versions or uploads by themselves, at times that are not seen here."
        )
    return words


def _inventory(said: Mapping[str, Any]) -> list[str]:
    return [
        f"The inventory {entry.get('Id')!r} lists names of keys in {entry['Destination']['S3BucketDestination']['Bucket']}: its "
        "reports are not touched."
        for entry in said.get("InventoryConfigurationList", ())
    ]


def _logging(said: Mapping[str, Any]) -> list[str]:
    target = (said.get("LoggingEnabled") or {}).get("TargetBucket")
    return [f"Requests, with names of keys, are logged in {target}: its logs are not touched."] if target else []
