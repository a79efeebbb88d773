"""One receipt for each person of an order: derivable on request, never written by the million, and silent about others.

Receipt id and salt are keyed (HMAC) with the workspace's receipt key, so they look random; the leaf is SHA-256(salt ‖ record),
and leaves are sorted by receipt id, so neither a leaf, its place nor its neighbours show who else was in the data. The Merkle
root over the leaves stands in the certificate. A record holds no face data and no pseudonym.
"""

from __future__ import annotations

import hmac
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from unsee.attest.log import commit
from unsee.core import merkle
from unsee.core.canonical import canonical_json
from unsee.core.errors import InvalidValue, NotFound

MEDIA_TYPE: Final = "application/vnd.unsee.receipt+json;version=1"
SCHEMA: Final = "unsee/receipt/1"
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What is the same in every receipt of one order (fields after ISO/IEC TS 27560)."""

    order: str
    certificate: str
    controller: str
    request_date: str
    """Day of the order or of the request, ISO 8601."""
    decided_at: str
    model_effect: str
    """What became of the models that had learned from the photos, in one sentence."""
    model_effect_at: str | None
    backup_expiry: str | None
    recipients_told: tuple[str, ...]
    suppressed: bool
    """Whether a keyed record keeps the photos from coming back."""
    complaint_route: str


@dataclass(frozen=True, slots=True)
class PersonOutcome:
    """What one person's receipt says. `counts` maps a data class to {erased, absent, retained, failed}."""

    pseudonym: bytes
    """Keyed hash of the giver's user id, 32 bytes. It goes into the receipt's id, not into the receipt."""
    outcome: str
    """`erased`, `partly-erased` or `refused`."""
    counts: Mapping[str, Mapping[str, int]]
    ground: str = ""
    """Why something was kept or refused; demanded unless everything was erased."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """All receipts of one order: the ids in order and a leaf hash each (64 bytes a person), nothing else."""

    terms: OrderTerms
    ids: tuple[bytes, ...]
    leaves: tuple[bytes, ...]

    @property
    def count(self) -> int:
        """How many people."""
        return len(self.ids)

    @property
    def root(self) -> bytes:
        """Merkle root over the leaves. Cost: one hash a person."""
        return merkle.root_of_hashes(self.leaves)


def gather(key: bytes, terms: OrderTerms, people: Iterable[PersonOutcome]) -> Receipts:
    """The receipts of an order.

    Raises:
        InvalidValue: the key is not 32 bytes, a person stands twice, or an outcome lacks its ground.
    Cost: about 15 µs and 200 bytes a person.
    """
    leaves: dict[bytes, bytes] = {}
    for person in people:
        receipt = receipt_id(key, terms.order, person.pseudonym)
        if receipt in leaves:
            raise InvalidValue("A person stands twice among the receipts.", next_step="Add up each person's counts.")
        leaves[receipt] = merkle.leaf_hash(_leaf(key, terms, person, receipt)[1])
    ids = tuple(sorted(leaves))
    return Receipts(terms, ids, tuple(leaves[i] for i in ids))


def derive(key: bytes, receipts: Receipts, person: PersonOutcome, *, payload_sha256: str) -> bytes:
    """The file `receipt.json` of one person, with its path into the certificate.

    Args:
        key: the receipt key that `gather` was given.
        receipts: of the whole order.
        person: whose; the same values that `gather` saw.
        payload_sha256: digest of the certificate's statement.
    Raises:
        NotFound: the person has no receipt under this root.
        InvalidValue: the person's values are not those that the root was made from.
    Cost: one hash a person of the order.
    """
    receipt = receipt_id(key, receipts.terms.order, person.pseudonym)
    index = bisect_left(receipts.ids, receipt)
    if index == receipts.count or receipts.ids[index] != receipt:
        raise NotFound("receipt", receipt.hex(), next_step="This person is not in the order's scope.")
    record, leaf = _leaf(key, receipts.terms, person, receipt)
    if merkle.leaf_hash(leaf) != receipts.leaves[index]:
        raise InvalidValue(
            "This person's outcome is not the one that was certified.", next_step="Derive it from the same facts."
        )
    proof = {
        "salt": _salt(key, receipt).hex(),
        "index": index,
        "size": receipts.count,
        "path": [h.hex() for h in merkle.inclusion_proof(receipts.leaves, index)],
    }
    parts: dict[str, Any] = {
        "mediaType": MEDIA_TYPE,
        "certificate": {"id": receipts.terms.certificate, "payload_sha256": payload_sha256},
        "receipt": record,
        "proof": proof,
    }
    return b"{\n" + b",\n".join(canonical_json(n) + b":" + canonical_json(v) for n, v in parts.items()) + b"\n}\n"


def receipt_id(key: bytes, order: str, pseudonym: bytes) -> bytes:
    """32 bytes that only the holder of `key` can make: HMAC-SHA-256 over the order's id and the pseudonym.

    Raises:
        InvalidValue: the key is not 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise InvalidValue(f"A receipt key has {KEY_BYTES} bytes, not {len(key)}.")
    return hmac.digest(key, b"unsee receipt id v1\n" + order.encode() + b"\n" + pseudonym, "sha256")


def _salt(key: bytes, receipt: bytes) -> bytes:
    return hmac.digest(key, b"unsee receipt salt v1\n" + receipt, "sha256")


def _leaf(key: bytes, terms: OrderTerms, person: PersonOutcome, receipt: bytes) -> tuple[dict[str, Any], bytes]:
    if person.outcome not in {"erased", "partly-erased", "refused"}:
        raise InvalidValue(f"{person.outcome!r} is no outcome.", next_step="Say erased, partly-erased or refused.")
    if person.outcome != "erased" and not person.ground:
        raise InvalidValue(f"A receipt that says {person.outcome} names its ground (R28, R37).")
    record = {
        "schema": SCHEMA,
        "receipt_id": receipt.hex(),
        "order": terms.order,
        "certificate": terms.certificate,
        "controller": terms.controller,
        "request_date": terms.request_date,
        "decided_at": terms.decided_at,
        "outcome": person.outcome,
        "ground": person.ground,
        "counts": person.counts,
        "model_effect": terms.model_effect,
        "model_effect_at": terms.model_effect_at,
        "backup_expiry": terms.backup_expiry,
        "recipients_told": list(terms.recipients_told),
        "suppressed": terms.suppressed,
        "complaint_route": terms.complaint_route,
    }
    return record, commit(_salt(key, receipt), canonical_json(record))
