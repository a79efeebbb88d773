"""Recipients, what they were told to do, and what they answered."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from unsee.books import facts
from unsee.books.database import Tx
from unsee.books.schema import instruction_events, instructions, recipients
from unsee.books.sets import pack, unpack
from unsee.core.errors import AlreadyExists, NotFound
from unsee.core.ids import InstructionId, OrderId, PersonId, RecipientId
from unsee.core.sharing import Instruction, InstructionEvent, Recipient


def add(tx: Tx, recipient: Recipient, *, person: PersonId) -> None:
    """Add somebody who may get, or got, data or models.

    Raises:
        AlreadyExists: the id is taken.
    """
    if tx.conn.execute(sa.select(recipients.c.id).where(recipients.c.id == recipient.id)).first():
        raise AlreadyExists("recipient", recipient.id)
    tx.conn.execute(recipients.insert().values(**recipient.as_json(), person_id=person, at=tx.at))
    facts.record(
        tx,
        "RecipientAdded",
        recipient=recipient.id,
        name=recipient.name,
        category=recipient.category,
        geography=recipient.geography,
        by=person,
    )


def recipient(conn: Connection, recipient_id: RecipientId) -> Recipient:
    """The recipient of that id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(sa.select(recipients).where(recipients.c.id == recipient_id)).first()
    if row is None:
        raise NotFound("recipient", recipient_id)
    return _recipient(row)


def all_recipients(conn: Connection) -> list[Recipient]:
    """Every recipient, by id."""
    return [_recipient(row) for row in conn.execute(sa.select(recipients).order_by(recipients.c.id))]


def next_instruction(conn: Connection) -> InstructionId:
    """`instruction-0001`, …"""
    count = int(conn.execute(sa.select(sa.func.count()).select_from(instructions)).scalar_one())
    return InstructionId(f"instruction-{count + 1:04d}")


def instruct(tx: Tx, instruction: Instruction) -> None:
    """Record that a recipient was given an instruction pack (R16)."""
    tx.conn.execute(
        instructions.insert().values(
            id=instruction.id,
            order_id=instruction.order,
            recipient_id=instruction.recipient,
            item_set=pack(instruction.items),
            models=json.dumps(instruction.models),
            pack_sha256=instruction.pack_sha256,
            due=instruction.due.isoformat() if instruction.due else None,
            person_id=instruction.person,
            at=tx.at,
        )
    )
    facts.record(
        tx,
        "RecipientInstructed",
        instruction=instruction.id,
        order=instruction.order,
        recipient=instruction.recipient,
        items=len(instruction.items),
        models=list(instruction.models),
        pack=instruction.pack_sha256,
        by=instruction.person,
    )


def note_event(
    tx: Tx, instruction_id: InstructionId, event: str, *, document_sha256: str | None, note: str, person: PersonId
) -> bool:
    """Record what became of an instruction; whether it was news. The same event with the same document is on record once."""
    found = instruction(tx.conn, instruction_id)
    if any(e.event == event and e.document_sha256 == document_sha256 for e in found.events):
        return False
    tx.conn.execute(
        instruction_events.insert().values(
            instruction_id=instruction_id,
            event=event,
            document_sha256=document_sha256,
            note=note,
            person_id=person,
            at=tx.at,
        )
    )
    facts.record(
        tx,
        f"Instruction{event.capitalize()}",
        instruction=instruction_id,
        recipient=found.recipient,
        document=document_sha256,
        by=person,
    )
    return True


def instruction(conn: Connection, instruction_id: InstructionId) -> Instruction:
    """The instruction of that id, with all that became of it.

    Raises:
        NotFound: there is none.
    """
    for found in all_instructions(conn):
        if found.id == instruction_id:
            return found
    raise NotFound("instruction", instruction_id, next_step='"unsee recipient show RECIPIENT" lists them.')


def all_instructions(conn: Connection, order: OrderId | None = None) -> list[Instruction]:
    """Every instruction, or those of one order, oldest first."""
    events: dict[str, list[InstructionEvent]] = {}
    for row in conn.execute(sa.select(instruction_events).order_by(instruction_events.c.no)):
        events.setdefault(row.instruction_id, []).append(
            InstructionEvent(row.event, row.document_sha256, row.note, row.person_id, row.at)
        )
    query = sa.select(instructions).order_by(instructions.c.at, instructions.c.id)
    if order is not None:
        query = query.where(instructions.c.order_id == order)
    return [
        Instruction(
            id=row.id,
            order=row.order_id,
            recipient=row.recipient_id,
            items=unpack(row.item_set),
            models=tuple(json.loads(row.models)),
            pack_sha256=row.pack_sha256,
            due=date.fromisoformat(row.due) if row.due else None,
            person=row.person_id,
            at=row.at,
            events=tuple(events.get(row.id, ())),
        )
        for row in conn.execute(query)
    ]


def _recipient(row: sa.Row[Any]) -> Recipient:
    return Recipient(row.id, row.name, row.address, row.phone, row.contact, row.category, row.geography)
