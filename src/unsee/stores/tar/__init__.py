"""WebDataset tar shards as a store: in place where that is possible, by rewriting elsewhere."""

from unsee.stores.tar.store import TarStore, compact, open_tar

__all__ = ["TarStore", "compact", "open_tar"]
