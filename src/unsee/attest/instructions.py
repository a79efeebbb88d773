"""What a recipient is told when an order reaches what it got (R16): the order, the data, the demand, the deadline.

A pack is a directory: `instruction.json` (schema `unsee/instruction/1`), the same as a letter (`instruction.pdf`, or
`instruction.txt` where the extra `report` is not installed), and `sha256.txt`, the digests by which the recipient knows the photos
again, where they still exist. `instruction.json` holds the digests of the other two, so that its own digest stands for the pack.
The same values give the same bytes.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from unsee.core.canonical import canonical_json
from unsee.core.errors import MissingExtra
from unsee.core.ids import InstructionId
from unsee.core.orders import Order, profile
from unsee.core.parties import Person
from unsee.core.sharing import Received, Recipient

SCHEMA: Final = "unsee/instruction/1"
DOCUMENT: Final = "instruction.json"
LIST: Final = "sha256.txt"
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class InstructionContent:
    """Everything that one pack says."""

    id: InstructionId
    order: Order
    organisation: str
    sender: Person
    reply_to: str
    recipient: Recipient
    received: Received
    identified: int
    """How many photos the list of digests names; the others were erased here already, and their digests with them."""
    at: str

    @property
    def due(self) -> str | None:
        """The last day, as the order's profile sets it for third parties."""
        day = self.order.as_json()["deadlines"].get("third-parties")
        return None if day is None else str(day)

    @property
    def demands(self) -> tuple[str, ...]:
        """What the recipient is told to do."""
        by = f"by {self.due}" if self.due else "without delay"
        return (
            f"Delete the data described below, with every copy, crop, embedding and label made from it, {by}.",
            "Delete every model, algorithm and other work that was trained or derived from it in whole or in part, "
            "and the models named below.",
            "Pass this instruction on to everybody to whom you gave any of it, and name them to us.",
            f"Confirm in writing {by} that this is done, on what date, and what you could not delete and why.",
            f"{self.organisation} shares nothing further with you until your confirmation is filed.",
        )


def list_of_digests(heading: str, digests: Iterable[bytes]) -> bytes:
    """`sha256.txt`: a heading that nobody can guess, so that the list's own digest tells of no photo; then a digest a line."""
    return ("".join([f"# {heading}\n", *sorted(f"{d.hex()}\n" for d in digests)])).encode()


def letter(content: InstructionContent) -> tuple[str, bytes]:
    """Name and bytes of the letter: PDF where it can be printed, else plain text."""
    try:
        return "instruction.pdf", _pdf(content)
    except MissingExtra:
        return "instruction.txt", _text(content)


def document(content: InstructionContent, files: Mapping[str, bytes]) -> bytes:
    """`instruction.json`; `files` are the others of the pack."""
    got = content.received
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "id": content.id,
        "order": content.order.as_json(),
        "controller": content.organisation,
        "sent_by": {"name": content.sender.name, "title": content.sender.title},
        "reply_to": content.reply_to,
        "recipient": content.recipient.as_json(),
        "data": {
            "items": len(got.items),
            "classes": list(got.data_classes),
            "identified_by_digest": content.identified,
            "models": list(got.models),
            "disclosures": [
                {"no": d.no, "kind": str(d.kind), "on": d.disclosed_on.isoformat(), "items": len(d.items),
                 "models": list(d.models), "purpose": d.purpose, "basis": d.basis}
                for d in got.disclosures
            ],
        },
        "demands": list(content.demands),
        "due": content.due,
        "at": content.at,
        "files": [{"name": n, "sha256": hashlib.sha256(data).hexdigest()} for n, data in sorted(files.items())],
    }  # fmt: skip
    return canonical_json(value) + b"\n"


def _head(content: InstructionContent) -> tuple[tuple[str, str], ...]:
    order, who = content.order, content.recipient
    return (
        ("To", ", ".join(filter(None, [who.name, who.contact, who.address, who.phone]))),
        ("From", f"{content.organisation}: {content.sender.name}, {content.sender.title}"),
        ("Instruction", f"{content.id}, {content.at}"),
        ("Order", f"{order.id}: {order.authority} ({profile(order.profile).citation}), effective {order.effective}"),
        ("Instrument", f"{order.instrument_name}, SHA-256 {order.instrument_sha256}"),
        ("Due", content.due or "without delay"),
        ("Answer to", content.reply_to),
    )


def _described(content: InstructionContent) -> Sequence[str]:
    got = content.received
    lines = []
    if got.items:
        lines.append(f"{len(got.items):,} items of these classes: {', '.join(got.data_classes)}.")
        lines.append(
            f"{content.identified:,} of them are identified by the SHA-256 of their file in {LIST}."
            if content.identified
            else "Their digests do not exist here any more; the disclosures below say what they were."
        )
    if got.models:
        lines.append(f"Models: {', '.join(got.models)}.")
    lines += [
        f"Disclosure {d.no} of {d.disclosed_on}: {d.kind}, {len(d.items):,} items"
        + (f", models {', '.join(d.models)}" if d.models else "")
        + f", for {d.purpose} ({d.basis})."
        for d in got.disclosures
    ]
    return lines


def _text(content: InstructionContent) -> bytes:
    lines = ["INSTRUCTION TO DELETE", ""]
    lines += [f"{name + ':':<13}{value}" for name, value in _head(content)]
    lines += ["", "What you are told to do", ""]
    for number, demand in enumerate(content.demands, 1):
        lines += textwrap.wrap(f"{number}. {demand}", _WIDTH, subsequent_indent="   ")
    lines += ["", "What you got", ""]
    for line in _described(content):
        lines += textwrap.wrap(f"- {line}", _WIDTH, subsequent_indent="  ")
    return ("\n".join(lines) + "\n").encode()


def _pdf(content: InstructionContent) -> bytes:
    from unsee.attest.page import Sheet  # needs the extra `report`

    sheet = Sheet(
        title=f"Instruction {content.id}",
        author=content.organisation,
        created=datetime.strptime(content.at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        footer=f"{content.id}  ·  {content.order.id}",
    )
    sheet.title("Instruction to delete", f"{content.id}  ·  {content.organisation}")
    sheet.facts(_head(content))
    sheet.heading("What you are told to do")
    sheet.list_or_none("", content.demands, "")
    sheet.heading("What you got")
    sheet.list_or_none("", _described(content), "")
    return sheet.finish()
