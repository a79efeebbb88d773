"""Our words in those of the W3C Data Privacy Vocabulary (DPV 2.2), for consent records that others read.

Structure and fields: ISO/IEC TS 27560:2023 as in the guide "Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV"
(https://w3id.org/dpv/guides/consent-27560). DPV has no purpose as narrow as ours; each of ours is a purpose of its own with the
nearest one of DPV as `skos:broader`, and what DPV and its AI extension call the processing as `skos:related`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from unsee.core.consent import ConsentState
from unsee.core.purposes import PARENT, known

PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560#record"
"""What `dct:conformsTo` names: the schema version of a record."""

PREFIXES: Final[Mapping[str, str]] = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "ai": "https://w3id.org/dpv/ai#",
    "loc": "https://w3id.org/dpv/loc#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
    "dcat": "http://www.w3.org/ns/dcat#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "unsee": "urn:unsee:term:",
}
_LINKS: Final = (
    *("dct:conformsTo", "dct:source", "dpv:hasConsentControl", "dpv:hasDataController", "dpv:hasDataSubject"),
    *("dpv:hasJurisdiction", "dpv:hasLegalBasis", "dpv:hasNotice", "dpv:hasPersonalData", "dpv:hasProcess"),
    *("dpv:hasPurpose", "dpv:hasRecipient", "dpv:isIndicatedBy", "skos:broader", "skos:related"),
)
_TYPED: Final = {
    "dpv:isIndicatedAtTime": "xsd:dateTime",
    "dcat:startDate": "xsd:dateTime",
    "dcat:endDate": "xsd:dateTime",
    "dct:date": "xsd:date",
}
CONTEXT: Final[Mapping[str, Any]] = {
    "@version": 1.1,
    **PREFIXES,
    **{name: {"@type": "@id"} for name in _LINKS},
    **{name: {"@type": kind} for name, kind in _TYPED.items()},
}
"""The context that every document carries in itself, so that nobody needs a network to read it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a purpose is called by DPV: the purpose above it, and the processing that it is about."""

    label: str
    broader: str
    related: tuple[str, ...] = ()


PURPOSES: Final[Mapping[str, Meaning]] = {
    "any": Meaning("Any use", "dpv:Purpose"),
    "train": Meaning("Train a model", "dpv:ResearchAndDevelopment", ("ai:ModelTraining",)),
    "train-face-recognition": Meaning(
        "Train face recognition", "dpv:ResearchAndDevelopment", ("ai:ModelTraining", "ai:FaceRecognition")
    ),
    "train-face-attributes": Meaning(
        "Train estimators of age, sex, race or the like",
        "dpv:ResearchAndDevelopment",
        ("ai:ModelTraining", "ai:BiometricCategorisation"),
    ),
    "evaluate": Meaning("Measure a model", "dpv:ResearchAndDevelopment", ("ai:TestingData",)),
    "test-fairness": Meaning(
        "Measure differences between groups of people", "dpv:ResearchAndDevelopment", ("ai:TestingData",)
    ),
    "synthesise": Meaning("Generate synthetic faces", "dpv:ResearchAndDevelopment", ("dpv:SyntheticData",)),
    "share": Meaning("Give to others", "dpv:Purpose", ("dpv:Share",)),
    "use-model": Meaning("Use a model", "dpv:Purpose"),
    "verify-1-to-1": Meaning("Verify that someone is who they say", "dpv:IdentityVerification"),
    "identify-1-to-n": Meaning("Find out who someone is", "dpv:Purpose", ("ai:BiometricIdentification",)),
    "estimate-attributes": Meaning(
        "Estimate age, sex, race or the like", "dpv:Purpose", ("ai:BiometricCategorisation",)
    ),
    "mass-surveillance": Meaning("Watch crowds", "dpv:Purpose", ("ai:RemoteBiometricIdentification",)),
}

BASES: Final[Mapping[str, str]] = {
    "consent": "dpv:Consent",
    "explicit-consent": "dpv:ExplicitlyExpressedConsent",
    "gdpr-6-1-a": "eu-gdpr:A6-1-a",
    "gdpr-9-2-a": "eu-gdpr:A9-2-a",
}
"""Lawful bases of a consent record, and the terms for them."""

STATES: Final[Mapping[str, ConsentState]] = {
    "dpv:ConsentGiven": ConsentState.GIVEN,
    "dpv:RenewedConsentGiven": ConsentState.GIVEN,
    "dpv:ConsentWithdrawn": ConsentState.WITHDRAWN,
    "dpv:ConsentRefused": ConsentState.WITHDRAWN,
}
"""What each event of a record says. A refusal and a withdrawal are both a no."""

DATA_TYPES: Final[Mapping[str, str]] = {
    "photo": "pd:Picture",
    "embedding": "pd:FacialPrint",
    "biometric": "pd:Biometric",
    "demographics": "pd:Demographic",
    "location": "pd:Location",
    "age": "pd:Age",
    "gender": "pd:Gender",
    "race": "pd:Race",
}

_PURPOSE: Final = "urn:unsee:purpose:"
_REGION: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


def purpose_iri(purpose: str) -> str:
    """The IRI of one of our purposes.

    Raises:
        UnknownPurpose: it is not in the tree.
    """
    return _PURPOSE + known(purpose)


def purpose_of(iri: str) -> str:
    """The purpose behind an IRI; what is not one of ours is given back as it is, and nobody knows it."""
    return iri.removeprefix(_PURPOSE)


def purpose_node(purpose: str) -> dict[str, Any]:
    """One purpose as a node: its kind, label, what is above it in our tree and in DPV's, what it is related to."""
    meaning = PURPOSES[known(purpose)]
    above = PARENT[purpose]
    return {
        "@id": purpose_iri(purpose),
        "@type": "dpv:Purpose",
        "skos:prefLabel": meaning.label,
        "skos:broader": [*([purpose_iri(above)] if above else []), meaning.broader],
        **({"skos:related": list(meaning.related)} if meaning.related else {}),
    }


def jurisdiction_term(code: str) -> str:
    """A jurisdiction as a term of DPV's locations where it is an ISO 3166 code, otherwise as a name of ours."""
    return f"loc:{code.upper()}" if _REGION.fullmatch(code.upper()) else f"urn:unsee:jurisdiction:{code}"


def jurisdiction_of(term: str) -> str:
    """The code behind a term."""
    return term.removeprefix(PREFIXES["loc"]).removeprefix("loc:").removeprefix("urn:unsee:jurisdiction:")


def expand(term: str) -> str:
    """The full IRI of a prefixed term."""
    prefix, colon, name = term.partition(":")
    return PREFIXES[prefix] + name if colon and prefix in PREFIXES else term
