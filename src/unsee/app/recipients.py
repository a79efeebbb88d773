"""Recipients: who they are, what they got, whether sharing with them is frozen."""

from __future__ import annotations

from dataclasses import dataclass

from unsee.app.disclosures import frozen_recipients
from unsee.app.workspace import Workspace
from unsee.books import disclosures as register
from unsee.books import parties, recipients
from unsee.core.errors import InvalidValue
from unsee.core.ids import OrderId, PersonId, RecipientId, slug
from unsee.core.sharing import Disclosure, Instruction, Recipient

MAX_FIELD = 1000
"""Characters of one field: an address is shorter, and what is longer is a mistake."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One recipient as the books know it now."""

    recipient: Recipient
    disclosures: tuple[Disclosure, ...]
    instructions: tuple[Instruction, ...]
    frozen_by: tuple[OrderId, ...]

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            **self.recipient.as_json(),
            "frozen_by": list(self.frozen_by),
            "disclosures": [d.as_json() for d in self.disclosures],
            "instructions": [i.as_json() for i in self.instructions],
        }


def add(ws: Workspace, recipient: Recipient, *, person: PersonId) -> Recipient:
    """Add a recipient. Name, address and phone are what an order asks for each of them (R15).

    Raises:
        InvalidName: the id, or the category, cannot be one.
        InvalidValue: a field is empty, holds control characters, or is too long.
        AlreadyExists: the id is taken.
        NotFound: no such person.
    """
    slug(recipient.id, what="recipient")
    slug(recipient.category, what="category")
    for field, value in recipient.as_json().items():
        if field in {"name", "address", "phone"} and not value.strip():
            raise InvalidValue(
                f"Recipient {recipient.id} has no {field}.",
                next_step="Name, address and phone are mandatory: an order asks for them.",
            )
        if len(value) > MAX_FIELD or any(ord(c) < 32 or c in "\x7f\u2028\u2029" for c in value.replace("\n", " ")):
            raise InvalidValue(
                f"The {field} of recipient {recipient.id} is no plain text of up to {MAX_FIELD} characters."
            )
    with ws.act() as tx:
        parties.person(tx.conn, person)
        recipients.add(tx, recipient, person=person)
    return recipient


def standing(ws: Workspace, name: str) -> Standing:
    """One recipient, what it got, what it was told and answered, and what freezes sharing with it.

    Raises:
        NotFound: there is none of that name.
    """
    with ws.books.read() as conn:
        recipient = recipients.recipient(conn, RecipientId(name))
        return Standing(
            recipient,
            tuple(register.outward(conn, recipient=recipient.id)),
            tuple(i for i in recipients.all_instructions(conn) if i.recipient == recipient.id),
            frozen_recipients(conn).get(recipient.id, ()),
        )


def all_standings(ws: Workspace) -> list[Standing]:
    """Every recipient, by id."""
    with ws.books.read() as conn:
        frozen = frozen_recipients(conn)
        told = register.outward(conn)
        sent = recipients.all_instructions(conn)
        return [
            Standing(
                r,
                tuple(d for d in told if d.recipient == r.id),
                tuple(i for i in sent if i.recipient == r.id),
                frozen.get(r.id, ()),
            )
            for r in recipients.all_recipients(conn)
        ]
