"""What a person signs who approves a plan."""

from __future__ import annotations

from unsee.attest.keys import PublicKey, SigningKey
from unsee.core.ids import PersonId


def approval_message(plan_digest: str, person: PersonId) -> bytes:
    """The bytes an approver signs: a fixed first line, the plan's SHA-256 in hexadecimal, the person's id."""
    return f"unsee approval v1\n{plan_digest}\n{person}".encode()


def sign_approval(key: SigningKey, plan_digest: str, person: PersonId) -> str:
    """The signature of an approval, hexadecimal."""
    return key.sign(approval_message(plan_digest, person)).hex()


def approval_fits(key: PublicKey, plan_digest: str, person: PersonId, signature: str) -> bool:
    """Whether `signature` (hexadecimal) is this person's approval of this plan."""
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        return False
    return key.verify(raw, approval_message(plan_digest, person))
