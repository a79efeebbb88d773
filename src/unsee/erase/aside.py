"""What an apply puts aside before it erases: the anchors by which the search for residue finds erased bytes again.

They are in the file before the bytes are gone, whatever kills the run: a unit that is done again finds its members absent and their
anchors in the file. The file is destroyed on certification.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unsee.core.errors import StoreError
from unsee.match.anchors import CODE_BYTES, AnchorKey, Words
from unsee.match.pictures import DEFAULT_LIMITS
from unsee.stores.contract import Store, read_many

_APPENDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class PutAside:
    """Of which members there are no anchors: those that are too small, and those that could not be read, or were absent."""

    small: int
    unread: int


class AnchorFile:
    """A file of codes, as `unsee.match.anchors.read_anchors` reads it. Appending is safe from several threads."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, AnchorKey(key)

    def put_aside(self, store: Store, object_name: str, selectors: Sequence[str]) -> PutAside:
        """Read these members and keep their anchors, on the disk when it returns.

        What is absent is among the unread: an earlier, killed run erased it and had put it aside before.
        Cost: one read of the members, and 3 ns a byte.
        """
        codes: list[Words] = []
        small = unread = 0
        for _selector, data in read_many(store, object_name, selectors, limit_bytes=DEFAULT_LIMITS.max_bytes):
            if isinstance(data, StoreError):
                unread += 1
                continue
            found = self._key.anchors(data)
            if len(found):
                codes.append(found)
            else:
                small += 1
        if codes:
            self._append(np.concatenate(codes).astype("<u8").tobytes())
        return PutAside(small, unread)

    def _append(self, data: bytes) -> None:
        with _APPENDING, self._path.open("ab") as file:
            # What a kill cut short is no anchor; it is filled up so that those after it stand at their places.
            torn = file.tell() % CODE_BYTES
            file.write(bytes((CODE_BYTES - torn) % CODE_BYTES) + data)
            file.flush()
            os.fsync(file.fileno())
