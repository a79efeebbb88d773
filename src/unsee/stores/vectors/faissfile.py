"""FAISS index files (`faiss.write_index`).

Types are known by their exact class; one that is not in the lists below is refused by name, because what else it keeps about
a vector (packed blocks, norms, refinement codes) is not known here. Nothing is unpickled: FAISS files are plain structures, and
reading is bounded by the size of the file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np

from unsee.stores.vectors.opened import Block, Codes, Labels, Opened, Unfit, kept_aside, same_rest

_ROWS = {
    *("IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexScalarQuantizer", "IndexPQ", "IndexLSH", "IndexRaBitQ"),
    *("IndexResidualQuantizer", "IndexLocalSearchQuantizer"),
}
_LISTS = {
    *("IndexIVFFlat", "IndexIVFScalarQuantizer", "IndexIVFPQ", "IndexIVFRaBitQ"),
    *("IndexIVFResidualQuantizer", "IndexIVFLocalSearchQuantizer"),
}
_GRAPHS = {"IndexHNSWFlat", "IndexHNSWSQ", "IndexHNSWPQ", "IndexNSGFlat", "IndexNSGSQ", "IndexNSGPQ", "IndexBinaryHNSW"}
_IDS = {"IndexIDMap", "IndexIDMap2", "IndexBinaryIDMap", "IndexBinaryIDMap2"}
_REFINED = {"IndexRefine", "IndexRefineFlat"}
_LOSSLESS = {"IndexIVFFlat"}
_NO_MAP = 0
"""`DirectMap::NoMap`."""
_ROOM_BYTES = 1 << 20
_MOST_BITS = 1 << 26
_reading = threading.Lock()


@dataclass(frozen=True)
class Faiss:
    """FAISS files. With `retrain`, the coarse quantiser of an IVF index is trained anew on what remains."""

    retrain: bool = False

    def load(self, file: int) -> Opened:
        """Read the index. Memory: its size, twice for inverted lists."""
        index = _read(file, faiss.IO_FLAG_READ_ONLY)
        return Opened(_blocks(index), _positional(index), removed=0, place=index)

    def write_without(self, opened: Opened, gone: Labels, file: int) -> None:
        """Take the ids out, write, read what was written and compare all rows that stay.

        Memory: three times the index. Time: for graphs, building them anew.
        """
        index, rest = opened.place, kept_aside(opened, gone)
        try:
            _drop(index, np.sort(gone), dense=False, retrain=self.retrain)
            _write(index, file)
        except (RuntimeError, MemoryError, AssertionError) as error:
            raise Unfit(f"FAISS cannot do it: {_words(error)}") from error
        # Nobody else knows this file: pages of it may stand for memory, as they may not of one that another program can cut.
        written = _read(file, faiss.IO_FLAG_MMAP_IFC)
        if not same_rest(rest, _blocks(written, own=False), dealt_anew=self.retrain):
            raise Unfit("the file that FAISS wrote does not hold the other vectors unchanged; it was not used")

    def bound(self, opened: Opened, gone: Labels) -> dict[int, str]:
        """Ids whose vector is also a centroid of the coarse quantiser, as k-means leaves it with few vectors a list."""
        if self.retrain or (quantizer := _quantizer(opened.place)) is None:
            return {}
        centroids = quantizer.reconstruct_n(0, quantizer.ntotal)
        known = {_row(row) for row in centroids}
        begin = _beginnings(np.ascontiguousarray(centroids).view(np.uint8))
        reason = "a centroid of the coarse quantiser is this very vector: open the store with retrain=true"
        rows = opened.rows_of(gone)
        heads = [_beginnings(block.codes[:, :8][inner]) for block, inner in opened.by_block(rows)]
        alike = rows[np.isin(np.concatenate(heads), begin)] if heads else rows
        return {
            int(block.labels[row]): reason
            for block, inner in opened.by_block(alike)
            for row in inner.tolist()
            if block.codes[row].tobytes() in known
        }


def _beginnings(codes: Codes) -> Any:
    """The first eight bytes of each row as a number."""
    head = np.zeros((len(codes), 8), np.uint8)
    head[:, : codes.shape[1]] = codes[:, :8]
    return head.view(np.uint64).ravel()


def _read(file: int, flags: int) -> Any:
    size = os.fstat(file).st_size
    head = os.pread(file, 4, 0)
    read = faiss.read_index_binary if head[:2] == b"IB" else faiss.read_index
    with _reading:  # the limit is the library's, not this call's
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(size + _ROOM_BYTES)
        try:
            return read(f"/proc/self/fd/{file}", flags)
        except (RuntimeError, MemoryError, ValueError) as error:
            raise Unfit(f"FAISS cannot read it: {_words(error)}") from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def _write(index: Any, file: int) -> None:
    os.ftruncate(file, 0)
    write = faiss.write_index_binary if isinstance(index, faiss.IndexBinary) else faiss.write_index
    write(index, f"/proc/self/fd/{file}")


def _plain(index: Any) -> Any:
    """The index as its own class."""
    return faiss.downcast_IndexBinary(index) if isinstance(index, faiss.IndexBinary) else faiss.downcast_index(index)


def _name(index: Any) -> str:
    return type(index).__name__


def _blocks(index: Any, *, own: bool = True) -> list[Block]:
    """The rows of an index; those of inverted lists are copied, so that they stay when it is changed, unless `own` is False."""
    name = _name(index)
    if name in _IDS:
        ids = faiss.vector_to_array(index.id_map)
        inner = _blocks(_plain(index.index), own=own)
        for block in inner:
            if len(block.labels) and not 0 <= int(block.labels.min()) <= int(block.labels.max()) < len(ids):
                raise Unfit("its map of ids does not fit its rows")
        return [replace(block, labels=ids[block.labels]) for block in inner]
    if name == "IndexPreTransform":
        chain = [index.chain.at(n) for n in range(index.chain.size())]
        return [replace(block, decode=_back(block.decode, chain)) for block in _blocks(_plain(index.index), own=own)]
    if name in _REFINED:
        base, fine = _plain(index.base_index), _plain(index.refine_index)
        return [*(replace(block, told=False) for block in _blocks(base, own=own)), *_blocks(fine, own=own)]
    if name in _GRAPHS:
        return _blocks(_plain(index.storage))
    if name == "IndexBinaryFlat":
        codes = _view(index.xb, index)
        return [Block(np.arange(index.ntotal), codes, lambda row: _row(codes[row]))]
    if name in _ROWS:
        codes = _view(index.codes, index)
        return [Block(np.arange(index.ntotal), codes, lambda row: _floats(index.reconstruct(row)))]
    if name in _LISTS or name == "IndexBinaryIVF":
        return _lists(index, own=own)
    raise Unfit(f"indexes of type {name} are not known to this store")


def _view(held: Any, index: Any) -> Any:
    """The codes where they lie, valid while the index lives and is not changed."""
    if held.size() != index.ntotal * index.code_size:
        raise Unfit("its codes do not fit its number of vectors")
    flat = faiss.rev_swig_ptr(held.data(), held.size()) if held.size() else np.empty(0, np.uint8)
    return flat.reshape(index.ntotal, index.code_size)


def _lists(index: Any, *, own: bool = True) -> list[Block]:
    lists = faiss.downcast_InvertedLists(index.invlists)
    if _name(lists) != "ArrayInvertedLists":
        raise Unfit(f"its vectors lie outside the index file ({_name(lists)}): bring them into it first")
    width = lists.code_size
    found = []
    for number in range(lists.nlist):
        rows = lists.list_size(number)
        ids = faiss.rev_swig_ptr(lists.get_ids(number), rows) if rows else np.empty(0, np.int64)
        raw = faiss.rev_swig_ptr(lists.get_codes(number), rows * width) if rows else np.empty(0, np.uint8)
        if own:
            ids, raw = ids.copy(), raw.copy()
        codes = raw.reshape(rows, width)
        found.append(Block(ids, codes, _decoder(index, number, codes), own=own))
    return found


def _decoder(index: Any, number: int, codes: Any) -> Callable[[int], bytes]:
    if isinstance(index, faiss.IndexBinary):
        return lambda row: bytes(codes[row])

    def decode(row: int) -> bytes:
        vector = np.empty(index.d, np.float32)
        index.reconstruct_from_offset(number, row, faiss.swig_ptr(vector))
        return _floats(vector)

    return decode


def _back(decode: Callable[[int], bytes], chain: list[Any]) -> Callable[[int], bytes]:
    """The vector before the transforms, or after those that cannot be undone."""

    def undone(row: int) -> bytes:
        vector = np.frombuffer(decode(row), "<f4").reshape(1, -1)
        for step in reversed(chain):
            try:
                vector = step.reverse_transform(np.ascontiguousarray(vector))
            except RuntimeError:
                break
        return _floats(vector)

    return undone


def _floats(vector: Any) -> bytes:
    return bytes(np.ascontiguousarray(vector, "<f4").tobytes())


def _positional(index: Any) -> bool:
    name = _name(index)
    if name == "IndexPreTransform":
        return _positional(_plain(index.index))
    return name not in _IDS | _LISTS | {"IndexBinaryIVF"}


def _drop(index: Any, gone: Labels, *, dense: bool, retrain: bool) -> None:
    """Take ids out of the index. `dense`: its ids are places for the index around it and close up."""
    name = _name(index)
    if name in _IDS:
        ids = faiss.vector_to_array(index.id_map)
        going = np.isin(ids, gone)
        _drop(_plain(index.index), np.flatnonzero(going), dense=True, retrain=retrain)
        faiss.copy_array_to_vector(ids[~going], index.id_map)
        index.ntotal = int((~going).sum())
        if name.endswith("2"):
            index.construct_rev_map()
    elif name == "IndexPreTransform":
        inner = _plain(index.index)
        _drop(inner, gone, dense=dense, retrain=retrain)
        index.ntotal = inner.ntotal
    elif name in _REFINED:
        base, fine = _plain(index.base_index), _plain(index.refine_index)
        _drop(base, gone, dense=True, retrain=retrain)
        _drop(fine, gone, dense=True, retrain=False)
        index.ntotal = fine.ntotal
    elif name in _GRAPHS:
        _grow_again(index, gone)
    elif name in _LISTS or name == "IndexBinaryIVF":
        _drop_from_lists(index, gone, dense=dense, retrain=retrain)
    else:
        index.remove_ids(_chosen(gone))


def _chosen(gone: Labels) -> Any:
    """Ids as FAISS asks for them: a bit for each number where that is small, otherwise a table."""
    if len(gone) and gone[0] >= 0 and gone[-1] < _MOST_BITS:
        bits = np.zeros(int(gone[-1]) + 1, np.bool_)
        bits[gone] = True
        return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg,arg-type]
    return faiss.IDSelectorBatch(gone)


def _drop_from_lists(index: Any, gone: Labels, *, dense: bool, retrain: bool) -> None:
    index.set_direct_map_type(_NO_MAP)  # a table from id to place, made anew by whoever needs it
    if retrain:
        if _name(index) not in _LOSSLESS:
            raise Unfit(f"retrain: {_name(index)} holds codes, and training needs the vectors that they were made of")
        _train_again(index, gone)
    else:
        index.remove_ids(_chosen(gone))
    if dense:
        lists = faiss.downcast_InvertedLists(index.invlists)
        for number in range(lists.nlist):
            if rows := lists.list_size(number):
                ids = faiss.rev_swig_ptr(lists.get_ids(number), rows)
                ids -= np.searchsorted(gone, ids)


def _train_again(index: Any, gone: Labels) -> None:
    blocks = _lists(index)
    labels = np.concatenate([block.labels for block in blocks])
    vectors = np.concatenate([block.codes for block in blocks]).view(np.float32)
    keep = ~np.isin(labels, gone)
    index.reset()
    index.quantizer.reset()
    index.is_trained = False
    index.cp.min_points_per_centroid = 1  # a warning on standard error is nobody's here
    index.train(np.ascontiguousarray(vectors[keep]))
    index.add_with_ids(np.ascontiguousarray(vectors[keep]), labels[keep])


def _grow_again(index: Any, gone: Labels) -> None:
    """A new graph over the rows that stay, by the parameters of the old; their codes are put back bit by bit."""
    storage = _plain(index.storage)
    (block,) = _blocks(storage)
    codes = np.delete(block.codes, gone, axis=0)
    binary = isinstance(index, faiss.IndexBinary)
    vectors = codes if binary else storage.sa_decode(codes)
    index.reset()
    if len(codes):
        index.add(vectors)
        # To encode what was decoded may choose another code of the same vector.
        faiss.copy_array_to_vector(codes.ravel(), storage.xb if binary else storage.codes)


def _quantizer(index: Any) -> Any:
    """The coarse quantiser, where lists hold vectors as they are; None elsewhere."""
    while _name(index) in _IDS | _REFINED | {"IndexPreTransform"}:
        index = _plain(index.base_index if _name(index) in _REFINED else index.index)
    return _plain(index.quantizer) if _name(index) in _LOSSLESS | {"IndexBinaryIVF"} else None


def _row(row: Any) -> bytes:
    return bytes(np.ascontiguousarray(row).tobytes())


def _words(error: BaseException) -> str:
    """What FAISS says, without where in its source it says it, on one line."""
    said = " ".join((str(error) or type(error).__name__).split())
    return said.rpartition("Error: ")[2].rstrip(".")[:200]
