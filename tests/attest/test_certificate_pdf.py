"""The printed certificate, read back by another implementation."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import example_certificate as example
import pypdf
import pytest
from PIL import Image

from unsee.attest import certificate
from unsee.attest.bundle import envelope_of
from unsee.attest.content import CertificateContent
from unsee.attest.dsse import Envelope
from unsee.attest.pdf import ATTACHMENT, render
from unsee.core.errors import InvalidValue


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CertificateContent, bytes, bytes, bytes]]:
    """Content, certificate.json, the PDF, and the PDF made once more."""
    directory = tmp_path_factory.mktemp("print")
    plot = directory / "plot.png"
    Image.effect_mandelbrot((300, 120), (-2, -1, 1, 1), 20).convert("RGB").save(plot)
    story = example.begin(directory / "log")
    content = example.content(story.identity)
    made: list[bytes] = []

    def twice(statement: certificate.Statement, envelope: Envelope) -> bytes:
        made.extend(render(content, statement, envelope, plot=plot) for _ in range(2))
        return made[0]

    data, pdf = story.issue(certificate.build(content), pdf=twice)
    assert pdf is not None
    yield content, data, pdf, made[1]


def text_of(pdf: bytes) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def test_the_same_statement_gives_the_same_bytes(printed: tuple[CertificateContent, bytes, bytes, bytes]) -> None:
    assert printed[2] == printed[3]


def test_pypdf_extracts_the_identical_envelope(printed: tuple[CertificateContent, bytes, bytes, bytes]) -> None:
    attached = pypdf.PdfReader(io.BytesIO(printed[2])).attachments[ATTACHMENT][0]
    assert attached == envelope_of(printed[1])
    assert json.loads(attached) == json.loads(printed[1])["dsseEnvelope"]


def test_page_one_answers_the_six_questions(printed: tuple[CertificateContent, bytes, bytes, bytes]) -> None:
    first = text_of(printed[2])[0]
    for words in (
        "What was ordered",
        "What was erased",
        "From where",
        "Which models",
        "What remains, and why",
        "Who says so",
    ):
        assert words.split()[0] in first
    assert "18,401 of 18,412" in first
    assert "recogniser-2014: retrained, replaced by recogniser-2026" in first
    assert "Olga Petrova" in first
    assert "proof of deletion" not in " ".join(text_of(printed[2])).lower()


def test_it_prints_every_claim_with_its_ground(printed: tuple[CertificateContent, bytes, bytes, bytes]) -> None:
    whole = " ".join(text_of(printed[2]))
    payload = base64.b64decode(json.loads(printed[1])["dsseEnvelope"]["payload"])
    for claim in json.loads(payload)["predicate"]["claims"].values():
        assert claim["id"] in whole
        assert " ".join(claim["statement"].split()) in whole
    for words in (
        "recomputable",
        "observed",
        "word of Olga Petrova",
        "28 U.S.C. §1746",
        "penalty of perjury",
        "Signature",
    ):
        assert words in whole


def test_letters_beyond_latin_are_printed(printed: tuple[CertificateContent, bytes, bytes, bytes]) -> None:
    assert "Audit & Söhne" in " ".join(text_of(printed[2]))
    assert "skin tone V–VI" in " ".join(text_of(printed[2]))


def test_a_broken_plot_is_named(tmp_path: Path, printed: tuple[CertificateContent, bytes, bytes, bytes]) -> None:
    (tmp_path / "plot.png").write_bytes(b"no picture")
    statement = certificate.build(printed[0])
    with pytest.raises(InvalidValue, match=r"plot\.png"):
        render(printed[0], statement, Envelope(statement.payload), plot=tmp_path / "plot.png")


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys\n"
        "sys.modules['fpdf'] = None\n"
        "from unsee.core.errors import MissingExtra\n"
        "try:\n    import unsee.attest.pdf\n"
        "except MissingExtra as error:\n    sys.exit(0 if 'unsee[report]' in str(error) else 1)\n"
        "sys.exit(2)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
