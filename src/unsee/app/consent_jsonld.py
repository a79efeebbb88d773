"""Consent records as ISO/IEC TS 27560 in JSON-LD with terms of the W3C Data Privacy Vocabulary: how they are written and read.

Two layouts. One document with one `@graph`: context, notices and purposes stand once, then one record a line. Or JSON Lines: each
line a document of its own, with its context and all that it speaks of. Both carry their context in themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from unsee.core.consent import ConsentState
from unsee.core.dpv import (
    BASES,
    CONTEXT,
    DATA_TYPES,
    PREFIXES,
    PROFILE,
    STATES,
    jurisdiction_of,
    purpose_iri,
    purpose_of,
)
from unsee.core.errors import MetadataError
from unsee.core.notices import Notice

if TYPE_CHECKING:
    from unsee.app.consent_rows import Report

SUBJECT: Final = "urn:unsee:subject:"
NOTICE: Final = "urn:unsee:notice:"
MAX_GRAPH_BYTES: Final = 256 << 20
"""A graph that others laid out is read whole; a larger one wants to be JSON Lines."""


@dataclass(frozen=True, slots=True)
class Event:
    """One record: what one person said, as the books hold it."""

    record_id: str
    pseudonym: str
    source: str
    purposes: tuple[str, ...]
    state: ConsentState
    notice: str
    basis: str
    said_at: str
    valid_from: str
    valid_until: str
    jurisdictions: tuple[str, ...]
    release_sha256: str
    released: bool


def record_node(event: Event, notices: Mapping[str, Sequence[Notice]], *, whole: bool) -> dict[str, Any]:
    """One record as a node; `whole` puts its notice and processing into it, otherwise they are named."""
    given = event.state is ConsentState.GIVEN
    told = notices.get(event.notice, ())
    person = SUBJECT + event.pseudonym
    process = process_node(event.notice, event.purposes, told)
    notice = notice_nodes(event.notice, told)
    term = {"dcat:startDate": event.valid_from}
    if event.valid_until:
        term |= {"@type": "dpv:UntilTimeDuration", "rdf:value": event.valid_until, "dcat:endDate": event.valid_until}
    else:
        term |= {"@type": "dpv:EndlessDuration"}
    return {
        "@id": _iri("urn:unsee:consent-record:", event.record_id),
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": PROFILE,
        "dct:identifier": event.record_id,
        "dct:source": f"urn:unsee:source:{event.source}",
        "dpv:hasDataSubject": {"@id": person, "@type": "dpv:DataSubject"} if whole else person,
        **({"dpv:hasNotice": notice if whole else [one["@id"] for one in notice]} if event.notice else {}),
        "dpv:hasProcess": process if whole else process["@id"],
        "dpv:hasLegalBasis": BASES.get(event.basis, f"urn:unsee:basis:{event.basis}"),
        **({"dpv:hasJurisdiction": list(event.jurisdictions)} if event.jurisdictions else {}),
        "dpv:hasConsentControl": [
            {"@type": "dpv:WithdrawConsent", "dpv:isExercisedAt": one.withdrawal_method} for one in told[:1]
        ],
        "dpv:hasConsentStatus": {
            "@type": "dpv:ConsentGiven" if given else "dpv:ConsentWithdrawn",
            "dpv:isIndicatedAtTime": event.said_at,
            "dpv:isIndicatedBy": person,
            **({"dpv:hasDuration": term} if given else {}),
        },
        **({"unsee:releaseSha256": event.release_sha256} if event.release_sha256 else {}),
        **({"unsee:writtenRelease": True} if event.released else {}),
    }


def notice_nodes(name: str, told: Sequence[Notice]) -> list[dict[str, Any]]:
    """A notice, once for each of its languages; one that is not registered has its name only."""
    bare = {"@id": _iri(NOTICE, name), "@type": "dpv:ConsentNotice", "dct:identifier": name}
    return [
        {
            **bare,
            "@id": bare["@id"] if len(told) == 1 else f"{bare['@id']}:{one.language}",
            "dct:language": one.language,
            "dct:date": one.published_on.isoformat(),
            "unsee:textSha256": one.text_sha256,
            "unsee:separateFromTerms": one.separate_from_terms,
            "unsee:sharingDisclosed": one.sharing_disclosed,
        }
        for one in told
    ] or [bare]


def process_node(name: str, purposes: Sequence[str], told: Sequence[Notice]) -> dict[str, Any]:
    """What a notice says is done for these purposes: by whom, with which data, stored where and how long, given to whom."""
    node: dict[str, Any] = {
        "@id": _iri("urn:unsee:process:", f"{name or 'none'}/{'+'.join(purposes)}"),
        "@type": "dpv:Process",
        "dpv:hasPurpose": [purpose_iri(p) for p in purposes],
    }
    if told:
        one = told[0]
        node |= {
            "dpv:hasPersonalData": [DATA_TYPES.get(t, _iri("urn:unsee:data-type:", t)) for t in one.data_types],
            "dpv:hasDataController": [_party("dpv:DataController", c) for c in one.controllers],
            "dpv:hasRecipient": [_party("dpv:Recipient", r) for r in one.recipients],
            "dpv:hasStorageCondition": [
                {"@type": "dpv:StorageLocation", "dct:description": one.storage},
                {"@type": "dpv:StorageDuration", "dct:description": one.retention},
            ],
        }
    return node


def document(nodes: Sequence[Mapping[str, Any]]) -> str:
    """One document of one line, with its context in itself."""
    return _compact({"@context": CONTEXT, **nodes[0]} if len(nodes) == 1 else {"@context": CONTEXT, "@graph": nodes})


def graph(shared: Sequence[Mapping[str, Any]], records: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of one document with one graph, one node a line."""
    yield f'{{"@context":{_compact(CONTEXT)},"@graph":[\n'
    before = ""
    for nodes in (shared, records):
        for node in nodes:
            yield before + _compact(node)
            before = ",\n"
    yield "\n]}\n"


