"""Reading hostile files: bounded JSON in its one spelling, one part a line."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from unsee_verify.report import Report, Unusable

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_DEPTH = 24
PARTS = {
    "certificate": (
        "mediaType", "dsseEnvelope", "claimTree", "plan", "checkpoints", "consistency", "entries", "cosigners", "pdf",
    ),
    "receipt": ("mediaType", "certificate", "receipt", "proof"),
}  # fmt: skip
GROUNDS = ("recomputable", "observed", "attested")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")


@dataclass(slots=True)
class Certificate:
    """A certificate as far as it could be read; `raw` holds the bytes of each part."""

    parts: dict[str, Any]
    raw: dict[str, bytes]
    payload: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    id: str = ""
    subjects: dict[str, str] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    authentic: bool = False
    """Whether a key that counts as the operator's signed the payload."""

    def value(self, name: str) -> Any:
        """The value of a claim; KeyError where it is missing or damaged."""
        return self.claims[name]["value"]

    def family(self, prefix: str) -> dict[str, Any]:
        """The values of all claims `prefix/…`, by what comes after the stroke."""
        start = prefix + "/"
        return {n.removeprefix(start): c["value"] for n, c in self.claims.items() if n.startswith(start)}


def canonical(value: Any) -> bytes:
    """The one spelling of a value: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def strict_json(data: bytes) -> Any:
    """The value that `data` spells; ValueError where it is no JSON, holds a float, nests too deep or is spelled otherwise."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", data):
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    if deepest > LIMIT_DEPTH:
        raise ValueError(f"nested {deepest} deep; {LIMIT_DEPTH} is the limit")
    value = json.loads(data, parse_float=_no_number, parse_constant=_no_number)
    if canonical(value) != data:
        raise ValueError("not in its canonical spelling")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no integer")


def claim_of(line: bytes) -> tuple[str, dict[str, Any]]:
    """Id and claim of one line of a statement; ValueError where it is not one whole claim."""
    found = strict_json(b"{" + line + b"}")
    for name, claim in found.items():
        shape = isinstance(claim, dict) and set(claim) == {"ground", "id", "statement", "value"} and len(found) == 1
        if shape and claim["id"] == name and claim["ground"] in GROUNDS and isinstance(claim["statement"], str):
            return name, claim
    raise ValueError("a claim has an id, a ground, a statement and a value, and nothing else")


def kind_of(data: bytes) -> str:
    """`certificate` or `receipt`, by the parts that begin the lines; Unusable where it is neither."""
    starts = [line[:40] for line in data.split(b"\n", 4096)]
    score = {
        kind: sum(any(s.startswith(b'"%b":' % p.encode()) for s in starts) for p in parts[1:])
        for kind, parts in PARTS.items()
    }
    best = max(score, key=lambda k: score[k])
    if not score[best]:
        raise Unusable("This is neither a certificate nor a receipt of unsee.")
    return best


def parts_of(data: bytes, kind: str, report: Report) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The parts that parse, and the bytes of each part that is there; what does not fit is reported by name."""
    names, lines = PARTS[kind], data.split(b"\n")
    if len(lines) != len(names) + 3 or lines[0] != b"{" or lines[-2:] != [b"}", b""]:
        report.bad("file layout", f"a {kind} is '{{', {len(names)} parts, one a line, and '}}'; this file is not")
    parsed: dict[str, Any] = {}
    raw: dict[str, bytes] = {}
    for position, name in enumerate(names, 1):
        prefix, comma = canonical(name) + b":", b"" if name == names[-1] else b","
        at = [i for i, line in enumerate(lines) if line.startswith(prefix)]
        if at != [position]:
            report.bad(name, "this part is missing, twice there, not in its place, or its name is damaged")
        if not at:
            continue
        line = lines[at[0]]
        if not line.endswith(comma):
            report.bad(name, "the comma after this part is damaged")
        raw[name] = line[len(prefix) :].removesuffix(comma) if comma else line[len(prefix) :]
        with report.guarded(name):
            parsed[name] = strict_json(raw[name])
    if "mediaType" in parsed and parsed["mediaType"] != f"application/vnd.unsee.{kind}+json;version=1":
        report.bad("mediaType", f"it is not that of a {kind} of version 1")
    return parsed, raw


def payload_of(envelope: Any, raw: bytes) -> tuple[bool, bytes]:
    """Whether the payload is canonical base64, and its bytes as far as they can still be read, for naming what broke."""
    try:
        strict = base64.b64decode(envelope["payload"], validate=True)
        if base64.b64encode(strict).decode() == envelope["payload"]:
            return True, strict
    except (KeyError, TypeError, ValueError):
        pass
    start, end = raw.find(b'"payload":"'), raw.rfind(b'","payloadType"')
    text = _NOT_BASE64.sub(b"A", raw[start + 11 : end] if 0 <= start < end else b"").rstrip(b"=").replace(b"=", b"A")
    text = text[:-1] if len(text) % 4 == 1 else text
    return False, base64.b64decode(text + b"=" * (-len(text) % 4))


def statement_lines(payload: bytes) -> tuple[list[bytes], bool]:
    """The lines of a statement without their separators, and whether the separators are where they belong."""
    lines = payload.split(b"\n")
    body = lines[1:-2]
    whole = lines[-2:] == [b"}}}", b""] and [line.endswith(b",") for line in body] == [True] * (len(body) - 1) + [False]
    return [lines[0], *(line.removesuffix(b",") for line in body)], whole
