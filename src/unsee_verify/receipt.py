"""Checks one person's receipt against the certificate."""

from __future__ import annotations

from typing import Any

from unsee_verify.layout import PARTS, Certificate, parts_of
from unsee_verify.proofs import included, leaf, sha256, unhex
from unsee_verify.report import Report


def check_receipt(data: bytes, certificate: Certificate, report: Report) -> None:
    """Whether the receipt lies under the root that the certificate states, and speaks of the same order."""
    parts, raw = parts_of(data, "receipt", report)
    part = "receipt"
    if set(parts) != set(PARTS["receipt"]):
        report.bad(part, "it could not be checked: a part is damaged")
        return
    with report.guarded(part):
        said: dict[str, Any] = parts["receipt"]
        proof = parts["proof"]
        if parts["certificate"] != {"id": certificate.id, "payload_sha256": sha256(certificate.payload).hex()}:
            report.bad(part, "it belongs to another certificate")
        stated = certificate.value("receipts")
        if stated is None:
            report.bad(part, "the certificate states no receipts")
            return
        if set(proof) != {"salt", "index", "size", "path"} or proof["size"] != stated["count"]:
            report.bad(part, "its proof is not for the number of receipts that the certificate states")
        found = leaf(sha256(unhex(proof["salt"], 32) + raw["receipt"]))
        report.check(
            included(found, proof["index"], proof["size"], proof["path"], unhex(stated["root"], 32)), part,
            "it lies under the root that the certificate states", "it does not lie under the certificate's root",
        )  # fmt: skip
        if said["order"] != certificate.value("order")["id"] or said["certificate"] != certificate.id:
            report.bad(part, "it is for another order")


def words_of(data: bytes) -> list[str]:
    """What a receipt says, one line a field; empty where it cannot be read."""
    parts, _ = parts_of(data, "receipt", Report())
    said = parts.get("receipt")
    return [f"{k}: {v}" for k, v in said.items()] if isinstance(said, dict) else []
