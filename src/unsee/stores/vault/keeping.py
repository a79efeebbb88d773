"""What the people who keep a vault's keys do: look at the ring, back it up, declare copies destroyed, change the master key."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unsee.core.errors import InvalidValue
from unsee.stores.vault import index, layout, ring
from unsee.stores.vault.ring import OpenRing, RingCopy, State
from unsee.stores.vault.store import VaultStore
from unsee.stores.vault.wrapping import open_wrapper


@dataclass(frozen=True, slots=True)
class SourceKey:
    """The key of one source: `state` is live, destroyed, or why it cannot be said. Members are those of the index."""

    object: str
    slot: int
    key_id: str
    state: str
    members: int
    people: int


@dataclass(frozen=True, slots=True)
class RingReport:
    """What a ring holds. `against` are the reasons for which destroying a key is not called D4 now (R8)."""

    path: str
    live: int
    destroyed: int
    damaged: int
    sources: tuple[SourceKey, ...]
    copies: tuple[RingCopy, ...]
    against: tuple[str, ...]
    returned: tuple[str, ...]
    """Ids of keys that were destroyed and are there again: the ring is an old copy (R7)."""


def report(store: VaultStore) -> RingReport:
    """Look at the ring and at the objects of the vault. Needs no master key. Cost: every slot is read."""
    with ring.opened(store.keys) as keys:
        states = Counter(slot.state if slot is not None else None for slot in keys.slots())
        objects = [name for name in layout.objects(store.location) if isinstance(name, str)]
        lives = [life for name in objects for life in layout.lives(store.location, name)]
        back = [key_id.hex() for _slot, key_id in layout.returned(store.location, keys)]
        return RingReport(
            path=store.keys,
            live=states[State.LIVE],
            destroyed=states[State.DESTROYED],
            damaged=states[None],
            sources=tuple(_source(keys, life) for life in lives),
            copies=tuple(keys.copies()),
            against=tuple(keys.against(store.wrapper())),
            returned=tuple(back),
        )


def back_up(store: VaultStore, place: Path) -> RingCopy:
    """Write a copy of the ring to a new file, and note it in the ring first: D4 is not claimed while it is out (R8).

    Raises:
        AlreadyExists: there is a file.
        InvalidValue: it would lie in the vault, or its path is too long for the register.
    """
    place = place.resolve()
    if Path(store.location).resolve() in place.parents:
        raise InvalidValue(
            f"{place} lies in the vault: whoever copies one copies the other.",
            next_step="Keep the copy away from the vault.",
        )
    if len(str(place).encode()) > ring.MAX_PLACE:
        raise InvalidValue(
            f"The register holds paths of at most {ring.MAX_PLACE} bytes.", next_step="Choose another place."
        )
    if place.exists():
        raise InvalidValue(f"There is a file at {place}.", next_step="Choose another place.")
    with ring.opened(store.keys, change=True) as keys:
        made = keys.register(str(place), now=_now())
        ring.copy_to(keys, str(place))
    return made


def declare_destroyed(store: VaultStore, number: int, by: str) -> RingCopy:
    """Note that somebody says that a copy of the ring is destroyed. Whether it is, nobody can see from here.

    Raises:
        NotFound: the register has no such copy.
    """
    with ring.opened(store.keys, change=True) as keys:
        return keys.declare_destroyed(number, by, now=_now())


def rotate(store: VaultStore, wrap: str) -> int:
    """Wrap every key under another master key, each in its slot; how many. A killed call is resumed by the same one.

    Raises:
        StoreError: the new master key cannot be used, or neither opens a key.
    """
    new = open_wrapper(wrap)
    new.unwrap(new.wrap(bytes(32), b"try"), b"try")  # before the first slot depends on it
    with ring.opened(store.keys, change=True) as keys:
        return keys.rewrap(store.wrapper(), new)


def _source(keys: OpenRing, life: layout.Life) -> SourceKey:
    found = keys.known(life.slot, life.key_id)
    members = people = 0
    if (life.path / index.NAME).is_file():
        with index.opened(life.path) as rows:
            members, people = rows.count(), len(rows.people())
    return SourceKey(life.object, life.slot, life.key_id.hex(), found, members, people)


def _now() -> int:
    return int(datetime.now(UTC).timestamp())
