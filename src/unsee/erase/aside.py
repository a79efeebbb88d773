"""What an apply puts aside before it erases: the anchors by which the search for residue finds erased bytes again.

They are in the file before the bytes are gone, whatever kills the run: a unit that is done again finds its members absent and their
anchors in the file. The file is destroyed on certification.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unsee.core.errors import StoreError
from unsee.match.anchors import CODE_BYTES, AnchorKey, Words
from unsee.match.pictures import DEFAULT_LIMITS
from unsee.stores.contract import Store, read_many

_APPENDING = threading.Lock()


class AnchorFile:
    """A file of codes, as `unsee.match.anchors.read_anchors` reads it. Appending is safe from several threads."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, AnchorKey(key)

    def put_aside(self, store: Store, object_name: str, selectors: Sequence[str]) -> int:
        """Read these members and keep their anchors, on the disk when it returns; how many have none, being small or unreadable.

        What is absent is passed over: an earlier, killed run erased it and had put it aside before.
        Cost: one read of the members, and 3 ns a byte.
        """
        present = [
            selector
            for selector, stamp in zip(selectors, store.stamps(object_name, selectors), strict=True)
            if stamp is not None
        ]
        codes: list[Words] = []
        without = 0
        for _selector, data in read_many(store, object_name, present, limit_bytes=DEFAULT_LIMITS.max_bytes):
            found = None if isinstance(data, StoreError) else self._key.anchors(data)
            if found is None or not len(found):
                without += 1
            else:
                codes.append(found)
        if codes:
            self._append(np.concatenate(codes).astype("<u8").tobytes())
        return without

    def _append(self, data: bytes) -> None:
        with _APPENDING, self._path.open("ab") as file:
            # What a kill cut short is no anchor; it is filled up so that those after it stand at their places.
            torn = file.tell() % CODE_BYTES
            file.write(bytes((CODE_BYTES - torn) % CODE_BYTES) + data)
            file.flush()
            os.fsync(file.fileno())
