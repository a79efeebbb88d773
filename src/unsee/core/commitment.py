"""What a set of photos is, in 32 bytes: Merkle roots over (item id, SHA-256 of its bytes).

Two levels, so that proving "nothing else was touched" costs what an order touches: each intake batch has a root over its items,
and a collection has a root over its batches. A batch that an order does not touch keeps the root it got at intake.
"""

from __future__ import annotations

from collections.abc import Iterable

from unsee.core import merkle
from unsee.core.ids import ItemId


def item_leaf(item: ItemId, sha256: bytes) -> bytes:
    """The leaf of one item: its id, 8 bytes big-endian, then the 32-byte SHA-256 of its bytes."""
    return item.to_bytes(8, "big") + sha256


def items_root(pairs: Iterable[tuple[ItemId, bytes]]) -> bytes:
    """The RFC 6962 root over items, which come ascending by id."""
    return merkle.root(item_leaf(item, sha256) for item, sha256 in pairs)


def batch_leaf(batch_no: int, count: int, root: bytes) -> bytes:
    """The leaf of one batch: its number and how many items are left in it, 8 bytes big-endian each, then its root."""
    return batch_no.to_bytes(8, "big") + count.to_bytes(8, "big") + root


def collection_root(batches: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The root over (batch number, items left, root of those items), ascending by number; empty batches are passed over."""
    return merkle.root(batch_leaf(no, count, root) for no, count, root in batches if count)
