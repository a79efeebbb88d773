r"""How entries of an archive are named in the books, and which of them are one sample.

A selector is the entry's name as the archive holds it (`../x`, `/etc/passwd` and names with NUL too: nothing is ever written to
such a path), spelled as file names are (`unsee.stores.names`), slashes and all. Two cases have spellings that no name can have,
for in names a backslash is followed by `\` or `x` only:

* `\@empty` is the empty name;
* where a shard holds a name several times, each is spelled `NAME\@DIGEST`, with the first 32 hex digits of the SHA-256 of its
  bytes. So a selector stays when its double goes (the last one left is listed under its plain name; both then name it).
  Entries with the same name and the same bytes are one member and go together. A plain name means every entry of that name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from unsee.core.errors import PathEscape
from unsee.stores.names import spell, unspell

_MARK = "\\@"
_EMPTY = "\\@empty"
_DIGEST = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selector says."""

    name: bytes
    digest: str | None = None
    """Of the bytes, where the name is not enough."""


def selector_of(name: bytes, digest: str | None = None) -> str:
    """The selector of an entry; with `digest` where others have its name."""
    spelled = spell(name) if name else _EMPTY
    return spelled if digest is None else f"{spelled}{_MARK}{digest}"


def selected(selector: str) -> Selected:
    """What the selector names.

    Raises:
        PathEscape: no entry is spelled so.
    """
    spelled, digest = selector, None
    if (at := selector.rfind(_MARK)) >= 0 and _DIGEST.fullmatch(selector[at + 2 :]):
        # "\\" + "@": an escaped backslash before a plain "@" is part of the name
        backslashes = len(selector[: at + 1]) - len(selector[: at + 1].rstrip("\\"))
        if backslashes % 2:
            spelled, digest = selector[:at], selector[at + 2 :]
    if spelled == _EMPTY:
        return Selected(b"", digest)
    try:
        name = unspell(spelled)
    except ValueError:
        name = b""
    if not name:
        raise PathEscape(
            f"{selector[:200]!r} is not how an entry of an archive is spelled.",
            next_step="Name members as a scan lists them: backslashes and control characters are escaped.",
        )
    return Selected(name, digest)


def digest_of(data: bytes) -> str:
    """What tells entries of one name apart."""
    return hashlib.sha256(data).hexdigest()[:32]


def sample_of(name: bytes) -> bytes:
    """The key under which WebDataset hands the entry out: its path up to the first dot of the base name; empty without one."""
    above, slash, base = name.rpartition(b"/")
    key, dot, _extension = base.partition(b".")
    return above + slash + key if dot and key else b""
