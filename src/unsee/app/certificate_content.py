"""What the books know of an order, gathered into what its certificate and receipts say."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from unsee import __version__
from unsee.app.disclosures import Obtained, Statement, described, of_order, reach_of, told_on
from unsee.app.orders import Planned
from unsee.app.training import compare
from unsee.app.workspace import Workspace
from unsee.attest import content as said
from unsee.attest import receipts as receipt_books
from unsee.attest.notes import open_checkpoint
from unsee.books import backups, facts, items, orders, parties, places, recipients, shown, training
from unsee.books.database import stamp
from unsee.core.errors import InputError, WrongState
from unsee.core.evidence import ForgettingEvidence, Gone, ModelDisposition
from unsee.core.ids import ItemSet, ModelId, PersonId
from unsee.core.orders import Order, OrderState, profile
from unsee.core.sharing import unanswered
from unsee.erase.executor import Applied
from unsee.erase.scope import resolve
from unsee.models.comparison import Comparison
from unsee.models.evaluation import Measure

COMPLAINT_ROUTE = "the supervisory authority or court that issued or oversees the order"
_HEADLINES = frozenset({"eer", "tar@1e-2", "rank1", "fmr", "fdr"})
"""Measures whose change is said in a sentence; the table has all of them."""
_LOOKED_AGAIN = (
    "Every member that the stores list was read again and compared by bytes, pixels and near-duplicate hash; fresh processes asked "
    "each store for what had to go, and searched its raw bytes for anchors put aside before."
)
_FILE_SEARCHED = "The rows were counted again; the database file was rewritten and its write-ahead log truncated."
_ROWS_SEARCHED = "The rows were counted again, and every row of every table searched for the digests that they held."


@dataclass(frozen=True, slots=True)
class Measured:
    """Which evaluations stand on the certificate: models before and after, a control, and the dataset."""

    before: str
    after: str
    on: str
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a certificate is asked to say besides what the books know."""

    order: str
    signatory: PersonId
    out: Path
    measured: Measured | None
    plot: Path | None
    write_receipts: bool
    basis: str


