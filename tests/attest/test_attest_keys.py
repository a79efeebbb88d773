"""Keys and envelopes, against other implementations."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from example_certificate import key
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import SSlibKey

from unsee.attest.approvals import approval_fits, approval_message, sign_approval
from unsee.attest.dsse import Envelope, pae
from unsee.attest.durable import write_file
from unsee.attest.keys import PublicKey, SigningKey
from unsee.core.errors import AlreadyExists, Conflict, InvalidValue, NotFound
from unsee.core.ids import PersonId


def test_a_key_survives_the_disk_and_nobody_else_reads_it(tmp_path: Path) -> None:
    key("a").save(tmp_path / "keys/a.pem")
    assert (tmp_path / "keys/a.pem").stat().st_mode & 0o777 == 0o600
    loaded = SigningKey.load(tmp_path / "keys/a.pem")
    assert loaded.public == key("a").public
    assert loaded.public.verify(loaded.sign(b"m"), b"m")
    assert not loaded.public.verify(loaded.sign(b"m"), b"n")
    assert loaded.public.hex in repr(loaded)
    assert sorted(p.name for p in (tmp_path / "keys").iterdir()) == ["a.pem"]


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key("a").save(tmp_path / "a.pem")
    with pytest.raises(AlreadyExists):
        key("b").save(tmp_path / "a.pem")
    assert SigningKey.load(tmp_path / "a.pem").public == key("a").public


def test_what_is_no_key_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        SigningKey.load(tmp_path / "none.pem")
    (tmp_path / "x.pem").write_bytes(b"not a key")
    with pytest.raises(InvalidValue, match=r"x\.pem"):
        SigningKey.load(tmp_path / "x.pem")
    (tmp_path / "p.pem").write_bytes(key("a").public.pem())
    with pytest.raises(InvalidValue):
        SigningKey.load(tmp_path / "p.pem")
    for text in ("", "zz", "00", key("a").public.hex + "00"):
        with pytest.raises(InvalidValue):
            PublicKey.from_hex(text)
    assert PublicKey.from_hex(key("a").public.hex) == key("a").public


def test_a_file_that_may_not_be_replaced_is_not(tmp_path: Path) -> None:
    write_file(tmp_path / "d/f", b"one")
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "d/f", b"two", replace=False)
    assert (tmp_path / "d/f").read_bytes() == b"one"
    write_file(tmp_path / "d/f", b"two")
    assert (tmp_path / "d/f").read_bytes() == b"two"
    assert len(list((tmp_path / "d").iterdir())) == 1


def test_an_approval_is_bound_to_plan_and_person() -> None:
    dana, marc = PersonId("dana"), PersonId("marc")
    assert approval_message("ab" * 32, dana) == b"unsee approval v1\n" + b"ab" * 32 + b"\ndana"
    signature = sign_approval(key("dana"), "ab" * 32, dana)
    assert approval_fits(key("dana").public, "ab" * 32, dana, signature)
    assert not approval_fits(key("dana").public, "cd" * 32, dana, signature)
    assert not approval_fits(key("dana").public, "ab" * 32, marc, signature)
    assert not approval_fits(key("marc").public, "ab" * 32, dana, signature)
    assert not approval_fits(key("dana").public, "ab" * 32, dana, "no hex")


def test_the_envelope_carries_many_signatures_over_the_same_bytes() -> None:
    envelope = Envelope(b"payload").signed_by(key("a")).signed_by(key("b"))
    assert envelope.signers([key("a").public, key("b").public, key("c").public]) == (key("a").public, key("b").public)
    assert Envelope.from_json(envelope.as_json()) == envelope
    with pytest.raises(Conflict):
        envelope.signed_by(key("a"))
    changed = Envelope(b"other", envelope.payload_type, envelope.signatures)
    assert changed.signers([key("a").public]) == ()
    for broken in (
        {},
        {"payload": "!", "payloadType": "x", "signatures": []},
        {"payload": "", "payloadType": "", "signatures": [1]},
    ):
        with pytest.raises(InvalidValue):
            Envelope.from_json(broken)


def test_pae_is_that_of_the_specification() -> None:
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_securesystemslib_verifies_our_envelope() -> None:
    ours = Envelope(b'{"a":1}').signed_by(key("a")).signed_by(key("b"))
    keys = [
        SSlibKey(k.public.fingerprint, "ed25519", "ed25519", {"public": k.public.hex}) for k in (key("a"), key("b"))
    ]
    theirs = OtherEnvelope.from_dict(ours.as_json())
    assert len(theirs.verify(keys, 2)) == 2
    assert theirs.pae() == pae(ours.payload_type, ours.payload)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_verifies_our_signature(tmp_path: Path) -> None:
    envelope = Envelope(b'{"a":1}').signed_by(key("a"))
    (tmp_path / "pae").write_bytes(pae(envelope.payload_type, envelope.payload))
    (tmp_path / "sig").write_bytes(envelope.signatures[0].sig)
    (tmp_path / "key").write_bytes(key("a").public.pem())
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "pae", "-sigfile", "sig"]
    good = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    (tmp_path / "pae").write_bytes(b"x")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
