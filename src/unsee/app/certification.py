"""The end of an order: certificate, PDF, receipts; then the file names in the plan are destroyed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee.app.certificate_content import Gathering, Measured, Request, people_of, terms_of
from unsee.app.orders import Planned, find_plan, opening_note
from unsee.app.workspace import Workspace
from unsee.attest import certificate as certificates
from unsee.attest import content as said
from unsee.attest import receipts as receipt_books
from unsee.attest.bundle import LoggedRecord, PdfSeal, bundle, log_evidence
from unsee.attest.dsse import Envelope
from unsee.attest.durable import write_file
from unsee.attest.notes import open_checkpoint
from unsee.books import facts, orders
from unsee.core.errors import MissingExtra, NotFound, WrongState
from unsee.core.ids import OrderId
from unsee.core.orders import Order, OrderState
from unsee.erase.executor import summarise
from unsee.erase.journal import Journal
from unsee.erase.plandir import open_plan
from unsee.intake.pseudonyms import pseudonym

__all__ = ["Certified", "Measured", "Request", "certify", "receipt"]


@dataclass(frozen=True, slots=True)
class Certified:
    """What was written."""

    certificate: Path
    pdf: Path | None
    receipts: int
    receipts_directory: Path | None
    payload_sha256: str
    operator_key: str


def certify(ws: Workspace, request: Request) -> Certified:
    """Write `certificate.json`, `certificate.pdf` and, where asked, everybody's receipt; close the order.

    Afterwards the plan's parts, its journal and the needles are destroyed: they hold file names, which are personal data.

    Raises:
        WrongState: the order is not verified, or was certified already.
        NotFound, InputError: what is named does not exist or does not fit.
    """
    planned = find_plan(ws, request.order)
    order_id = planned.row.order
    with ws.books.read() as conn:
        order = orders.order(conn, order_id)
        if order.state is OrderState.CERTIFIED:
            _destroy_names(ws, conn, order_id)  # a kill may have come before it
        if order.state is not OrderState.VERIFIED:
            raise WrongState(
                f"{order.id} is {order.state}; a certificate says what was verified.",
                next_step=f'Run "unsee verify {order.id}" first.' if order.state is OrderState.APPLIED else "",
            )
    journal = Journal(planned.directory.journal_path)
    applied = summarise(journal.entries(), ())
    journal.close()
    note = opening_note(ws, order.id)
    with ws.books.read() as conn:
        content = Gathering(ws, conn, order, planned, applied, request, note).content()
        people = people_of(conn, order)
    receipts = _receipts(ws, order, content, people)
    statement = certificates.build(content)
    with ws.act() as tx:
        facts.record(tx, "CertificateIssued", **statement.issued_fields())
    envelope = Envelope(statement.payload).signed_by(ws.operator_key)
    request.out.mkdir(parents=True, exist_ok=True)
    printed = _print(statement, envelope, content, request.plot)
    seal = PdfSeal.of(statement, printed, ws.operator_key) if printed is not None else None
    evidence = log_evidence(
        ws.log, note, open_checkpoint(note, ws.log.origin, ws.log.public_key).size, _records(ws, order.id, planned)
    )
    data = bundle(statement, envelope, plan_summary=planned.directory.summary, log=evidence, pdf=seal)
    certificate_path = request.out / "certificate.json"
    pdf_path = request.out / "certificate.pdf" if printed is not None else None
    if pdf_path is not None and printed is not None:
        write_file(pdf_path, printed)
    write_file(certificate_path, data)
    directory = request.out / "receipts" if request.write_receipts else None
    if directory is not None:
        directory.mkdir(exist_ok=True)
        for person in people:
            text = receipt_books.derive(ws.secret("receipts"), receipts, person, payload_sha256=statement.sha256)
            name = receipt_books.receipt_id(ws.secret("receipts"), order.id, person.pseudonym).hex()
            write_file(directory / f"{name[:32]}.json", text)
    with ws.act() as tx:
        body = {"payload_sha256": statement.sha256, "certificate": content.id}
        orders.move_order(tx, order.id, OrderState.CERTIFIED, body)
        orders.note_event(
            tx,
            order.id,
            OrderState.CERTIFIED,
            {**body, "applied": applied.as_json(), "terms": _terms_json(terms_of(ws, order, content))},
        )
    with ws.books.read() as conn:
        _destroy_names(ws, conn, order.id)
    return Certified(
        certificate_path, pdf_path, receipts.count, directory, statement.sha256, ws.operator_key.public.fingerprint
    )


def receipt(ws: Workspace, order_name: str, *, person: str) -> bytes:
    """The receipt of one person, by the giver's own id for them.

    Raises:
        WrongState: the order is not certified yet.
        NotFound: no such order, or nobody of that id is in its scope.
    """
    with ws.books.read() as conn:
        order = orders.order(conn, OrderId(order_name))
        closed = orders.last_event(conn, order.id, OrderState.CERTIFIED)
        if closed is None:
            raise WrongState(f"{order.id} is {order.state}; receipts come with the certificate.")
        people = people_of(conn, order)
    wanted = pseudonym(ws.secret("pseudonym"), order.source, person)
    mine = next((p for p in people if p.pseudonym == wanted), None)
    if mine is None:
        raise NotFound("person in the scope", person, next_step="Give the id under which the source knew the person.")
    terms = receipt_books.OrderTerms(
        **{**closed[1]["terms"], "recipients_told": tuple(closed[1]["terms"]["recipients_told"])}
    )
    gathered = receipt_books.gather(ws.secret("receipts"), terms, people)
    return receipt_books.derive(ws.secret("receipts"), gathered, mine, payload_sha256=closed[1]["payload_sha256"])


def _destroy_names(ws: Workspace, conn: Connection, order: OrderId) -> None:
    """Of every plan that was made for the order, the ones that were never carried out included."""
    for row in orders.plans_of(conn, order):
        open_plan(ws.plans / row.id, digest=row.digest).destroy_names()


def _terms_json(terms: receipt_books.OrderTerms) -> dict[str, Any]:
    return {**asdict(terms), "recipients_told": list(terms.recipients_told)}


def _receipts(
    ws: Workspace, order: Order, content: said.CertificateContent, people: Sequence[receipt_books.PersonOutcome]
) -> receipt_books.Receipts:
    return receipt_books.gather(ws.secret("receipts"), terms_of(ws, order, content), people)


def _records(ws: Workspace, order: OrderId, planned: Planned) -> list[LoggedRecord]:
    with ws.books.read() as conn:
        found = [
            *facts.find(conn, ["OrderOpened"], order=order),
            *facts.find(conn, ["PlanMade", "PlanApproved"], plan=planned.row.id),
            *facts.find(conn, ["CertificateIssued"], order=order)[-1:],
        ]
    return [LoggedRecord(f.kind, f.body, f.salt, f.log_index) for f in found if f.log_index is not None]


def _print(
    statement: certificates.Statement, envelope: Envelope, content: said.CertificateContent, plot: Path | None
) -> bytes | None:
    try:
        from unsee.attest.pdf import render
    except MissingExtra:
        return None
    return render(content, statement, envelope, plot=plot)
