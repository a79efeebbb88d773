"""How the people of a source are known."""

from __future__ import annotations

import hmac

from unsee.core.ids import SourceId


def pseudonym(key: bytes, source: SourceId, person: str) -> bytes:
    """How a person of a source is known: HMAC-SHA-256 of the source and the giver's own id for them. 32 bytes."""
    return hmac.digest(key, f"unsee subject 1\n{source}\n{person}".encode(), "sha256")