def records_of(path: Path, report: Report) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The records of a JSON-LD file as rows of a consent list, with their lines; what is no record is passed over.

    Read are both layouts that `unsee consent export` writes, and any document in the compact form of the same prefixes; a graph
    that is laid out otherwise is read whole, up to 256 MB.

    Raises:
        MetadataError: it is no JSON, or its prefixes mean something else.
    """
    processes: dict[str, Any] = {}
    for line, node in _nodes(path, report):
        kind = node.get("@type")
        if kind == "dpv:Process" and isinstance(node.get("@id"), str):
            processes[node["@id"]] = node
        elif kind == "dpv:ConsentRecord":
            yield line, _row(node, processes)


def _row(node: Mapping[str, Any], processes: Mapping[str, Any]) -> dict[str, Any]:
    event = _first(node.get("dpv:hasConsentStatus"))
    term = _first(event.get("dpv:hasDuration"))
    state = STATES.get(str(event.get("@type")))
    process = node.get("dpv:hasProcess")
    process = processes.get(process, {}) if isinstance(process, str) else _first(process)
    purposes = process.get("dpv:hasPurpose", node.get("dpv:hasPurpose", []))
    release = node.get("unsee:releaseSha256", "")
    basis = _id(node.get("dpv:hasLegalBasis", ""))
    places = node.get("dpv:hasJurisdiction", [])
    return {
        "person": _id(node.get("dpv:hasDataSubject", "")),
        "purpose": ";".join(purpose_of(_id(p)) for p in _many(purposes)),
        "state": str(state) if state else str(event.get("@type", "")),
        "notice": unquote(_id(_first_of(node.get("dpv:hasNotice", ""))).removeprefix(NOTICE).partition(":")[0]),
        "said_at": event.get("dpv:isIndicatedAtTime", ""),
        "valid_from": term.get("dcat:startDate", ""),
        "valid_until": term.get("dcat:endDate", term.get("rdf:value", "")),
        "basis": next((name for name, one in BASES.items() if one == basis), basis.removeprefix("urn:unsee:basis:")),
        "jurisdiction": ";".join(jurisdiction_of(_id(p)) for p in _many(places)),
        "record_id": node.get("dct:identifier", ""),
        "release_sha256": release or ("written" if node.get("unsee:writtenRelease") else ""),
    }


def _nodes(path: Path, report: Report) -> Iterator[tuple[int, Mapping[str, Any]]]:
    from unsee.app.consent_rows import Problem

    with path.open("rb") as file:
        head = file.readline()
        try:
            first = json.loads(head)
        except ValueError:
            first = None
        if isinstance(first, dict):
            documents: Iterator[tuple[int, bytes]] = enumerate(_chain(head, file), 1)
        elif head.rstrip().endswith(b'"@graph":['):
            _require_context(json.loads(head.rstrip().removesuffix(b',"@graph":[') + b"}"), path)
            documents = ((n, raw.rstrip().removesuffix(b",")) for n, raw in enumerate(file, 2) if raw.strip() != b"]}")
        else:
            yield from _whole(path)
            return
        for line, raw in documents:
            if not raw.strip():
                continue
            try:
                value = json.loads(raw.decode())
            except UnicodeDecodeError as error:
                report(Problem(line, "", f"byte {error.start + 1} of the line is no UTF-8"))
                continue
            except (ValueError, RecursionError) as error:
                report(Problem(line, "", f"it is not JSON: {error}"))
                continue
            if not isinstance(value, dict):
                report(Problem(line, "", "the line is not a JSON object"))
                continue
            if "@context" in value:
                _require_context(value, path)
            for node in value.get("@graph", [value]):
                yield line, node


def _whole(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.stat().st_size > MAX_GRAPH_BYTES:
        raise _broken(f"it is larger than {MAX_GRAPH_BYTES >> 20} MB and not one record a line", path)
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _broken(f"it is not JSON: {error}", path) from error
    if isinstance(value, dict):
        _require_context(value, path)
    nodes = value if isinstance(value, list) else value.get("@graph", [value])
    for at, node in enumerate(nodes, 1):
        if isinstance(node, dict):
            yield at, node


def _require_context(value: Mapping[str, Any], path: Path) -> None:
    """Pass where the prefixes mean what they mean here: without a JSON-LD processor nothing else can be understood."""
    parts = _many(value.get("@context", {}))
    context: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, dict):
            raise _broken("its context lies elsewhere; write the prefixes into the document", path, "@context")
        context |= part
    for prefix in ("dpv", "dct"):
        if context.get(prefix) != PREFIXES[prefix]:
            raise _broken(f"{prefix}: does not stand for {PREFIXES[prefix]}", path, "@context")


def _broken(what: str, path: Path, field: str | None = None) -> MetadataError:
    return MetadataError(
        what, file=str(path), field=field, next_step="Mend the file and import it again; nothing was kept."
    )


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _party(kind: str, name: str) -> dict[str, str]:
    return {"@type": kind, "dpv:hasName": name}


def _iri(prefix: str, name: str) -> str:
    return prefix + quote(name, safe="")


def _id(value: Any) -> str:
    """The name of a node, however it is written."""
    if isinstance(value, dict):
        value = value.get("@id", value.get("dct:identifier", ""))
    return value if isinstance(value, str) else ""


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _first_of(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _first(value: Any) -> Mapping[str, Any]:
    value = _first_of(value)
    return value if isinstance(value, dict) else {}


_compact: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
