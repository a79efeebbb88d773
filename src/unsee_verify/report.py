"""What was found, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SECTIONS = {
    "recomputable": "RECOMPUTED HERE (you need not believe anybody)",
    "observed": "OBSERVED BY THE OPERATOR'S TOOL (you believe its run; what adds up is marked)",
    "attested": "RESTS ON A PERSON'S WORD",
}


class Unusable(Exception):
    """The input cannot be checked at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing said about one part: `ok` it was recomputed and holds, `broken`, or `unchecked`."""

    status: str
    part: str
    text: str


@dataclass(slots=True)
class Report:
    """All findings, and the claims as the certificate states them."""

    findings: list[Finding] = field(default_factory=list)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ok(self, part: str, text: str) -> None:
        """`part` was recomputed and holds."""
        self.findings.append(Finding("ok", part, text))

    def bad(self, part: str, text: str) -> None:
        """`part` broke; said once."""
        finding = Finding("broken", part, text)
        if finding not in self.findings:
            self.findings.append(finding)

    def unchecked(self, part: str, text: str) -> None:
        """`part` was not checked, and why."""
        self.findings.append(Finding("unchecked", part, text))

    def check(self, condition: bool, part: str, good: str, broken: str) -> bool:
        """`ok` or `bad` by `condition`, which is returned."""
        if condition:
            self.ok(part, good)
        else:
            self.bad(part, broken)
        return condition

    @contextmanager
    def guarded(self, part: str) -> Iterator[None]:
        """Whatever shape a hostile file has, it ends as a finding about `part`, not as a traceback."""
        try:
            yield
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            self.bad(part, f"it is malformed or lacks something ({type(error).__name__}: {str(error)[:80]})")

    @property
    def broken(self) -> list[Finding]:
        """All that broke."""
        return [f for f in self.findings if f.status == "broken"]

    def of(self, part: str, status: str) -> list[Finding]:
        """The findings of one status about one part."""
        return [f for f in self.findings if f.part == part and f.status == status]

    def as_json(self) -> dict[str, Any]:
        """The report as one document."""
        return {
            "schema": "unsee-verify/report/1",
            "verdict": "broken" if self.broken else "holds",
            "broken": [{"part": f.part, "text": f.text} for f in self.broken],
            "recomputed": [{"part": f.part, "text": f.text} for f in self.findings if f.status == "ok"],
            "observed": self._claims("observed"),
            "attested": self._claims("attested"),
            "not_checked": [{"part": f.part, "text": f.text} for f in self.findings if f.status == "unchecked"],
        }

    def _claims(self, ground: str) -> list[dict[str, Any]]:
        return [
            {"id": name, "statement": c["statement"], "by": word_of(c) if ground == "attested" else None}
            for name, c in self.claims.items()
            if c["ground"] == ground
        ]

    def lines(self, *, claims: bool = True) -> Iterator[str]:
        """The report for a reader; without `claims`, only what was recomputed, what was not checked, and what broke."""
        yield SECTIONS["recomputable"]
        for part in dict.fromkeys(f.part for f in self.findings if f.status == "ok"):
            if self.claims.get(part, {}).get("ground") not in {
                "observed",
                "attested",
            }:  # those are marked in place below
                mark = "\u2718" if self.of(part, "broken") else "\u2714"
                yield f"  {mark} {shown(part)}: {shown('; '.join(f.text for f in self.of(part, 'ok')))}"
        for ground in ("observed", "attested") if claims else ():
            yield f"\n{SECTIONS[ground]}"
            yield from (self._claim(n, c) for n, c in self.claims.items() if c["ground"] == ground)
        for title, status, mark in (("NOT CHECKED", "unchecked", "-"), ("BROKEN", "broken", "\u2718")):
            found = [f for f in self.findings if f.status == status]
            if found:
                yield f"\n{title}"
                yield from (f"  {mark} {shown(f.part)}: {shown(f.text)}" for f in found)

    def _claim(self, name: str, claim: dict[str, Any]) -> str:
        word = f"rests on the word of {shown(word_of(claim))}. " if claim["ground"] == "attested" else ""
        holds = "; ".join(f.text for f in self.of(name, "ok"))
        note = f" [\u2714 {shown(holds)}]" if holds and not self.of(name, "broken") else ""
        mark = "\u2718" if self.of(name, "broken") else "\u2022"
        return f"  {mark} {shown(name)}: {word}{shown(claim['statement'])}{note}"


def word_of(claim: dict[str, Any]) -> str:
    """Whose word an attested claim rests on."""
    value = claim.get("value")
    by = value.get("by") if isinstance(value, dict) else None
    return by if isinstance(by, str) else "nobody named"


def shown(text: str) -> str:
    """`text` for a terminal: control, direction and private characters become U+FFFD; long text is cut."""
    clean = "".join(c if c.isprintable() else "\ufffd" for c in text[:2000])
    return clean + ("…" if len(text) > 2000 else "")
