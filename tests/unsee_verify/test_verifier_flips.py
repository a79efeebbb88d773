"""Change one byte anywhere: the verifier says that something broke, and what."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee_verify.certificate import check_certificate
from unsee_verify.layout import kind_of
from unsee_verify.receipt import check_receipt
from unsee_verify.report import Report, Unusable

GOLDEN = Path(__file__).parents[1] / "attest/golden/v1"
CERTIFICATE = (GOLDEN / "certificate.json").read_bytes()
RECEIPT = (GOLDEN / "receipt.json").read_bytes()


def broken(data: bytes) -> set[str]:
    report = Report()
    try:
        if kind_of(data) == "certificate":
            check_certificate(data, report)
        else:
            check_receipt(data, check_certificate(CERTIFICATE, Report()), report)
    except Unusable:
        return {"unusable"}
    list(report.lines())
    return {f.part for f in report.broken}


def test_both_are_sound() -> None:
    assert broken(CERTIFICATE) == broken(RECEIPT) == set()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(1, 255))
def test_one_changed_byte_of_a_certificate_is_named(at: int, mask: int) -> None:
    found = broken(CERTIFICATE[:at] + bytes([CERTIFICATE[at] ^ mask]) + CERTIFICATE[at + 1 :])
    assert found
    assert "unusable" not in found


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(RECEIPT) - 1), st.integers(1, 255))
def test_one_changed_byte_of_a_receipt_is_named(at: int, mask: int) -> None:
    assert broken(RECEIPT[:at] + bytes([RECEIPT[at] ^ mask]) + RECEIPT[at + 1 :])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(0, 200), st.binary(max_size=40))
def test_bytes_cut_out_or_put_in_are_noticed(at: int, length: int, fresh: bytes) -> None:
    changed = CERTIFICATE[:at] + fresh + CERTIFICATE[at + length :]
    if changed != CERTIFICATE:
        assert broken(changed)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_of_a_claim_names_that_claim(data: st.DataObject) -> None:
    """Also where the byte makes the statement, or the base64 around it, unreadable."""
    payload = base64.b64decode(json.loads(CERTIFICATE)["dsseEnvelope"]["payload"])
    lines = payload.split(b"\n")
    number = data.draw(st.integers(1, len(lines) - 3))
    name = json.loads(b"{" + lines[number].rstrip(b",") + b"}").popitem()[0]
    start = sum(len(line) + 1 for line in lines[:number])
    at = start + data.draw(st.integers(0, len(lines[number].rstrip(b",")) - 1))
    if data.draw(st.booleans()):
        changed = payload[:at] + bytes([payload[at] ^ data.draw(st.integers(1, 255))]) + payload[at + 1 :]
        file = CERTIFICATE.replace(base64.b64encode(payload), base64.b64encode(changed))
    else:  # a byte of the base64 that is none: wholly within the claim's line
        at = min(max(at, start + 3), start + len(lines[number]) - 5)
        first = CERTIFICATE.index(b'"payload":"') + 11 + at // 3 * 4
        file = CERTIFICATE[:first] + b"\x00" + CERTIFICATE[first + 1 :]
        if CERTIFICATE[first : first + 1] == b"A":
            return  # what cannot be read is taken for an A, which it was
    assert name in broken(file)


@pytest.mark.slow
def test_every_byte_of_a_certificate() -> None:
    for at in range(len(CERTIFICATE)):
        mask = (1, 0x20, 0x80)[at % 3]
        assert broken(CERTIFICATE[:at] + bytes([CERTIFICATE[at] ^ mask]) + CERTIFICATE[at + 1 :]), at
