"""Channels: the registered ways by which a source's photos come in, and what becomes of photos that came by no such way.

The photos of 2014 were handed over by e-mail between two people. A channel is the opposite: a place that belongs to one
source, of a kind that the organisation itself keeps, registered by a named person before anything comes through it (R35).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from unsee.core.ids import PersonId, SourceId
from unsee.core.parties import Source, SourceKind

PERSONAL: Final = (
    "a personal channel; what goes through it only its two ends know, and nobody can show later what was handed over"
)

KINDS: Final[Mapping[str, str]] = {
    "folder": "",
    "sftp-drop": "",
    "bucket": "",
    "upload-form": "",
    "courier": "",
    "email": PERSONAL,
    "messenger": PERSONAL,
    "personal-drive": PERSONAL,
    "private-link": PERSONAL,
}
"""Every kind, and why it is refused; empty where it is allowed. All end in a folder: where deliveries lie when they have come."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way in. `location` is the folder below which its deliveries lie, absolute."""

    id: str
    source: SourceId
    kind: str
    location: str
    person: PersonId
    at: str
    closed_at: str | None = None

    def holds(self, folder: PurePath) -> bool:
        """Whether `folder` is its location or lies below it."""
        return PurePath(self.location) == folder or PurePath(self.location) in folder.parents

    def overlaps(self, folder: PurePath) -> bool:
        """Whether one of the two lies in the other."""
        return self.holds(folder) or folder in PurePath(self.location).parents


@dataclass(frozen=True, slots=True)
class Admission:
    """How a folder may come in: through `channel`; into quarantine for the reason `held`; or, with neither, as it is."""

    channel: str | None = None
    held: str = ""


def refused_kind(kind: str) -> str | None:
    """Why there may be no channel of this kind, in words; None where there may."""
    if kind not in KINDS:
        return f"{kind!r} is no kind of channel"
    return f"{kind}, {KINDS[kind]}" if KINDS[kind] else None


def conflict(
    source: SourceId, location: PurePath, channels: Iterable[Channel], *, used: Collection[str]
) -> Channel | None:
    """The channel of another source that a channel of `source` at `location` would overlap: one file has one giver.

    A closed channel counts as long as something came through it (its id is in `used`): what lies there stays its source's.
    """
    for channel in channels:
        open_or_used = channel.closed_at is None or channel.id in used
        if channel.source != source and open_or_used and channel.overlaps(location):
            return channel
    return None


def admission(source: Source, folder: PurePath, channels: Sequence[Channel]) -> Admission:
    """How photos of `source` that lie in `folder` may come in.

    Legacy sources need no channel: their photos can never be used. Synthetic ones need none either, for nobody is shown in
    them; but what lies in another source's channel is that source's, and passes for synthetic no more than for a partner's.
    """
    mine = [c for c in channels if c.source == source.id and c.holds(folder)]
    is_open = [c for c in mine if c.closed_at is None]
    if is_open:
        return Admission(channel=max(is_open, key=lambda c: (len(PurePath(c.location).parts), c.id)).id)
    if source.legacy:
        return Admission()
    other = [c for c in channels if c.source != source.id and c.closed_at is None and c.overlaps(folder)]
    if other:
        return Admission(held=f"the folder belongs to channel {other[0].id} of {other[0].source}, not of {source.id}")
    if source.kind is SourceKind.SYNTHETIC:
        return Admission()
    if mine:
        return Admission(held=f"channel {mine[-1].id} of {source.id} was closed on {str(mine[-1].closed_at)[:10]}")
    return Admission(held=f"it came through no registered channel of {source.id}")
