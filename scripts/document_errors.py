"""Writes docs/errors.md from the error classes of every room; `--check` only says whether it is up to date."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import unsee
from unsee.core.errors import UnseeError, every_error

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
NOT_MODULES = ("unsee.books.migrations.env", "unsee.books.migrations.versions")
"""Scripts that Alembic runs; they cannot be imported."""

_HEAD = """# Errors

Every error of unsee has a code that never changes its meaning, an exit code, and a message that says what happened, to which thing,
and what to do next. With `--json` a command prints it as one document:

```json
{"schema": "unsee/error/1", "code": "NTF-001", "message": "There is no source 'okcupid' in this workspace.",
 "next_step": "\\"unsee source list\\" shows what there is.", "details": []}
```

This page is made from the code by `scripts/document_errors.py`; a test holds that it is up to date.

| code | class | exit | what it means |
| --- | --- | --- | --- |
"""
_TAIL = """
## Exit codes

| exit | meaning |
| --- | --- |
| 0 | done |
| 1 | a defect of unsee |
| 2 | wrong usage |
| 3 | a rule refuses it; the reasons are listed |
| 4 | bad input, or no such thing |
| 5 | the world is not as supposed: name taken, plan stale, workspace busy |
| 6 | incomplete: something was left, and is listed |
| 7 | tampered: a digest or signature does not fit |
| 8 | an optional dependency is missing |
| 9 | a store could not do what was asked |
| 130 | interrupted; the same command resumes |

`unsee-verify`, the outsider's verifier, is a program of its own and has three: 0 everything that can be recomputed holds;
1 something broke, and is named; 2 the input cannot be used.
"""


def errors_of_every_room() -> list[type[UnseeError]]:
    for module in pkgutil.walk_packages(unsee.__path__, "unsee."):
        if not module.name.startswith(NOT_MODULES):
            importlib.import_module(module.name)
    return sorted((e for e in every_error() if e.__module__.startswith("unsee.")), key=lambda e: (e.code, e.__name__))


def page() -> str:
    rows = []
    for error in errors_of_every_room():
        words = " ".join(inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].split()).replace("|", "\\|")
        rows.append(f"| {error.code} | `{error.__name__}` | {error.exit_code} | {words} |")
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


def main(arguments: list[str]) -> int:
    text = page()
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text() == text:
            return 0
        print(f"{PAGE.name} is out of date: run scripts/document_errors.py", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
