"""The recipe of a face recogniser: all that decides a training besides its photos."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from unsee.core.canonical import digest
from unsee.core.errors import InvalidValue

_SCHEMA: Final = "unsee/face-recipe/1"
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "epochs": (1, 10_000),
    "side": (32, 512),  # below 32 a batch of one photo has no spread to normalise in the last stage
    "dimension": (2, 4_096),
    "width": (4, 512),
    "batch": (2, 65_536),
    "threads": (1, 1_024),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a training besides its photos. Equal recipes on equal photos, machine and build give equal bytes."""

    name: str = "cosface-small"
    seed: int = 1
    epochs: int = 8
    side: int = 48
    dimension: int = 128
    width: int = 24
    batch: int = 64
    """Mean photos to a batch; a hash deals them out, so batches differ in size."""
    scale: str = "24"
    margin: str = "0.3"
    margin_from: str = "0.15"
    margin_full: str = "0.50"
    """The margin grows from 0 to `margin` between these shares of the steps."""
    rate: str = "0.003"
    """Peak of the one-cycle learning rate."""
    decay: str = "0.05"
    threads: int = 1
    """Part of the recipe: another number of threads adds floats in another order and gives other bytes. One is the default because
    two save a third of the time on an idle machine and cost several times as much on a busy one, where they wait for each other."""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise InvalidValue(
                    f"The recipe's {name} is {getattr(self, name)}.", next_step=f"Give {least} to {most}."
                )
        if self.side % 16:
            raise InvalidValue(f"The recipe's side is {self.side}.", next_step="Give a multiple of 16.")
        for name in ("scale", "margin", "margin_from", "margin_full", "rate", "decay"):
            try:
                fits = Decimal(getattr(self, name)).is_finite() and Decimal(getattr(self, name)) >= 0
            except InvalidOperation:
                fits = False
            if not fits:
                raise InvalidValue(
                    f"The recipe's {name} is {getattr(self, name)!r}.", next_step="Give a decimal, 0 or more."
                )
        if not Decimal(self.margin_from) < Decimal(self.margin_full) <= 1:
            raise InvalidValue(
                f"The recipe's margin grows from {self.margin_from} to {self.margin_full} of the steps.",
                next_step="Give margin_from below margin_full, and that 1 at most.",
            )

    def as_json(self) -> dict[str, Any]:
        """As `recipe.json` holds it and as it is hashed: decimals are strings."""
        return {"schema": _SCHEMA, **asdict(self)}

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the canonical JSON."""
        return digest(self.as_json())

    @classmethod
    def from_json(cls, value: object) -> Recipe:
        """The recipe that `as_json` spelled.

        Raises:
            InvalidValue: another schema, or a field is missing, unknown or of another type.
        """
        if not isinstance(value, Mapping):
            raise InvalidValue("A recipe is a JSON object.", next_step="Hand in a recipe.json that unsee wrote.")
        expected = {f.name: str(f.type) for f in fields(cls)}
        given = {k: v for k, v in value.items() if k != "schema"}
        wrong = sorted(set(expected) ^ set(given)) + [
            k for k, t in expected.items() if k in given and type(given[k]).__name__ != t
        ]
        if value.get("schema") != _SCHEMA or wrong:
            raise InvalidValue(
                f"This is no face recipe of the schema {_SCHEMA}"
                + (f": look at {', '.join(wrong)}." if wrong else "."),
                next_step="Hand in a recipe.json that unsee wrote.",
            )
        return cls(**given)


def rate_at(share: float, recipe: Recipe) -> float:
    """The learning rate at `share` (0..1) of the steps: up a cosine for a quarter of them, then down one to almost nothing."""
    peak = float(recipe.rate)
    if share < 0.25:
        return peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * share / 0.25)))
    return peak * (0.0005 + 0.9995 * 0.5 * (1 + math.cos(math.pi * (share - 0.25) / 0.75)))


def margin_at(share: float, recipe: Recipe) -> float:
    """The margin at `share` (0..1) of the steps."""
    start, full = float(recipe.margin_from), float(recipe.margin_full)
    grown = 1.0 if share >= full else max(0.0, (share - start) / (full - start))
    return float(recipe.margin) * grown
