"""Item and subject sets as the tables hold them: Roaring bitmaps, portable serialisation."""

from __future__ import annotations

from unsee.core.ids import ItemSet


def pack(members: ItemSet) -> bytes:
    """The bytes of a set, the same however it was built. An empty set packs to a few bytes."""
    canonical = members.copy()
    canonical.run_optimize()
    return bytes(canonical.serialize())


def unpack(blob: bytes | memoryview | str | None) -> ItemSet:
    """The set in a column; one that was never written is empty."""
    return ItemSet.deserialize(bytes(blob)) if blob and not isinstance(blob, str) else ItemSet()