@dataclass(frozen=True, slots=True)
class Gathering:
    """Gathers what the books know into what a certificate says."""

    ws: Workspace
    conn: Connection
    order: Order
    planned: Planned
    applied: Applied
    request: Request
    opening: str

    def content(self) -> said.CertificateContent:
        """Everything that the certificate says.

        Raises:
            WrongState: the order was never applied or verified.
            InputError: the replacement learned from the scope.
            NotFound: the signatory or a model is not in the books.
        Cost: one pass over the people of the scope.
        """
        summary, conn = self.planned.directory.summary, self.conn
        verified_at, verified = self._event(OrderState.VERIFIED)
        applied_at, _ = self._event(OrderState.APPLIED)
        seen: Mapping[str, Any] = verified["verification"]
        signatory = parties.person(conn, self.request.signatory)
        terms_receipts = people_of(conn, self.order)
        started = facts.find(conn, ["ApplyStarted"], plan=self.planned.row.id)
        models = tuple(self._model(m, applied_at) for m in summary["models"])
        evaluation = self._evaluation()
        shared = of_order(self.ws, conn, self.order.id)
        content = said.CertificateContent(
            id=f"certificate-{self.order.id.removeprefix('order-')}",
            order=self.order,
            plan_id=self.planned.row.id,
            plan_summary=summary,
            approvals=tuple(
                (parties.person(conn, a.person), a) for a in orders.approvals_of(conn, self.planned.row.id)
            ),
            outcomes=tuple(self._outcome(name, int(count)) for name, count in summary["scope"].items()),
            retained_set=said.RetainedSet(
                int(seen["retained"]["items"]), str(summary["retained"]["root"]), str(seen["retained"]["root"])
            ),
            places=tuple(self._place(row, seen) for row in places.all_stores(conn)),
            methods=self._methods(),
            models=models,
            evaluation=evaluation,
            residuals=(),
            not_verified=self._not_verified(seen, shared),
            retained=(),
            backups=self._backups(),
            recipients=tuple(self._recipient(o) for o in shared.obtained),
            sharing_coverage=said.Coverage(
                date.fromisoformat(shared.coverage.since[:10]),
                date.fromisoformat(shared.coverage.until[:10]),
                shared.rests_on,
            ),
            unknown_lineage=tuple(
                said.UnknownLineage(f"model files {stray}", 1, "left by an unfinished run; destroyed with the models")
                for stray in summary["strays"]
            ),
            consent=said.ConsentCounts(
                consented=int(summary["reach"]["consents"]["consented"]),
                declined=int(summary["reach"]["consents"]["withdrawn"]),
                silent=int(summary["reach"]["consents"]["silent"]),
            ),
            duties=self._duties(applied_at, verified_at, shared),
            times=said.Times(
                order_opened=self._opened_at(),
                planned=self.planned.row.at,
                apply_started=json.loads(started[0].body)["at"] if started else applied_at,
                apply_ended=applied_at,
                verified=verified_at,
                issued=_now(self.ws),
            ),
            operator=said.Operator(
                self.ws.organisation, signatory.name, signatory.title, self.ws.operator_key.public.hex
            ),
            tool=said.Tool("unsee", __version__, sys.version.split()[0], platform.platform()),
            log=said.LogIdentity(
                self.ws.log.public_key.hex, open_checkpoint(self.opening, self.ws.log.origin, self.ws.log.public_key)
            ),
            receipts=None,
            declarant_basis=self.request.basis,
            supplements=None,
        )
        gathered = receipt_books.gather(
            self.ws.secret("receipts"), terms_of(self.ws, self.order, content), terms_receipts
        )
        root = said.ReceiptsRoot(gathered.count, gathered.root.hex()) if gathered.count else None
        return replace(content, receipts=root)

    def _event(self, state: OrderState) -> tuple[str, dict[str, Any]]:
        found = orders.last_event(self.conn, self.order.id, state)
        if found is None:
            raise WrongState(f"{self.order.id} was never {state}.")
        return found

    def _opened_at(self) -> str:
        opened = facts.find(self.conn, ["OrderOpened"], order=self.order.id)
        return str(json.loads(opened[0].body)["at"])

    def _outcome(self, data_class: str, count: int) -> said.ClassOutcome:
        if data_class == "copy":
            return said.ClassOutcome(
                "copy",
                count,
                {Gone[name]: number for name, number in self.applied.gone.items() if number},
                absent=count - sum(self.applied.gone.values()),
                verified=_LOOKED_AGAIN,
            )
        if data_class in {"photo", "document", "embedding"}:
            mine = self._items_of(data_class)
            by_step = {Gone[s]: len(gone & mine) for s, gone in self._gone.items() if gone.intersect(mine)}
            without_copies = count - sum(by_step.values())  # every copy of them was gone before the plan was made
            return said.ClassOutcome(data_class, count, by_step, absent=without_copies, verified=_LOOKED_AGAIN)
        # A server's write-ahead log and replicas hold the rows longer than its tables do.
        if self.applied.may_hold:
            return said.ClassOutcome(data_class, count, {Gone.D1: count}, verified=_ROWS_SEARCHED)
        return said.ClassOutcome(data_class, count, {Gone.D2: count}, verified=_FILE_SEARCHED)

    @property
    def _gone(self) -> dict[str, ItemSet]:
        """The items by the weakest step that any of their copies reached (R6)."""
        return orders.gone_of(self.conn, self.order.id)

    def _items_of(self, data_class: str) -> ItemSet:
        scope = orders.scope_of(self.conn, self.order.id)
        papers = scope & parties.documents(self.conn)
        embedded = items.embeddings_among(self.conn, papers)
        return {"photo": scope - papers, "document": papers - embedded, "embedding": embedded}[data_class]

    def _place(self, row: places.StoreRow, seen: Mapping[str, Any]) -> said.Place:
        capability = self.ws.stores()[row.id].capability()
        looked = seen["places"][row.id]
        return said.Place(
            row.id,
            row.kind,
            row.location,
            capability.best_gone,
            capability.keeps_history,
            (
                *capability.limits,
                *(f"In this erasure: {note}" for store, note in self.applied.notes if store == row.id),
            ),
            int(looked["objects"]),
            int(looked["members"]),
            passed_over=int(looked["skipped"]),
            residue_found=int(looked["residue"]),
        )

    def _methods(self) -> tuple[said.Method, ...]:
        tool = f"unsee {__version__}"
        served = bool(self.applied.may_hold)
        opened = {str(name): store for name, store in self.ws.stores().items()}
        return (
            *(
                said.Method(
                    f"copies in store {store}",
                    opened[store].capability().method,
                    _nist(steps),
                    tool,
                    _LOOKED_AGAIN,
                )
                for store, steps in sorted(self.applied.by_store.items())
                if store in opened and any(steps.values())
            ),
            said.Method(
                "rows of the books",
                "deleted; tables rewritten by the server" if served else "deleted; database file rewritten",
                "none",
                tool,
                _ROWS_SEARCHED if served else _FILE_SEARCHED,
            ),
            said.Method(
                "model files",
                "unlinked; the directory reached the disk",
                "none",
                tool,
                "The models store was walked again.",
            ),
        )

    def _model(self, planned: Mapping[str, Any], at: str) -> said.ModelOutcome:
        disposition = ModelDisposition(planned["disposition"])
        if disposition is not ModelDisposition.DESTROYED:
            return said.ModelOutcome(
                planned["id"],
                planned["digest"],
                disposition,
                None,
                explanation=str(planned["why"]),
                artefacts_destroyed=0,
            )
        replacement = None
        measured = self.request.measured
        if measured is not None and measured.before == planned["id"]:
            after = training.model(self.conn, ModelId(measured.after))
            replacement = said.Replacement(after.id, after.digest)
        conditions: tuple[str, ...] = (
            "All files of the model, optimizer state and label map included, were unlinked and looked for again.",
        )
        if replacement is not None:
            conditions += (
                "Its replacement was trained from nothing on a dataset that holds no item of the scope.",
                "That training was not replayed by a third party, so no stronger claim is made.",
            )
        return said.ModelOutcome(
            planned["id"],
            planned["digest"],
            ModelDisposition.RETRAINED if replacement is not None else ModelDisposition.DESTROYED,
            ForgettingEvidence.E,
            conditions,
            len(planned["files"]),
            replacement,
            at=at,
        )

    def _evaluation(self) -> said.Evaluation | None:
        measured = self.request.measured
        if measured is None:
            return None
        _require_clean(self.conn, measured.after, orders.scope_of(self.conn, self.order.id))
        comparison = compare(
            self.ws, measured.before, measured.after, control=measured.control, on=measured.on, plot=None, report=None
        )
        return said.Evaluation(
            measured.on,
            measured.before,
            measured.after,
            tuple(_measures(comparison)),
            remarks=(*comparison.sentences(_HEADLINES), *comparison.notes),
        )

    def _not_verified(self, seen: Mapping[str, Any], shared: Statement) -> tuple[said.NotVerified, ...]:
        summary = self.planned.directory.summary
        entries = [
            said.NotVerified(
                "crops, rotations by other than quarter turns, heavy overlays", str(summary["search"]["method"])
            ),
            said.NotVerified(
                "backups and snapshots",
                "what the registered ones hold was told from the books, not looked into; copies outside of the registered "
                "stores and backups were not looked for",
            ),
            said.NotVerified("sharing outside of the register of disclosures", shared.not_checked),
        ]
        entries.extend(
            said.NotVerified(f"{count:,} entries of the stores, as pictures", str(reason))
            for reason, count in sorted(seen["not_compared"].items())
        )
        search = seen["residue_search"]
        entries.extend(
            said.NotVerified(f"{count:,} parts of store {store}, as raw bytes", str(reason))
            for store, searched in search["stores"].items()
            for reason, count in searched["not_searched"].items()
        )
        if self.applied.without_anchors:
            entries.append(
                said.NotVerified(
                    f"{self.applied.without_anchors:,} erased copies, as raw bytes",
                    "too small, or not readable, for anchors to be put aside before they were erased",
                )
            )
        beyond = dict.fromkeys((*self.applied.may_hold, *seen["raw_scan"].get("not_searched", ())))
        entries.extend(
            said.NotVerified(place, "may hold deleted rows of the books; out of the tool's reach, and not searched")
            for place in beyond
        )
        if summary["retained"]["without_sound_copy"]:
            entries.append(
                said.NotVerified(
                    f"{summary['retained']['without_sound_copy']:,} retained items",
                    "no copy of them was found as it was taken in, before the order was carried out",
                )
            )
        return tuple(entries)

    def _backups(self) -> tuple[said.Backup, ...]:
        """The backups that may hold the scope still, today (R7)."""
        scope = orders.scope_of(self.conn, self.order.id)
        return tuple(
            said.Backup(
                one.id,
                f"up to {len(held):,} items of the scope, at {one.location}",
                one.expires_on,
                "not to be restored; what is restored all the same is erased again by the suppression list",
            )
            for one, held in backups.holding(self.conn, scope, self.ws.now().date())
        )

    def _duties(self, applied_at: str, verified_at: str, shared: Statement) -> tuple[said.Duty, ...]:
        days = profile(self.order.profile).deadlines(self.order.effective)
        done = {"data": date.fromisoformat(verified_at[:10]), "models": date.fromisoformat(applied_at[:10])}
        idle: set[str] = set()
        if self.planned.directory.summary["scope"].get("embedding"):
            done["embeddings"] = done["data"]
        else:
            idle.add("embeddings")
        told = told_on(self.conn, self.order.id, shared)
        if told is not None:
            done["third-parties"] = told
        if not shared.shared:
            idle.add("third-parties")
        return tuple(said.Duty(duty, done.get(duty), nothing_to_do=duty in idle) for duty in days)

    def _recipient(self, obtained: Obtained) -> said.Recipient:
        """A recipient with what it got of the scope and what it answered (R15, R16)."""
        who, got = obtained.recipient, obtained.received
        mine = [i for i in recipients.all_instructions(self.conn, self.order.id) if i.recipient == who.id]
        answers = [f"{e.event} {e.at[:10]}" + (f": {e.note}" if e.note else "") for i in mine for e in i.events]
        reach = reach_of(self.conn, self.order.id)
        open_ends = unanswered(got, reach, mine)
        confirmed = [at for i in mine if (at := i.when("confirmed")) is not None]
        return said.Recipient(
            who.name,
            who.address,
            who.phone,
            "; ".join(described(d) for d in got.disclosures),
            min((i.at for i in mine), default=None),
            "; ".join(answers) or ("no answer on file" if mine else "not instructed"),
            max(confirmed) if confirmed and not open_ends else None,
        )


