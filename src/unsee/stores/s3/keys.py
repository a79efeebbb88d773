r"""How keys of a bucket are named in the books: the object is the key up to its last slash, the member what follows.

A key is any Unicode text: it may hold `..`, control characters, doubled slashes, or end with one. Each stretch between slashes is
spelled as `unsee.stores.names` spells file names; three stretches that no path can hold have spellings of their own that are nobody
else's: `\_` for nothing at all, `\.` for one dot and `\..` for two. Every key below the prefix has one name, and no name leads to
a key outside of it: a key is text, and nothing in it climbs.

What lies under a key besides its current content is a member of its own: the key's selector, `\@`, and the content's ETag and size
(`x.jpg\@5d41402abc4b2a76b9719d911017c592-5`). No ordinary key is spelled so, since a backslash in one is doubled.
"""

from __future__ import annotations

import re

from unsee.core.errors import PathEscape
from unsee.stores.names import ROOT, spell, unspell

_SPECIAL = {"": "\\_", ".": "\\.", "..": "\\.."}
_CONTENT = re.compile(r"((?:[^\\]|\\\\|\\x[0-9a-f]{2}|\\_|\\\.{1,2})*)\\@(.+)", re.DOTALL)
_BACK = {spelled: part for part, spelled in _SPECIAL.items()}


def name_of(key: str) -> tuple[str, str]:
    """Object and selector of a key that is given relative to the store's prefix."""
    above, slash, last = key.rpartition("/")
    return object_of(above) if slash else ROOT, _spell(last)


def object_of(above: str) -> str:
    """The object that holds the keys `above/…`."""
    return "/".join(_spell(part) for part in above.split("/"))


def with_content(selector: str, content: str) -> str:
    """The selector of what lies under a key besides its current content."""
    return f"{selector}\\@{content}"


def split_content(selector: str) -> tuple[str, str]:
    """A key's own selector, and which content under it is named; empty for the current one."""
    found = _CONTENT.fullmatch(selector)
    return (found[1], found[2]) if found else (selector, "")


def key_of(object_name: str, selector: str) -> str:
    """The key, relative to the store's prefix, that `name_of` names so.

    Raises:
        PathEscape: no key is named so.
    """
    return above_of(object_name) + _unspell(selector)


def above_of(object_name: str) -> str:
    """What the keys of an object begin with: empty, or text that ends with a slash.

    Raises:
        PathEscape: no object is named so.
    """
    if object_name == ROOT:
        return ""
    return "".join(_unspell(part) + "/" for part in object_name.split("/"))


def _spell(part: str) -> str:
    return _SPECIAL[part] if part in _SPECIAL else spell(part.encode())


def _unspell(spelling: str) -> str:
    if spelling in _BACK:
        return _BACK[spelling]
    try:
        part = unspell(spelling).decode()
    except ValueError:  # not a spelling, a lone surrogate, or bytes that are no UTF-8: no key holds them
        part = ""
    if part in _SPECIAL or "/" in part:
        raise PathEscape(
            f"{spelling[:200]!r} is not how a stretch of a key is spelled.",
            next_step='Objects are the keys\' text up to the last slash ("." for none), selectors what follows it.',
        )
    return part
