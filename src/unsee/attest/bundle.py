"""The file `certificate.json`: the signed statement and all that an outsider needs to check it offline.

One part a line, in a fixed order, each in its one spelling, so that no byte of the file is free (docs/certificate.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from unsee.attest.certificate import Statement
from unsee.attest.dsse import Envelope
from unsee.attest.keys import SigningKey
from unsee.attest.log import Log
from unsee.core.canonical import canonical_json
from unsee.core.errors import InvalidValue, Tampered

MEDIA_TYPE: Final = "application/vnd.unsee.certificate+json;version=1"
PARTS: Final = (
    "mediaType",
    "dsseEnvelope",
    "claimTree",
    "plan",
    "checkpoints",
    "consistency",
    "entries",
    "cosigners",
    "pdf",
)


@dataclass(frozen=True, slots=True)
class LoggedFact:
    """A fact that the certificate shows to be in the log: its kind, its record and salt, where it stands, its audit path."""

    what: str
    record: str
    """Canonical JSON whose field `fact` is `what`."""
    salt: bytes
    index: int
    proof: tuple[bytes, ...]

    def as_json(self) -> dict[str, Any]:
        """As it stands in the bundle."""
        return {
            "what": self.what,
            "record": self.record,
            "salt": self.salt.hex(),
            "index": self.index,
            "proof": [h.hex() for h in self.proof],
        }


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """Signed checkpoints at the opening of the order and at the end, and the proofs between them and the facts."""

    opening_note: str
    end_note: str
    consistency: tuple[bytes, ...]
    facts: tuple[LoggedFact, ...]


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A fact as the books keep it; what `log_evidence` needs of it."""

    what: str
    record: str
    salt: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Somebody who signs the statement besides the operator: an auditor, a second officer."""

    name: str
    title: str
    organisation: str
    role: str


@dataclass(frozen=True, slots=True)
class PdfSeal:
    """The digest of the printed certificate, signed together with the statement's."""

    sha256: str
    keyid: str
    signature: str

    @classmethod
    def of(cls, statement: Statement, pdf: bytes, key: SigningKey) -> PdfSeal:
        """The operator's seal over the PDF that goes with `statement`."""
        sha256 = hashlib.sha256(pdf).hexdigest()
        signature = key.sign(f"unsee pdf v1\n{statement.sha256}\n{sha256}".encode())
        return cls(sha256, key.public.fingerprint, signature.hex())


def log_evidence(log: Log, opening_note: str, opening_size: int, records: Sequence[LoggedRecord]) -> LogEvidence:
    """Proofs that `records` are in `log` as it stands now, and that it continues the checkpoint at the order's opening.

    Raises:
        IndexError: a record has no place in the log.
        Tampered: the log's files do not fit its checkpoint.
    """
    note, size = log.note(), log.checkpoint().size
    return LogEvidence(
        opening_note,
        note,
        tuple(log.consistency_proof(opening_size, size)),
        tuple(
            LoggedFact(r.what, r.record, r.salt, r.index, tuple(log.inclusion_proof(r.index, size)))
            for r in sorted(records, key=lambda r: r.index)
        ),
    )


def bundle(
    statement: Statement,
    envelope: Envelope,
    *,
    plan_summary: Mapping[str, Any],
    log: LogEvidence,
    pdf: PdfSeal | None,
) -> bytes:
    """The bytes of `certificate.json`.

    Raises:
        Tampered: the envelope is not over this statement.
    """
    if envelope.payload != statement.payload:
        raise Tampered("The envelope is over another statement.", next_step="Sign the statement that is certified.")
    return _file(
        {
            "mediaType": MEDIA_TYPE,
            "dsseEnvelope": envelope.as_json(),
            "claimTree": statement.claim_tree,
            "plan": plan_summary,
            "checkpoints": {"opening": log.opening_note, "end": log.end_note},
            "consistency": [h.hex() for h in log.consistency],
            "entries": [fact.as_json() for fact in log.facts],
            "cosigners": [],
            "pdf": None if pdf is None else asdict(pdf),
        }
    )


def cosign(certificate: bytes, cosigner: Cosigner, key: SigningKey) -> bytes:
    """The certificate with one more signature over the same statement, and a card that says whose it is.

    The card is signed by the cosigner's key, so that nobody edits the name beside a signature.

    Raises:
        InvalidValue: the bytes are no certificate.
        Conflict: that key has signed already.
    """
    try:
        parts = json.loads(certificate)
    except ValueError:
        parts = None
    if not isinstance(parts, dict) or tuple(parts) != PARTS:
        raise InvalidValue("This is no certificate.", next_step="Give the file certificate.json.")
    parts["dsseEnvelope"] = Envelope.from_json(parts["dsseEnvelope"]).signed_by(key).as_json()
    card = {**asdict(cosigner), "public_key": key.public.hex}
    signature = key.sign(b"unsee cosigner v1\n" + canonical_json(card)).hex()
    parts["cosigners"] = [*parts["cosigners"], {**card, "signature": signature}]
    return _file(parts)


def envelope_of(certificate: bytes) -> bytes:
    """The DSSE envelope inside a certificate, as canonical JSON: what the PDF carries as its attachment."""
    try:
        return canonical_json(json.loads(certificate)["dsseEnvelope"])
    except (ValueError, KeyError, TypeError):
        raise InvalidValue("This is no certificate.", next_step="Give the file certificate.json.") from None


def _file(parts: Mapping[str, Any]) -> bytes:
    lines = [canonical_json(name) + b":" + canonical_json(parts[name]) for name in PARTS]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"
