r"""How the names of files are spelled in the books: reversibly, whatever bytes they hold.

A file name is bytes; books, JSON and Parquet hold Unicode text. Ordinary names are spelled as they are. In others the bytes
that are not valid UTF-8, control characters, line separators and the marks that turn the direction of text are spelled `\xHH`
(two lower-case hexadecimal digits a byte), and a backslash is doubled: `b"a\xff\\b"` is spelled `a\xff\\b`. Every name has
one spelling and every spelling one name; text that is nobody's spelling (`\x61` for a plain `a`) is refused, so that no file
can be named in two ways. The set of characters is fixed and does not follow the Unicode version of the interpreter.
"""

from __future__ import annotations

import os
import re

from unsee.core.errors import PathEscape

_ODD = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")
ROOT = "."


def spell(name: bytes) -> str:
    """The one spelling of a file name."""
    text = name.decode("utf-8", "surrogateescape")
    return _ODD.sub(_escape, text) if _ODD.search(text) else text


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character == "\\":
        return "\\\\"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unspell(spelling: str) -> bytes:
    """The file name that is spelled so.

    Raises:
        ValueError: no file name is spelled so.
    """
    raw = spelling.encode("utf-8")
    if not _ODD.search(spelling):
        return raw
    name = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", raw)
    if spell(name) != spelling:
        raise ValueError(f"{spelling!r} is not the spelling of a file name")
    return name


def component(spelling: str) -> bytes:
    """The name of one directory entry.

    Raises:
        PathEscape: it is empty, `.`, `..`, holds a slash or NUL, or is not how a name is spelled.
    """
    try:
        name = unspell(spelling)
    except ValueError:  # UnicodeEncodeError too: a lone surrogate
        raise _escape_of(spelling, "is not how a file name is spelled") from None
    if name in {b"", b".", b".."}:
        raise _escape_of(spelling, "is not the name of a file")
    if b"/" in name or b"\0" in name:
        raise _escape_of(spelling, "holds a slash or NUL")
    return name


def components(object_name: str) -> tuple[bytes, ...]:
    """The directory names from the root down to an object; none for the root, `.`.

    Raises:
        PathEscape: a component cannot be a directory below the root.
    """
    if object_name == ROOT:
        return ()
    return tuple(component(part) for part in object_name.split("/"))


def below(object_name: str, name: str) -> str:
    """The object for the directory `name` (an entry as `os.scandir` spells it) in `object_name`."""
    spelled = spell(os.fsencode(name))
    return spelled if object_name == ROOT else f"{object_name}/{spelled}"


def _escape_of(spelling: str, why: str) -> PathEscape:
    return PathEscape(
        f"{spelling[:200]!r} {why}.",
        next_step='Objects are paths relative to the root of the store ("." for the root itself), selectors plain file names.',
    )
