"""RFC 6962 Merkle trees over SHA-256: roots, inclusion and consistency proofs. Pure; leaves are bytes.

Leaf hash = SHA-256(0x00 ‖ leaf), node hash = SHA-256(0x01 ‖ left ‖ right); the left subtree of n leaves holds the largest
power of two smaller than n (RFC 6962 §2.1; RFC 9162 §2.1). The root of no leaves is SHA-256 of the empty string.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """The 32-byte hash of one leaf."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of an interior node."""
    return _sha256(b"\x01" + left + right).digest()


def root_of_hashes(hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes that come one after the other. Cost: n − 1 node hashes, O(log n) memory."""
    stack: list[tuple[int, bytes]] = []  # complete subtrees, widest first
    for leaf in hashes:
        height, node = 0, leaf
        while stack and stack[-1][0] == height:
            node = node_hash(stack.pop()[1], node)
            height += 1
        stack.append((height, node))
    if not stack:
        return _sha256(b"").digest()
    node = stack.pop()[1]
    while stack:
        node = node_hash(stack.pop()[1], node)
    return node


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaves."""
    return root_of_hashes(map(leaf_hash, leaves))


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index`, nearest sibling first (RFC 6962 §2.1.1).

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise IndexError(f"leaf {index} of {len(hashes)}")
    path: list[bytes] = []
    low, high = 0, len(hashes)
    while high - low > 1:
        split = low + _largest_power_below(high - low)
        if index < split:
            path.append(root_of_hashes(hashes[split:high]))
            high = split
        else:
            path.append(root_of_hashes(hashes[low:split]))
            low = split
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that `path` leads to from the leaf hash `leaf`, or None where the path has the wrong length."""
    if not 0 <= index < size:
        return None
    node, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            return None
        if index % 2 or index == last:
            node = node_hash(sibling, node)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Proof that the tree over the first `old_size` leaf hashes is a prefix of the tree over all (RFC 6962 §2.1.2).

    Raises:
        IndexError: `old_size` is not between 1 and the number of leaves.
    """
    if not 1 <= old_size <= len(hashes):
        raise IndexError(f"a tree of {old_size} in a tree of {len(hashes)}")
    path: list[bytes] = []
    low, high, old, whole = 0, len(hashes), old_size, True
    while old != high - low:
        split = _largest_power_below(high - low)
        if old <= split:
            path.append(root_of_hashes(hashes[low + split : high]))
            high = low + split
        else:
            path.append(root_of_hashes(hashes[low : low + split]))
            low, old, whole = low + split, old - split, False
    if not whole:
        path.append(root_of_hashes(hashes[low:high]))
    return path[::-1]


def is_consistent(old_size: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree `old_root` of `old_size` leaves is a prefix of `new_root` (RFC 9162 §2.1.4.2)."""
    if old_size == size:
        return old_root == new_root and not proof
    if not 0 < old_size < size or not proof:
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    index, last = old_size - 1, size - 1
    while index % 2:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if index % 2 or index == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, node)
        index, last = index >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _largest_power_below(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1