def _nist(steps: Mapping[str, int]) -> str:
    """What the weakest step of a store is called in NIST SP 800-88 r2."""
    weakest = min((step for step, count in steps.items() if count), default="D2")
    return {"D3": "clear", "D4": "purge"}.get(weakest, "none")


def _require_clean(conn: Connection, model: str, scope: ItemSet) -> None:
    """Pass where `model` exists and stands on no item of `scope`."""
    found = training.model(conn, ModelId(model))
    if found.destroyed_by is not None or model in resolve(conn, scope).names("model"):
        raise InputError(
            f"Model {model} cannot stand in for what was destroyed: it learned from the scope, or is gone itself.",
            next_step="Train one on a dataset that holds no item of the scope, and evaluate it.",
        )


def _measures(comparison: Comparison) -> Iterator[said.Measure]:
    """The measures that both models have; those that may not be claimed are among the remarks, with their reason."""
    for row in comparison.rows:
        if row.before.estimate is None or row.after.estimate is None:
            continue
        yield said.Measure(
            row.before.kind.label,
            row.before.group or "all",
            _decimal(row.before.estimate),
            _decimal(row.after.estimate),
            _interval(row.before),
            _interval(row.after),
            _decimal(row.control.estimate) if row.control is not None and row.control.estimate is not None else None,
        )


