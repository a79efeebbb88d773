"""R38: what was erased does not come back, and the list itself reveals nobody."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

from unsee.core.errors import AlreadyExists, InvalidValue, NotFound, Tampered
from unsee.match.closure import Likeness
from unsee.match.pictures import Picture, examine
from unsee.match.suppression import SEALED_BYTES, Sealed, SuppressionKey, Suppressor, seal, seal_digests


@pytest.fixture
def key() -> SuppressionKey:
    return SuppressionKey(bytes(range(32)))


def counting():
    """Nonces for tests: each another one."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def a_picture(seed: int, *, quality: int = 90) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture(rng.bytes(32), rng.bytes(32), rng.bytes(32), quality, 112, 112, "JPEG")


def flipped(picture: Picture, bits: int) -> Picture:
    """Another file with other pixels, whose hash differs by `bits`."""
    mask = sum(1 << (7 * n % 256) for n in range(bits))
    other = int.from_bytes(picture.pdq, "big") ^ mask
    return replace(picture, sha256=bytes(32), pixel_digest=bytes(32), pdq=other.to_bytes(32, "big"))


def test_r38_the_same_photo_its_rewrap_and_its_copies_are_known(scene, encode, key):
    photos = [scene(n) for n in range(3)]
    suppressor = Suppressor(key, [seal(key, examine(encode(p, "PNG"))) for p in photos[:2]])
    assert len(suppressor) == 2
    answers = suppressor.match(
        [
            examine(encode(photos[0], "PNG")),
            examine(encode(photos[1], "BMP")),
            examine(encode(photos[1], quality=50)),
            examine(encode(np.ascontiguousarray(photos[0][:, ::-1]), quality=50)),
            examine(encode(np.ascontiguousarray(np.rot90(photos[0])), quality=50)),
            examine(encode(photos[2], "PNG")),
        ]
    )
    assert [a and a.likeness for a in answers] == [
        Likeness.IDENTICAL_BYTES,
        Likeness.SAME_PIXELS,
        Likeness.NEAR_DUPLICATE,
        Likeness.NEAR_DUPLICATE,
        Likeness.NEAR_DUPLICATE,
        None,
    ]
    assert [a.entry for a in answers if a] == [0, 1, 1, 0, 0]
    assert answers[0].reason == "on the suppression list (identical bytes)"
    assert answers[3].reason.endswith(", mirrored)")
    assert answers[4].reason.endswith(", turned by 90° anticlockwise)")


def test_r38_the_stored_entry_shows_no_digest_and_no_hash(key):
    picture = a_picture(1)
    entry = seal(key, picture)
    stored = entry.sha_mac + entry.pixel_mac + entry.pdq_sealed
    for secret in (picture.sha256, picture.pixel_digest, picture.pdq):
        assert all(secret[at : at + 4] not in stored for at in range(29))
    assert len(entry.pdq_sealed) == SEALED_BYTES
    again, other_key = seal(key, picture), seal(SuppressionKey(bytes(32)), picture)
    assert again.pdq_sealed != entry.pdq_sealed  # equal hashes do not look equal
    assert (again.sha_mac, again.pixel_mac) == (entry.sha_mac, entry.pixel_mac)
    assert other_key.sha_mac != entry.sha_mac  # nobody can ask without the key
    assert other_key.pixel_mac != entry.pixel_mac


def test_the_two_codes_are_of_different_keys(key):
    same = bytes(32)
    assert key.mac_of_file(same) != key.mac_of_pixels(same)


