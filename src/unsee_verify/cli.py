"""`unsee-verify`: one command, three answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from unsee_verify import __version__
from unsee_verify.certificate import check_certificate
from unsee_verify.layout import LIMIT_BYTES, kind_of
from unsee_verify.proofs import unhex
from unsee_verify.receipt import check_receipt, words_of
from unsee_verify.report import Report, Unusable, shown

HOLDS, BROKEN, UNUSABLE = 0, 1, 2
_CLOSING = {
    HOLDS: "Everything that can be recomputed here holds. The rest rests on what is named above; no file proves a deletion.",
    BROKEN: "This certificate or receipt is BROKEN: do not rely on it.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Check what the arguments name; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except Unusable as error:
        print(f"unsee-verify: {error}", file=sys.stderr)
        return UNUSABLE


def _run(arguments: argparse.Namespace) -> int:
    data = _read(arguments.file)
    keys = [_key(text) for text in arguments.key]
    report, receipt = Report(), None
    if kind_of(data) == "receipt":
        if arguments.certificate is None:
            raise Unusable("A receipt is checked against its certificate: give it with --certificate.")
        receipt, data = data, _read(arguments.certificate)
        if kind_of(data) != "certificate":
            raise Unusable("The file given with --certificate is no certificate.")
    elif arguments.receipt is not None:
        receipt = _read(arguments.receipt)
        if kind_of(receipt) != "receipt":
            raise Unusable("The file given with --receipt is no receipt.")
    found = check_certificate(data, report, keys=keys, pdf=_read(arguments.pdf) if arguments.pdf else None)
    if receipt is not None:
        check_receipt(receipt, found, report)
    elif found.claims.get("receipts", {}).get("value") is not None:
        report.unchecked("receipts", "no receipt was given; each person checks their own")
    code = BROKEN if report.broken else HOLDS
    if arguments.json:
        print(json.dumps(report.as_json(), indent=1))  # ASCII, so safe on a terminal
        return code
    print(f"unsee-verify {__version__}: certificate {shown(str(found.id))}")
    if receipt is not None:
        print("\nTHE RECEIPT SAYS")
        print("\n".join("  " + shown(line) for line in words_of(receipt)))
    print()
    print("\n".join(report.lines(claims=receipt is None)))
    print(f"\n{_CLOSING[code]}")
    return code


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as handle:
            data = handle.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > LIMIT_BYTES:
        raise Unusable(f"{path} is larger than {LIMIT_BYTES // 2**20} MiB.")
    return data


def _key(text: str) -> bytes:
    """A public key: 64 hexadecimal digits, or a file that holds them or a PEM."""
    try:
        return unhex(text, 32)
    except ValueError:
        data = _read(text)
    with suppress(ValueError):
        return unhex(data.decode().strip(), 32)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Unusable(f"{text} holds no Ed25519 public key (64 hexadecimal digits, or PEM).")
    return key.public_bytes_raw()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unsee-verify",
        description="Checks an erasure certificate or a receipt of unsee, offline, and says what each claim rests on.",
        epilog="exit codes: 0 everything that can be recomputed holds; 1 something broke, and is named; "
        "2 the input cannot be used (not a certificate, too large, unreadable, wrong arguments)",
    )
    parser.add_argument("file", help="certificate.json or receipt.json")
    parser.add_argument("--key", action="append", default=[], metavar="FILE|HEX",
                        help="the operator's public key, got in another way; may be repeated")  # fmt: skip
    parser.add_argument("--pdf", metavar="FILE", help="the printed certificate, to be held against its seal")
    parser.add_argument("--receipt", metavar="FILE", help="a receipt to check against this certificate")
    parser.add_argument("--certificate", metavar="FILE", help="the certificate, where FILE is a receipt")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--version", action="version", version=f"unsee-verify {__version__}")
    return parser
