"""The suppression list: what was erased does not come back (R38). It is used for nothing else.

**Why the list reveals nobody.** An entry holds no digest and no hash that means anything without the key:

- HMAC-SHA-256 of the file's digest and of its pixels' digest, under sub-keys of the list's key. Whoever holds a photo and the
  list, but not the key, cannot ask whether the photo is in it; plain SHA-256 would let them.
- The perceptual hash under AES-256-GCM. A plain PDQ shows a blurred outline of the picture, and a keyed permutation of its
  bits falls to sixteen known pictures, so it is encrypted and opened in memory only. The entry's two codes are bound in as
  associated data: entries cannot be mixed from parts.

What it does show: how many entries there are, and that two entries are of the same file or the same pixels. Destroying every
copy of the key makes the list meaningless; that is how it is erased. Keep the key apart from the list.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from unsee.core.errors import AlreadyExists, InvalidValue, NotFound, Tampered
from unsee.match.closure import Likeness, rows
from unsee.match.exact import DigestTable
from unsee.match.pdq import MIN_QUALITY, ORIENTATIONS, RADIUS, UNDONE_BY, orientations_of_hashes
from unsee.match.pictures import Picture
from unsee.match.search import nearest

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
SEALED_BYTES: Final = _NONCE_BYTES + 33 + 16
"""Nonce, hash and quality, tag."""


class SuppressionKey:
    """32 bytes of key material and the three keys derived from it (HKDF-SHA-256, RFC 5869). Never printed, never pickled."""

    __slots__ = ("_aead", "_material", "_pixel_key", "_sha_key")

    def __init__(self, material: bytes) -> None:
        if len(material) != KEY_BYTES:
            raise InvalidValue(
                f"A suppression key is {KEY_BYTES} bytes, not {len(material)}.",
                next_step="Restore the key file from its backup; a list cannot be read with another key.",
            )
        self._material = material
        self._sha_key = _derive(material, b"unsee suppression 1: file digest")
        self._pixel_key = _derive(material, b"unsee suppression 1: pixel digest")
        self._aead = AESGCM(_derive(material, b"unsee suppression 1: perceptual hash"))

    @classmethod
    def create(cls, path: Path, *, random: Callable[[int], bytes] = secrets.token_bytes) -> SuppressionKey:
        """A new key, written to `path` with mode 0600.

        Raises:
            AlreadyExists: there is a file; a key is never overwritten, because its list would be lost with it.
        """
        material = random(KEY_BYTES)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(material)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # fails where a key is, as a rename would not
        except FileExistsError as error:
            raise AlreadyExists("suppression key", str(path)) from error
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return cls(material)

    @classmethod
    def load(cls, path: Path) -> SuppressionKey:
        """The key in a file.

        Raises:
            NotFound: there is no such file.
            InvalidValue: others than its owner may read or write it, or it is not 32 bytes long.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                material = file.read(KEY_BYTES + 1)
        except FileNotFoundError as error:
            raise NotFound(
                "suppression key", str(path), next_step="Restore it from its backup; without it the list means nothing."
            ) from error
        if mode & 0o077:
            raise InvalidValue(
                f"The suppression key {path} has mode {mode:04o}: others than its owner can reach it.",
                next_step=f"chmod 600 {path}",
            )
        return cls(material)

    def mac_of_file(self, sha256: bytes) -> bytes:
        """HMAC-SHA-256 of a file's digest, 32 bytes."""
        return hmac.digest(self._sha_key, sha256, "sha256")

    def mac_of_pixels(self, pixel_digest: bytes) -> bytes:
        """HMAC-SHA-256 of a pixel digest, 32 bytes."""
        return hmac.digest(self._pixel_key, pixel_digest, "sha256")

    def anchor_key(self, order: str) -> bytes:
        """The material of the `AnchorKey` of one order: 32 bytes that follow from this key and say nothing of it."""
        return _derive(self._material, b"unsee anchors 1: " + order.encode())

    def __repr__(self) -> str:
        return "SuppressionKey(…)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a suppression key is not pickled: load it where it is needed")

    def _seal(self, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        return self._aead.encrypt(nonce, plain, bound)

    def _open(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        return self._aead.decrypt(nonce, sealed, bound)


@dataclass(frozen=True, slots=True)
class Sealed:
    """One entry of the list, as it is stored."""

    sha_mac: bytes
    """32 bytes."""
    pixel_mac: bytes
    """32 bytes."""
    pdq_sealed: bytes
    """61 bytes: nonce, encrypted hash and quality, tag."""


@dataclass(frozen=True, slots=True)
class Match:
    """A picture that is on the list: the position of its entry, and by what it was told."""

    entry: int
    likeness: Likeness
    distance: int = 0
    """Bits between the hashes; 0 where bytes or pixels are equal."""
    orientation: int = 0
    """Index into `pdq.ORIENTATIONS`: what turns the suppressed picture into this one."""

    @property
    def reason(self) -> str:
        """In the words that CLI and report print; names no other picture."""
        how = str(self.likeness)
        if self.likeness is Likeness.NEAR_DUPLICATE:
            how += f" at distance {self.distance}" + (f", {ORIENTATIONS[self.orientation]}" if self.orientation else "")
        return f"on the suppression list ({how})"


def seal(key: SuppressionKey, picture: Picture, *, random: Callable[[int], bytes] = secrets.token_bytes) -> Sealed:
    """The entry for one picture. Only a signed order may insert it; that is the caller's to hold.

    Args:
        key: the list's key.
        picture: what must not come back.
        random: source of the nonce; it must never repeat under one key.
    """
    return seal_digests(
        key, picture.sha256, picture.pixel_digest, picture.pdq, quality=picture.pdq_quality, random=random
    )


def seal_digests(
    key: SuppressionKey,
    sha256: bytes,
    pixel_digest: bytes,
    pdq: bytes,
    *,
    quality: int,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Sealed:
    """As `seal`, from the digests as the books hold them: the picture itself need not exist any more."""
    if not len(sha256) == len(pixel_digest) == len(pdq) == 32:
        raise ValueError("digests and hash are 32 bytes each")
    sha_mac, pixel_mac = key.mac_of_file(sha256), key.mac_of_pixels(pixel_digest)
    nonce = random(_NONCE_BYTES)
    return Sealed(sha_mac, pixel_mac, nonce + key._seal(nonce, pdq + bytes([quality]), sha_mac + pixel_mac))


class Suppressor:
    """The list, opened in memory: answers whether pictures are on it. Holds decrypted hashes, so keep it short-lived."""

    def __init__(self, key: SuppressionKey, entries: Iterable[Sealed]) -> None:
        """Open the entries.

        Raises:
            Tampered: an entry does not open: another key, or a changed entry. It is named by its position.
        Cost: about 3 µs and 150 bytes for each entry.
        """
        self._key = key
        sha_macs, pixel_macs, hashes, telling = [], [], [], []
        for position, entry in enumerate(entries):
            sha_macs.append(entry.sha_mac)
            pixel_macs.append(entry.pixel_mac)
            plain = _opened(key, entry, position)
            if plain[32] >= MIN_QUALITY:
                hashes.append(plain[:32])
                telling.append(position)
        self._size = len(sha_macs)
        self._files = DigestTable(rows(sha_macs))
        self._pixels = DigestTable(rows(pixel_macs))
        self._hashes = rows(hashes)
        self._telling = np.array(telling, np.int64)

    def __len__(self) -> int:
        return self._size

    def match(self, pictures: Sequence[Picture]) -> list[Match | None]:
        """For each picture the strongest way in which it is on the list, or None.

        A near-duplicate is claimed within 31 bits, in any of eight orientations, when both hashes have quality 50 or more.

        Cost: a few µs for each picture; the list is sorted anew by each call that has pictures left to compare by hash, about 2 s
        for 3 million entries, so ask for many at once.
        """
        answers: list[Match | None] = [None] * len(pictures)
        if not self._size or not pictures:
            return answers
        files = self._files.find(rows(self._key.mac_of_file(p.sha256) for p in pictures))
        pixels = self._pixels.find(rows(self._key.mac_of_pixels(p.pixel_digest) for p in pictures))
        left = []
        for at, picture in enumerate(pictures):
            if files[at] >= 0:
                answers[at] = Match(int(files[at]), Likeness.IDENTICAL_BYTES)
            elif pixels[at] >= 0:
                answers[at] = Match(int(pixels[at]), Likeness.SAME_PIXELS)
            elif picture.pdq_quality >= MIN_QUALITY:
                left.append(at)
        self._match_near(pictures, left, answers)
        return answers

    def _match_near(self, pictures: Sequence[Picture], left: Sequence[int], answers: list[Match | None]) -> None:
        if not left or not len(self._hashes):
            return
        turned = orientations_of_hashes(rows(pictures[at].pdq for at in left))
        count = len(ORIENTATIONS)
        near = nearest(turned.reshape(-1, 32), self._hashes, radius=RADIUS)
        distance = np.where(near.corpus >= 0, near.distance, 257).reshape(-1, count)
        best = distance.argmin(axis=1)
        for row, at in enumerate(left):
            orientation = int(best[row])
            if distance[row, orientation] <= RADIUS:
                entry = int(self._telling[near.corpus[row * count + orientation]])
                answers[at] = Match(
                    entry, Likeness.NEAR_DUPLICATE, int(distance[row, orientation]), UNDONE_BY[orientation]
                )


def _derive(material: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(material)


def _opened(key: SuppressionKey, entry: Sealed, position: int) -> bytes:
    if len(entry.pdq_sealed) == SEALED_BYTES and len(entry.sha_mac) == len(entry.pixel_mac) == 32:
        nonce, sealed = entry.pdq_sealed[:_NONCE_BYTES], entry.pdq_sealed[_NONCE_BYTES:]
        try:
            return key._open(nonce, sealed, entry.sha_mac + entry.pixel_mac)
        except InvalidTag:
            pass
    raise Tampered(
        f"Entry {position} of the suppression list does not open.",
        next_step="Either the key is not the list's key or the entry was changed; restore both from one backup.",
    )
