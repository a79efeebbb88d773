"""What was seen, how gone an item is, and what each claim rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Ground(StrEnum):
    """What a claim rests on. The certificate prints it beside each claim."""

    RECOMPUTABLE = "recomputable"
    """An outsider recomputes it from the certificate and its bundle."""
    OBSERVED = "observed"
    """The tool saw it; whoever trusts the tool's run trusts it."""
    ATTESTED = "attested"
    """A person says so."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of a certificate. `value` is JSON without floats; measurements are decimal strings."""

    id: str
    ground: Ground
    statement: str
    value: Any

    def as_json(self) -> dict[str, Any]:
        """As it stands in the certificate."""
        return {"id": self.id, "ground": str(self.ground), "statement": self.statement, "value": self.value}


class Gone(StrEnum):
    """How gone an item is; steps are never merged, and a store claims only the step that it checked."""

    D0 = "D0 unreferenced"
    D1 = "D1 gone from the current view"
    D2 = "D2 gone from all versions, tags, branches and side-cars that the store can reach"
    D3 = "D3 bytes overwritten or trimmed"
    D4 = "D4 key destroyed"
    D5 = "D5 out of reach"

    @property
    def step(self) -> str:
        """`D0` … `D5`."""
        return self.name


class Assurance(StrEnum):
    """Assurance level of an order (R6)."""

    L1 = "L1"
    """Not retrievable in the normal course of business."""
    L2 = "L2"
    """Not retrievable by physical or technical means."""


def assurance_of(gone: Gone) -> Assurance | None:
    """The level that a step of the ladder reaches: D2 gives L1; D3 and D4 give L2; the others none (R6, R8)."""
    return {Gone.D2: Assurance.L1, Gone.D3: Assurance.L2, Gone.D4: Assurance.L2}.get(gone)


class ModelDisposition(StrEnum):
    """What becomes of an affected model; each gets exactly one (R10)."""

    DESTROYED = "destroyed"
    RETRAINED = "retrained"
    UNLEARNED = "unlearned"
    INFEASIBLE = "infeasible"
    OUT_OF_SCOPE = "outside-model-scope"


class ForgettingEvidence(StrEnum):
    """What a model may claim, strongest first (see docs/glossary)."""

    A = "A destroyed and retrained, replay byte-equal"
    B = "B exact removal of a row or compartment"
    C = "C convex certificate"
    D = "D approximate with audit"
    E = "E artefacts destroyed, no claim on effect"
