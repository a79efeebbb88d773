"""Populations of rendered people: who they are, and photos of them. No person is shown, so there are no rights to clear.

The same population seed, person and photo number give the same pixels on the same machine and build, whatever else was
rendered before, in whichever order and process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from unsee.core.errors import InvalidValue
from unsee.replace.identity import Identity, Tone, draw_identity
from unsee.replace.scene import SIDE, take_photo

__all__ = ["SIDE", "Person", "Population", "Tone", "render"]

_WHO, _PHOTO = 0, 1
_IDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Person:
    """One rendered person: the giver's id, what a giver would know of them, and the identity that is drawn."""

    number: int
    id: str
    age: int
    sex: str
    """`f` or `m`."""
    latitude: float
    longitude: float
    identity: Identity
    seed: int
    """Seed of the population."""

    @property
    def tone(self) -> Tone:
        """The skin-tone group."""
        return self.identity.tone


@dataclass(frozen=True)
class Population:
    """People by seed and number in each skin-tone group.

    Person `j` is drawn from (seed, j) and their group alone; the groups are shuffled over the numbers, so that no run of
    numbers is of one group.

    Raises:
        InvalidValue: a group has no such name or a negative number, the seed is negative, or nobody is in it.
    """

    seed: int
    tones: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidValue(f"The population seed is {self.seed}.", next_step="Give one that is 0 or more.")
        for tone, count in self.tones.items():
            if tone not in set(Tone):
                raise InvalidValue(f"There is no skin-tone group {tone!r}.", next_step=f"Groups: {', '.join(Tone)}.")
            if count < 0:
                raise InvalidValue(
                    f"The group {tone} has {count} people.", next_step="Give a number that is 0 or more."
                )
        if not 0 < sum(self.tones.values()) <= _IDS:
            raise InvalidValue(
                f"The population has {sum(self.tones.values())} people.", next_step=f"Give 1 to {_IDS:,} in all."
            )

    def __len__(self) -> int:
        return sum(self.tones.values())

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everyone, by number. Costs about 0.2 ms each, once."""
        groups = [Tone(tone) for tone in sorted(self.tones) for _ in range(self.tones[tone])]
        order = np.random.default_rng(np.random.SeedSequence(self.seed)).permutation(len(groups))
        return tuple(_person(self.seed, number, groups[place]) for number, place in enumerate(order))


def render(person: Person, photo: int) -> npt.NDArray[np.uint8]:
    """Photo number `photo` of `person`, (112, 112, 3) uint8 RGB. Pure; costs about 6 ms on one core."""
    return take_photo(person.identity, generator(person.seed, person.number, _PHOTO, photo))


def generator(seed: int, *key: int) -> np.random.Generator:
    """The random numbers of one matter (`key`) in the population of that seed; matters do not disturb each other."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def _person(seed: int, number: int, tone: Tone) -> Person:
    rng = generator(seed, number, _WHO)
    sex = "f" if rng.random() < 0.5 else "m"
    age = int(np.clip(round(18 + rng.gamma(2.2, 7.5)), 18, 79))
    town = _TOWNS[rng.integers(len(_TOWNS))]
    north, east = rng.normal(0, 0.08, 2)
    return Person(
        number=number,
        id=f"u{_shuffled_id(seed, number):06d}",
        age=age,
        sex=sex,
        latitude=round(float(town[0] + north), 5),
        longitude=round(float(town[1] + east), 5),
        identity=draw_identity(rng, tone=tone, sex=sex, age=age),
        seed=seed,
    )


def _shuffled_id(seed: int, number: int) -> int:
    """A user number that shows no order: a bijection of 0..999,999, so that no two people share one."""
    # 387,420,489 = 3^18 shares no factor with 10^6, so multiplication by it permutes the residues.
    return (number * 387_420_489 + seed * 7_919 + 4_217) % _IDS


# Large towns, (latitude, longitude) in degrees: what a phone's GPS would have noted.
_TOWNS: Final = (
    (40.7128, -74.0060),
    (34.0522, -118.2437),
    (41.8781, -87.6298),
    (29.7604, -95.3698),
    (33.7490, -84.3880),
    (47.6062, -122.3321),
    (42.3601, -71.0589),
    (39.7392, -104.9903),
    (51.5074, -0.1278),
    (43.6532, -79.3832),
)