def test_sealed_bits_do_not_lean_on_the_hash(key):
    """Hashes that differ in one bit give entries that differ in about half: distances cannot be read off the list."""
    random = counting()
    picture = a_picture(2)
    left = [seal(key, picture, random=random).pdq_sealed[12:] for _ in range(50)]
    right = [seal(key, flipped(picture, 1), random=random).pdq_sealed[12:] for _ in range(50)]
    apart = [
        (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count() for a, b in zip(left, right, strict=True)
    ]
    assert 0.45 < sum(apart) / (len(apart) * 8 * 49) < 0.55


@pytest.mark.parametrize(
    ("stored", "asked", "known"), [(50, 50, True), (49, 90, False), (90, 49, False), (90, 50, True)]
)
def test_low_quality_never_matches_near(key, stored, asked, known):
    picture = a_picture(3, quality=stored)
    suppressor = Suppressor(key, [seal(key, picture)])
    (near,) = suppressor.match([replace(flipped(picture, 3), pdq_quality=asked)])
    assert (near is not None) is known
    (exact,) = suppressor.match([replace(picture, pdq_quality=asked)])
    assert exact is not None


@pytest.mark.parametrize(("bits", "known"), [(0, True), (31, True), (32, False)])
def test_near_means_31_bits(key, bits, known):
    picture = a_picture(4)
    (answer,) = Suppressor(key, [seal(key, picture)]).match([flipped(picture, bits)])
    assert (answer is not None and answer.distance == bits) is known


def test_another_key_opens_nothing(key):
    entries = [seal(key, a_picture(n)) for n in range(3)]
    with pytest.raises(Tampered, match="Entry 0"):
        Suppressor(SuppressionKey(bytes(32)), entries)


@pytest.mark.parametrize("field", ["sha_mac", "pixel_mac", "pdq_sealed"])
def test_a_changed_or_mixed_entry_is_named(key, field):
    entries = [seal(key, a_picture(n)) for n in range(3)]
    for spoiled in (
        replace(entries[1], **{field: getattr(entries[2], field)}),
        replace(entries[1], **{field: getattr(entries[1], field)[:-1]}),
        replace(entries[1], **{field: bytes([getattr(entries[1], field)[0] ^ 1]) + getattr(entries[1], field)[1:]}),
    ):
        with pytest.raises(Tampered, match="Entry 1"):
            Suppressor(key, [entries[0], spoiled, entries[2]])


def test_an_empty_list_knows_nobody(key):
    assert Suppressor(key, []).match([a_picture(1)]) == [None]
    assert Suppressor(key, [seal(key, a_picture(1))]).match([]) == []


def test_digests_from_the_books_seal_as_the_picture_does(key):
    picture = a_picture(5)
    entry = seal_digests(
        key, picture.sha256, picture.pixel_digest, picture.pdq, quality=picture.pdq_quality, random=counting()
    )
    assert entry == seal(key, picture, random=counting())
    assert isinstance(entry, Sealed)
    with pytest.raises(ValueError, match="32 bytes"):
        seal_digests(key, b"short", picture.pixel_digest, picture.pdq, quality=90)


def test_the_key_file_is_private_whole_and_never_overwritten(tmp_path):
    path = tmp_path / "suppression.key"
    key = SuppressionKey.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 32
    assert SuppressionKey.load(path).mac_of_file(bytes(32)) == key.mac_of_file(bytes(32))
    before = path.read_bytes()
    with pytest.raises(AlreadyExists):
        SuppressionKey.create(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["suppression.key"]


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "suppression.key"
    SuppressionKey.create(path)
    path.chmod(0o640)
    with pytest.raises(InvalidValue, match="0640"):
        SuppressionKey.load(path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(tmp_path, size):
    path = tmp_path / "k"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(InvalidValue, match="32 bytes"):
        SuppressionKey.load(path)


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        SuppressionKey.load(tmp_path / "nowhere")


def test_the_key_is_neither_printed_nor_pickled(key):
    assert "SuppressionKey(…)" == repr(key) == str(key)
    with pytest.raises(TypeError, match="pickled"):
        ForkingPickler.dumps(key)


def test_a_kill_while_the_key_is_written_leaves_no_half_key(tmp_path, monkeypatch):
    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        SuppressionKey.create(tmp_path / "k")
    assert list(tmp_path.iterdir()) == []
