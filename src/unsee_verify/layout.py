"""Reading hostile files: bounded JSON in its one spelling, one part a line."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NoReturn

from unsee_verify.report import Report, Unusable

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_DEPTH = 24
CERTIFICATE = (
    "mediaType", "dsseEnvelope", "claimTree", "plan", "checkpoints", "consistency", "entries", "cosigners", "pdf",
)  # fmt: skip
RECEIPT = ("mediaType", "certificate", "receipt", "proof")
MEDIA = {
    "certificate": "application/vnd.unsee.certificate+json;version=1",
    "receipt": "application/vnd.unsee.receipt+json;version=1",
}
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")


def canonical(value: Any) -> bytes:
    """The one spelling of a value: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def strict_json(data: bytes) -> Any:
    """The value that `data` spells canonically.

    Raises:
        ValueError: it is no JSON, holds a float, nests deeper than 24, or is spelled in another way.
    """
    depth = deepest = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > LIMIT_DEPTH:
        raise ValueError(f"nested {deepest} deep; {LIMIT_DEPTH} is the limit")
    value = json.loads(data, parse_float=_no_number, parse_constant=_no_number)
    if canonical(value) != data:
        raise ValueError("not in its canonical spelling")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no integer")


def kind_of(data: bytes) -> str:
    """`certificate` or `receipt`, by the parts that begin the lines.

    Raises:
        Unusable: too large, or neither of the two.
    """
    if len(data) > LIMIT_BYTES:
        raise Unusable(f"The file is larger than {LIMIT_BYTES // 2**20} MiB.")
    starts = [line[:40] for line in data[:LIMIT_BYTES].split(b"\n", 4096)]
    score = {
        kind: sum(any(s.startswith(b'"%b":' % p.encode()) for s in starts) for p in parts if p != "mediaType")
        for kind, parts in (("certificate", CERTIFICATE), ("receipt", RECEIPT))
    }
    best = max(score, key=lambda k: score[k])
    if not score[best]:
        raise Unusable("This is neither a certificate nor a receipt of unsee.")
    return best


def parts_of(data: bytes, kind: str, report: Report) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The parts of a file that parse, and the raw bytes of each part that is there; what does not fit is reported by name."""
    names = CERTIFICATE if kind == "certificate" else RECEIPT
    lines = data.split(b"\n")
    if len(lines) != len(names) + 3 or lines[0] != b"{" or lines[-2:] != [b"}", b""]:
        report.bad("file layout", f"a {kind} is '{{', {len(names)} parts, one a line, and '}}'; this file is not")
    parsed: dict[str, Any] = {}
    raw: dict[str, bytes] = {}
    for position, name in enumerate(names, 1):
        prefix = canonical(name) + b":"
        at = [i for i, line in enumerate(lines) if line.startswith(prefix)]
        if at != [position]:
            report.bad(name, "this part is not in its place" if at else "this part is missing or its name is damaged")
        if not at:
            continue
        body, comma = lines[at[0]][len(prefix) :], b"," if name != names[-1] else b""
        if comma and not body.endswith(comma):
            report.bad(name, "the comma after this part is damaged")
        raw[name] = body = body.removesuffix(comma) if comma else body
        try:
            parsed[name] = strict_json(body)
        except (ValueError, RecursionError) as error:
            report.bad(name, f"this part cannot be read: {str(error)[:100]}")
    if "mediaType" in parsed and parsed["mediaType"] != MEDIA[kind]:
        report.bad("mediaType", f"it is not {MEDIA[kind]}")
    return parsed, raw


def payload_of(envelope: Any, raw: bytes) -> tuple[bytes | None, bytes | None]:
    """The payload as signed, or None where its base64 is damaged; and as far as it can still be read, for naming what broke."""
    strict: bytes | None = None
    try:
        strict = base64.b64decode(envelope["payload"], validate=True)
        if base64.b64encode(strict).decode() != envelope["payload"]:
            strict = None
    except (KeyError, TypeError, ValueError):
        strict = None
    start, end = raw.find(b'"payload":"'), raw.rfind(b'","payloadType"')
    if not 0 <= start < end:
        return strict, strict
    text = _BASE64.sub(b"A", raw[start + 11 : end]).rstrip(b"=").replace(b"=", b"A")
    text = text[: len(text) // 4 * 4] if len(text) % 4 == 1 else text + b"=" * (-len(text) % 4)
    return strict, base64.b64decode(text)


def statement_lines(payload: bytes) -> tuple[list[bytes], bool]:
    """The lines of a statement without their separators, and whether the separators are where they belong."""
    lines = payload.split(b"\n")
    whole = len(lines) >= 4 and lines[-2:] == [b"}}}", b""] and not lines[-3].endswith(b",")
    body = lines[1:-2]
    whole = whole and all(line.endswith(b",") for line in body[:-1])
    return [lines[0], *(line.removesuffix(b",") for line in body)], whole
