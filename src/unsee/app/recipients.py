"""Recipients: who they are, what they got, whether sharing with them is frozen."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from unsee.app.disclosures import frozen_recipients, reach_of
from unsee.app.registry import keep_document
from unsee.app.workspace import Workspace
from unsee.attest.durable import write_file
from unsee.attest.instructions import DOCUMENT, LIST, InstructionContent, letter, list_of_digests
from unsee.attest.instructions import document as describe
from unsee.books import disclosures as register
from unsee.books import items, orders, parties, recipients
from unsee.books.database import Tx
from unsee.core.errors import InvalidValue, WrongState
from unsee.core.ids import InstructionId, OrderId, PersonId, RecipientId, slug
from unsee.core.sharing import Disclosure, Instruction, Recipient, received, unanswered

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
            frozen_recipients(conn, recipient.id).get(recipient.id, ()),
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


def instructions_of(ws: Workspace, order: OrderId) -> list[Instruction]:
    """What recipients were told under an order and what they answered, oldest first."""
    with ws.books.read() as conn:
        return recipients.all_instructions(conn, order)


@dataclass(frozen=True, slots=True)
class Sent:
    """One instruction pack that was written."""

    instruction: Instruction
    directory: Path
    files: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {**self.instruction.as_json(), "directory": str(self.directory), "files": list(self.files)}


def instruct(
    ws: Workspace, order_name: str, out: Path, *, to: str | None, reply_to: str, person: PersonId
) -> tuple[list[Sent], list[Instruction]]:
    """Write an instruction pack for each recipient who got something that the order reaches (R16); and those told already.

    A pack covers all that its recipient got of the order's scope. Who was told of all of it is not told again; who got more in the
    meantime, or is found to have got more, is told anew. The list of digests is not kept here: it would outlive the erasure.

    Raises:
        NotFound: no such order, recipient or person.
        WrongState: the recipient that is named got nothing of the order's scope.
    """
    sent: list[Sent] = []
    told: list[Instruction] = []
    with ws.act() as tx:
        sender = parties.person(tx.conn, person)
        order = orders.order(tx.conn, OrderId(order_name))
        reach = reach_of(tx.conn, order.id)
        found = received(register.outward(tx.conn), reach.items, reach.models)
        if to is not None:
            wanted = recipients.recipient(tx.conn, RecipientId(to)).id
            if wanted not in found:
                raise WrongState(
                    f"The register shows nothing of {order.id} going to {to}; there is nothing to delete there."
                )
            found = {wanted: found[wanted]}
        for who, got in found.items():
            earlier = recipients.all_instructions(tx.conn, order.id)
            if not unanswered(got, reach, earlier, confirmed=False):
                told += [i for i in earlier if i.recipient == who]
                continue
            content = InstructionContent(
                id=recipients.next_instruction(tx.conn),
                order=order,
                organisation=ws.organisation,
                sender=sender,
                reply_to=reply_to or f"{sender.name}, {ws.organisation}",
                recipient=recipients.recipient(tx.conn, who),
                received=got,
                identified=0,
                at=tx.at,
            )
            sent.append(_send(ws, tx, content, out))
    return sent, told


def _send(ws: Workspace, tx: Tx, content: InstructionContent, out: Path) -> Sent:
    """Write the pack, then record it: a kill in between leaves a directory that the next call writes anew."""
    got = content.received
    digests = items.digests_of(tx.conn, got.items)
    content = replace(content, identified=len(digests.ids))
    files: dict[str, bytes] = {}
    if content.identified:
        heading = hmac.digest(
            ws.secret("receipts"), b"unsee instruction list 1\n" + content.id.encode(), "sha256"
        ).hex()
        files[LIST] = list_of_digests(heading, (row.tobytes() for row in digests.sha256))
    name, text = letter(content)
    files[name] = text
    document = describe(content, files)
    files[DOCUMENT] = document
    directory = out / content.id
    for file, data in files.items():
        write_file(directory / file, data)
    pack = hashlib.sha256(document).hexdigest()
    write_file(ws.root / "instruments" / f"{pack}.json", document)
    write_file(ws.root / "instruments" / f"{hashlib.sha256(text).hexdigest()}{Path(name).suffix}", text)
    instruction = Instruction(
        id=content.id,
        order=content.order.id,
        recipient=content.recipient.id,
        items=got.items,
        models=got.models,
        pack_sha256=pack,
        due=date.fromisoformat(content.due) if content.due else None,
        person=content.sender.id,
        at=tx.at,
    )
    recipients.instruct(tx, instruction)
    return Sent(instruction, directory, tuple(sorted(files)))


def reply(
    ws: Workspace, name: str, document: Path, *, confirms: bool, forward: bool, note: str, person: PersonId
) -> Instruction:
    """File what a recipient answered. With `confirms` it says that all is gone, and sharing opens again; with `forward` the answer
    went on to the authority. Filing the same document again records nothing twice.

    Raises:
        NotFound: no such instruction or person.
        InputError: the document cannot be read.
    """
    with ws.books.read() as conn:
        instruction_id = recipients.instruction(conn, InstructionId(name)).id
    digest = keep_document(ws, document)
    with ws.act() as tx:
        parties.person(tx.conn, person)
        for event, said in (("replied", True), ("confirmed", confirms), ("forwarded", forward)):
            if said:
                recipients.note_event(tx, instruction_id, event, document_sha256=digest, note=note, person=person)
        return recipients.instruction(tx.conn, instruction_id)
