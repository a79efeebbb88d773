"""Item and subject sets as the tables hold them: Roaring bitmaps, portable serialisation; and to and from numpy."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from unsee.core.ids import ItemSet

_CONTAINER = 65_536
_NO_RUNS = 12_346
_ARRAY_AT_MOST = 4_096


def pack(members: ItemSet) -> bytes:
    """The bytes of a set, the same however it was built. An empty set packs to a few bytes."""
    canonical = members.copy()
    canonical.run_optimize()
    return bytes(canonical.serialize())


def unpack(blob: bytes | memoryview | str | None) -> ItemSet:
    """The set in a column; one that was never written is empty."""
    return ItemSet.deserialize(bytes(blob)) if blob and not isinstance(blob, str) else ItemSet()


def union(sets: Iterable[ItemSet]) -> ItemSet:
    """All members of all of them; empty for none."""
    return ItemSet.union(ItemSet(), *sets)


def to_array(members: ItemSet) -> npt.NDArray[np.uint32]:
    """The members, ascending. Cost: 0.5 ns and 4 bytes a member."""
    return np.frombuffer(members.to_array(), dtype=np.uint32)


def from_array(numbers: npt.NDArray[np.unsignedinteger]) -> ItemSet:
    """The set of these numbers, in any order. Cost: 5 ns a number that ascends."""
    values = array("I")
    values.frombytes(np.ascontiguousarray(numbers, dtype=np.uint32).tobytes())
    return ItemSet(values)


def from_mask(first: int, mask: npt.NDArray[np.bool_]) -> ItemSet:
    """The set of `first + i` where `mask[i]` holds.

    Cost: 1 ns a place of the mask, however many are set: the bitmap's own serialisation is put together and read back
    (RoaringFormatSpec, no run containers: cookie 12346, count; key and cardinality − 1 of each container; offsets; containers).
    """
    lead = first % _CONTAINER
    padded = np.zeros(-(-(lead + len(mask)) // _CONTAINER) * _CONTAINER, dtype=np.bool_)
    padded[lead : lead + len(mask)] = mask
    rows = padded.reshape(-1, _CONTAINER)
    held = [(first // _CONTAINER + i, int(n), rows[i]) for i, n in enumerate(np.count_nonzero(rows, axis=1)) if n]
    if not held:
        return ItemSet()
    bodies = [
        np.packbits(row, bitorder="little").tobytes()
        if count > _ARRAY_AT_MOST
        else np.flatnonzero(row).astype("<u2").tobytes()
        for _key, count, row in held
    ]
    head = struct.pack("<II", _NO_RUNS, len(held)) + b"".join(struct.pack("<HH", k, n - 1) for k, n, _row in held)
    sizes = [len(body) for body in bodies]
    offsets = len(head) + 4 * len(held) + np.cumsum([0, *sizes[:-1]])
    return ItemSet.deserialize(head + offsets.astype("<u4").tobytes() + b"".join(bodies))
