"""Typed ids: passing a `SourceId` where an `AgreementId` belongs fails the type check.

Names that people choose (sources, datasets, models …) are slugs; items and subjects have dense integers, given out in
order of intake, so that every collection of them is a Roaring bitmap.
"""

from __future__ import annotations

import re
from typing import NewType

from pyroaring import BitMap, FrozenBitMap

from unsee.core.errors import InvalidName

StoreId = NewType("StoreId", str)
SourceId = NewType("SourceId", str)
AgreementId = NewType("AgreementId", str)
PersonId = NewType("PersonId", str)
"""A member of staff who acts on the workspace. People in photos are subjects."""
DatasetId = NewType("DatasetId", str)
RunId = NewType("RunId", str)
ModelId = NewType("ModelId", str)
OrderId = NewType("OrderId", str)
PlanId = NewType("PlanId", str)
RecipientId = NewType("RecipientId", str)
"""Somebody outside to whom data or models went."""
InstructionId = NewType("InstructionId", str)
"""What one recipient was told to do under one order."""

ItemId = NewType("ItemId", int)
SubjectNo = NewType("SubjectNo", int)
"""Dense number of one data subject inside one workspace. Shows nothing; the pseudonym is a keyed hash beside it."""
ObjectNo = NewType("ObjectNo", int)
"""Dense number of one object of a store: a directory of files, a shard, a table."""

ItemSet = BitMap
FrozenItemSet = FrozenBitMap

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


def slug(text: str, *, what: str) -> str:
    """`text` itself when it can be an id: 1–64 of a–z, 0–9, dot, hyphen, underscore, with a letter or digit at both ends.

    Raises:
        InvalidName: it cannot; the error names `what` and the rule.
    """
    if not _SLUG.fullmatch(text):
        raise InvalidName(what=what, name=text)
    return text
