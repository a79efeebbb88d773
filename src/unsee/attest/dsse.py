"""DSSE envelopes (https://github.com/secure-systems-lab/dsse, protocol 1.0.2) with any number of Ed25519 signatures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from unsee.attest.keys import PublicKey, SigningKey
from unsee.core.errors import Conflict, InvalidValue

IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `keyid` is the fingerprint of its key (hexadecimal SHA-256 of the raw public key)."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and who signed it. Signers join one after the other; each signs the same bytes."""

    payload: bytes
    payload_type: str = IN_TOTO
    signatures: tuple[Signature, ...] = ()

    def signed_by(self, key: SigningKey) -> Envelope:
        """This envelope with the signature of `key` besides.

        Raises:
            Conflict: that key has signed it already.
        """
        keyid = key.public.fingerprint
        if any(s.keyid == keyid for s in self.signatures):
            raise Conflict(f"Key {keyid[:16]}… has signed this envelope already.", next_step="Sign with another key.")
        signature = Signature(keyid, key.sign(pae(self.payload_type, self.payload)))
        return replace(self, signatures=(*self.signatures, signature))

    def signers(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Those of `keys` whose signature is here and good."""
        message = pae(self.payload_type, self.payload)
        by_id = {s.keyid: s.sig for s in self.signatures}
        return tuple(k for k in keys if k.fingerprint in by_id and k.verify(by_id[k.fingerprint], message))

    def as_json(self) -> dict[str, Any]:
        """As DSSE writes it."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in self.signatures],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Envelope:
        """The envelope in parsed JSON.

        Raises:
            InvalidValue: it is no DSSE envelope.
        """
        try:
            return cls(
                base64.b64decode(value["payload"], validate=True),
                str(value["payloadType"]),
                tuple(
                    Signature(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in value["signatures"]
                ),
            )
        except (KeyError, TypeError, binascii.Error):
            raise InvalidValue(
                "This is no DSSE envelope.", next_step="Take the dsseEnvelope of a certificate."
            ) from None


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