def _interval(measure: Measure) -> tuple[str, str] | None:
    if measure.low is None or measure.high is None or math.isinf(measure.high):
        return None
    return _decimal(measure.low), _decimal(measure.high)


def _decimal(value: float) -> str:
    """Four decimals: finer than any interval here."""
    return f"{value:.4f}"


def people_of(conn: Connection, order: Order) -> list[receipt_books.PersonOutcome]:
    """What each person in an order's scope is told. An order is certified only when all of it is gone, so all were erased."""
    scope = orders.scope_of(conn, order.id)
    each = shown.items_each(conn, scope)
    names = items.pseudonyms_of(conn, each)
    return [
        receipt_books.PersonOutcome(
            names[no], "erased", {"photo": {"erased": count, "absent": 0, "retained": 0, "failed": 0}}
        )
        for no, count in sorted(each.items())
    ]


def terms_of(ws: Workspace, order: Order, content: said.CertificateContent) -> receipt_books.OrderTerms:
    """What is the same in every receipt of the order."""
    destroyed = [m for m in content.models if m.disposition in {ModelDisposition.DESTROYED, ModelDisposition.RETRAINED}]
    retrained = [m for m in destroyed if m.replaced_by is not None]
    effect = (
        f"{len(destroyed)} models that had learned from the photos were destroyed"
        + (f"; {len(retrained)} trained anew without them" if retrained else "")
        + "."
        if destroyed
        else "No model had learned from the photos."
    )
    return receipt_books.OrderTerms(
        order=order.id,
        certificate=content.id,
        controller=ws.organisation,
        request_date=order.effective.isoformat(),
        decided_at=content.times.issued[:10],
        model_effect=effect,
        model_effect_at=content.times.apply_ended[:10] if destroyed else None,
        backup_expiry=max((b.expires.isoformat() for b in content.backups if b.expires), default=None),
        recipients_told=tuple(r.name for r in content.recipients if r.instructed_at is not None),
        suppressed=True,
        complaint_route=COMPLAINT_ROUTE,
    )


def _now(ws: Workspace) -> str:
    return stamp(ws.now())
