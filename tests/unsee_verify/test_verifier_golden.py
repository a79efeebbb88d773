"""Golden certificates: what an earlier release signed must verify for ever."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import unsee_verify
from unsee_verify.cli import main
from unsee_verify.layout import LIMIT_BYTES

GOLDEN = Path(__file__).parents[1] / "attest/golden/v1"
SHA256 = {
    "certificate.json": "b1413a37feb88d9452ff68ecb3cd1d759a9c2f685ca08b6d7a27ce2031ea7972",
    "certificate.pdf": "287a0710be233c02d3da9afe35128af3048739065b1fd05b9ed426b5ad13cfda",
    "operator.pem": "aba1dbfdce12fc30d10d9d95674d66b625964ab023f01f3d717c44715f966b32",
    "receipt.json": "4125c60f6d5ddfe74d44247495a4c83453d67f721689e9c5d45825d4b80a1634",
}
PACKAGE = Path(unsee_verify.__file__).parent


@pytest.mark.parametrize("name", sorted(SHA256))
def test_the_golden_files_are_never_made_again(name: str) -> None:
    assert hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() == SHA256[name]


def test_the_golden_certificate_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    certificate = str(GOLDEN / "certificate.json")
    arguments = ["--key", str(GOLDEN / "operator.pem"), "--pdf", str(GOLDEN / "certificate.pdf")]
    assert main([certificate, *arguments, "--receipt", str(GOLDEN / "receipt.json")]) == 0
    assert main([str(GOLDEN / "receipt.json"), "--certificate", certificate]) == 0
    assert main([certificate]) == 0
    text = capsys.readouterr().out
    for words in (
        "RECOMPUTED HERE", "OBSERVED BY THE OPERATOR'S TOOL", "RESTS ON A PERSON'S WORD", "NOT CHECKED", "THE RECEIPT SAYS",
        "rests on the word of Olga Petrova", "the file given is that one", "employees' laptops", "compare it with",
    ):  # fmt: skip
        assert words in text
    assert "BROKEN" not in text


def test_a_stranger_needs_nothing_of_unsee() -> None:
    """In a Python that sees only this package and its dependency, a certificate still verifies and no module of unsee loads."""
    code = (
        "import sys\n"
        f"sys.path[:0] = [{str(PACKAGE.parent)!r}]\n"
        "sys.modules['unsee'] = None\n"
        "from unsee_verify.cli import main\n"
        f"code = main([{str(GOLDEN / 'certificate.json')!r}])\n"
        "assert not [m for m in sys.modules if m.startswith('unsee.')]\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_is_small_and_leans_on_the_standard_library_and_cryptography_only() -> None:
    files = list(PACKAGE.glob("*.py"))
    assert sum(len(f.read_text().splitlines()) for f in files) <= 1000
    roots = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add(str(node.module).split(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"cryptography", "unsee_verify"}


def test_exit_codes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "0 everything that can be recomputed holds; 1 something broke, and is named; 2 the input cannot be used" in text
    )


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b"null\n", b"{" * 100_000, b"[" * 1_000_000])
def test_what_is_no_certificate_is_told_in_one_line(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_bytes(data)
    assert main([str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unusable_arguments_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, receipt = str(GOLDEN / "certificate.json"), str(GOLDEN / "receipt.json")
    (tmp_path / "big").write_bytes(b"")
    with (tmp_path / "big").open("r+b") as handle:
        handle.truncate(LIMIT_BYTES + 1)
    for arguments in (
        [str(tmp_path / "none")],
        [str(tmp_path)],
        [str(tmp_path / "big")],
        [receipt],
        [receipt, "--certificate", receipt],
        [certificate, "--receipt", certificate],
        [certificate, "--key", certificate],
        [certificate, "--key", str(tmp_path / "none")],
        [certificate, "--key", "00"],
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
