"""Agreements, interests, consent and retention kept in full; recipients and disclosures; sets instead of rows for people."""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa
from alembic import op
from pyroaring import BitMap

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PRESENT = {name: sa.text(f"{name} IS NOT NULL") for name in ("subject_no", "parent_id")}
_SCHEDULE = (
    ("photo", 1825, "In the default schedule: at most five years (FTC v. Rite Aid)"),
    ("document", 1825, "In the default schedule: as long as the photos that it names"),
    ("exif", 1825, "In the default schedule: as long as the photos"),
    ("demographics", 1825, "In the default schedule: as long as the photos"),
    ("location", 365, "In the default schedule: one year (FTC X-Mode: never indefinite)"),
    ("embedding", 1095, "In the default schedule: three years (740 ILCS 14/15(a))"),
)

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what is new, then fill it from what older books know."""
    _create_tables()
    _add_columns()
    conn = op.get_bind()
    _move_consents(conn)
    _fill_sets(conn)
    _fill_schedule(conn)
    _begin_register(conn)


def _create_tables() -> None:
    op.create_table(
        "consent_records",
        sa.Column("subject_no", _NUMBER, nullable=False),
        sa.Column("consent_no", _NUMBER, nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("release_sha256", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("subject_no", "consent_no", name="pk_consent_records"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_consent_records_record_id", "consent_records", ["record_id"], unique=False)
    op.create_table(
        "consent_terms",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_consent_terms"),
    )
    op.create_index(
        "uq_consent_terms_said", "consent_terms", ["purpose", "state", "notice", "basis", "released"], unique=True
    )
    op.create_table(
        "disclosures",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("recipient_id", sa.String(length=64), nullable=True),
        sa.Column("disclosed_on", sa.String(length=10), nullable=False),
        sa.Column("item_set", sa.LargeBinary(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("data_classes", sa.Text(), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.String(length=64), nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.String(length=64), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_disclosures"),
    )
    op.create_table(
        "holdings",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("share", sa.Text(), nullable=False),
        sa.Column("declared_on", sa.String(length=10), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_holdings"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=64), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("published_on", sa.String(length=10), nullable=False),
        sa.Column("controllers", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("data_types", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("retention", sa.Text(), nullable=False),
        sa.Column("withdrawal_method", sa.Text(), nullable=False),
        sa.Column("separate_from_terms", sa.Boolean(), nullable=False),
        sa.Column("sharing_disclosed", sa.Boolean(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", "language", name="pk_notices"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "recipients",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=False),
        sa.Column("geography", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recipients"),
    )
    op.create_table(
        "residents",
        sa.Column("jurisdiction", sa.String(length=64), nullable=False),
        sa.Column("subject_set", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("jurisdiction", name="pk_residents"),
    )
    op.create_table(
        "retention_schedule",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("data_class", sa.String(length=64), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_retention_schedule"),
    )
    op.create_table(
        "assessments",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("assessed_on", sa.String(length=10), nullable=False),
        sa.Column("evidence_sha256", sa.String(length=64), nullable=False),
        sa.Column("result", sa.String(length=64), nullable=False),
        sa.Column("next_due", sa.String(length=10), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_assessments_source_no"),
        sa.PrimaryKeyConstraint("no", name="pk_assessments"),
    )
    op.create_index("ix_assessments_source_no", "assessments", ["source_no"], unique=False)
    op.create_table(
        "channels",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("closed_at", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_channels_source_no"),
        sa.PrimaryKeyConstraint("id", name="pk_channels"),
    )
    op.create_table(
        "instructions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("recipient_id", sa.String(length=64), nullable=False),
        sa.Column("item_set", sa.LargeBinary(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("pack_sha256", sa.String(length=64), nullable=False),
        sa.Column("due", sa.String(length=10), nullable=True),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_instructions_order_id"),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipients.id"], name="fk_instructions_recipient_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instructions"),
    )
    op.create_table(
        "privacy_policies",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("in_force_on", sa.String(length=10), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("recipient_categories", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_privacy_policies_source_no"),
        sa.PrimaryKeyConstraint("no", name="pk_privacy_policies"),
    )
    op.create_index("ix_privacy_policies_source_no", "privacy_policies", ["source_no"], unique=False)
    op.create_table(
        "quarantines",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("item_set", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("expires_on", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_quarantines_source_no"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantines"),
    )
    op.create_table(
        "instruction_events",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("instruction_id", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["instruction_id"], ["instructions.id"], name="fk_instruction_events_instruction_id"),
        sa.PrimaryKeyConstraint("no", name="pk_instruction_events"),
    )
    op.create_index("ix_instruction_events_instruction_id", "instruction_events", ["instruction_id"], unique=False)
    op.create_table(
        "quarantine_events",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("quarantine_id", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["quarantine_id"], ["quarantines.id"], name="fk_quarantine_events_quarantine_id"),
        sa.PrimaryKeyConstraint("no", name="pk_quarantine_events"),
    )
    op.create_index("ix_quarantine_events_quarantine_id", "quarantine_events", ["quarantine_id"], unique=False)


def _add_columns() -> None:
    op.add_column("agreements", sa.Column("terms", sa.Text(), server_default="{}", nullable=False))
    op.add_column("batches", sa.Column("channel_id", sa.String(length=64), nullable=True))
    op.add_column("batches", sa.Column("subject_column", sa.LargeBinary(), server_default="", nullable=False))
    op.add_column("batches", sa.Column("parent_column", sa.LargeBinary(), server_default="", nullable=False))
    op.add_column("orders", sa.Column("kind", sa.String(length=64), server_default="instrument", nullable=False))
    op.add_column("orders", sa.Column("selector", sa.Text(), server_default="{}", nullable=False))
    op.add_column("sources", sa.Column("subject_set", sa.LargeBinary(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("opted_out_set", sa.LargeBinary(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("size_bytes", _NUMBER, server_default="0", nullable=False))
    op.add_column("sources", sa.Column("origin", sa.Text(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("classification", sa.Text(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("generation_method", sa.Text(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("intended_purpose", sa.Text(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("original_purpose", sa.Text(), server_default="", nullable=False))
    op.add_column("sources", sa.Column("scraped", sa.String(length=64), server_default="no", nullable=False))
    op.add_column("sources", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.add_column("sources", sa.Column("registered_at", sa.String(length=32), server_default="", nullable=False))
    for name in ("subject_no", "parent_id"):  # nobody looks up items that show nobody, or were made from none
        op.drop_index(f"ix_items_{name}", table_name="items")
        op.create_index(
            f"ix_items_{name}", "items", [name], sqlite_where=_PRESENT[name], postgresql_where=_PRESENT[name]
        )


def _move_consents(conn: sa.Connection) -> None:
    """One row for each person and word becomes one row for all who said the same at the same time."""
    people: dict[tuple[str, str, str, str, str | None, int], set[int]] = defaultdict(set)
    old = sa.text("SELECT subject_no, purpose, state, notice, valid_from, valid_until FROM consents ORDER BY no")
    said_at = _SaidAt(int(datetime.now(UTC).timestamp()))
    for who, purpose, state, notice, begins, ends in conn.execute(old):
        people[purpose, state, notice, begins, ends, said_at(who, purpose, state, _seconds(begins))].add(who)
    op.drop_table("consents")
    op.create_table(
        "consents",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("terms_no", _NUMBER, nullable=False),
        sa.Column("said_at", _NUMBER, nullable=False),
        sa.Column("valid_from", _NUMBER, nullable=False),
        sa.Column("valid_until", _NUMBER, nullable=True),
        sa.Column("subject_no", _NUMBER, nullable=True),
        sa.Column("subject_set", sa.LargeBinary(), nullable=True),
        sa.Column("chunk", sa.LargeBinary(), nullable=True),
        sa.Column("subject_first", _NUMBER, nullable=True),
        sa.Column("subject_last", _NUMBER, nullable=True),
        sa.Column("said_until", _NUMBER, nullable=True),
        sa.Column("recorded_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["terms_no"], ["consent_terms.no"], name="fk_consents_terms_no"),
        sa.PrimaryKeyConstraint("no", name="pk_consents"),
    )
    present = _PRESENT["subject_no"]
    op.create_index(
        "ix_consents_subject_no", "consents", ["subject_no"], sqlite_where=present, postgresql_where=present
    )
    shared = sa.text("subject_set IS NOT NULL")
    op.create_index("ix_consents_said_at", "consents", ["said_at"], sqlite_where=shared, postgresql_where=shared)
    packed = sa.text("subject_first IS NOT NULL")
    op.create_index(
        "ix_consents_subject_first", "consents", ["subject_first"], sqlite_where=packed, postgresql_where=packed
    )
    terms: dict[tuple[str, str, str], int] = {}
    for said, numbers in people.items():
        purpose, state, notice, begins, ends, when = said
        if said[:3] not in terms:
            terms[said[:3]] = len(terms) + 1
            conn.execute(
                sa.text(
                    "INSERT INTO consent_terms (purpose, state, notice, basis, released) "
                    "VALUES (:purpose, :state, :notice, 'consent', :released)"
                ),
                {"purpose": purpose, "state": state, "notice": notice, "released": False},
            )
        conn.execute(
            sa.text(
                "INSERT INTO consents (terms_no, said_at, valid_from, valid_until, subject_set, recorded_at) "
                "SELECT no, :said_at, :begins, :ends, :people, :recorded FROM consent_terms "
                "WHERE purpose = :purpose AND state = :state AND notice = :notice"
            ),
            {
                "said_at": when,
                "begins": _seconds(begins),
                "ends": _seconds(ends) if ends else None,
                "people": _pack(BitMap(sorted(numbers))),
                "recorded": begins,
                "purpose": purpose,
                "state": state,
                "notice": notice,
            },
        )


class _SaidAt:
    """When an old word was said, for books that kept only the beginning of its term and counted in the order of recording.

    It is that beginning, but before now, for it was recorded; and late enough that the order of recording still decides wherever
    it did: a yes after every no and after a yes to the same purpose, a no not before any yes. At one second a no comes last.
    """

    def __init__(self, now: int) -> None:
        self._latest = now - 3600  # seconds that are added, one a word, must not lead into the future
        self._yes: dict[int, int] = {}
        self._no: dict[int, int] = {}
        self._yes_to: dict[tuple[int, str], int] = {}

    def __call__(self, who: int, purpose: str, state: str, begins: int) -> int:
        at = min(begins, self._latest)
        if state == "withdrawn":
            at = max(at, self._yes.get(who, at))
            self._no[who] = max(at, self._no.get(who, at))
            return at
        earlier = (self._no.get(who), self._yes_to.get((who, purpose)))
        at = max([at, *(second + 1 for second in earlier if second is not None)])
        self._yes_to[who, purpose] = at
        self._yes[who] = max(at, self._yes.get(who, at))
        return at


def _fill_sets(conn: sa.Connection) -> None:
    """Who is in each batch; what each source holds that is not erased."""
    for no, first, count in conn.execute(sa.text("SELECT no, first_item, item_count FROM batches")).all():
        people, parents = np.zeros(count, dtype="<u4"), np.full(count, 2**32 - 1, dtype="<u4")
        rows = sa.text(
            "SELECT id, subject_no, parent_id FROM items "
            "WHERE id BETWEEN :low AND :high AND (subject_no IS NOT NULL OR parent_id IS NOT NULL)"
        )
        made = False
        for item, who, parent in conn.execute(rows, {"low": first, "high": first + count - 1}):
            people[item - first] = who or 0
            if parent is not None:
                parents[item - first] = parent
                made = True
        conn.execute(
            sa.text("UPDATE batches SET subject_column = :people, parent_column = :parents WHERE no = :no"),
            {"people": people.tobytes(), "parents": parents.tobytes() if made else b"", "no": no},
        )
    registered = {}
    for (body,) in conn.execute(sa.text("SELECT body FROM facts WHERE kind = 'SourceRegistered'")):
        fact = json.loads(body)
        registered[fact["source"]] = fact["at"]
    for no, name in conn.execute(sa.text("SELECT no, id FROM sources")).all():
        shown, opted_out, size = set(), [], 0
        rows = sa.text(
            "SELECT i.id, i.subject_no, i.signals, i.size_bytes FROM items i JOIN digests d ON d.item_id = i.id "
            "WHERE i.source_no = :no"
        )
        for item, who, signals, size_bytes in conn.execute(rows, {"no": no}):
            shown.add(who)
            size += size_bytes
            if signals & 1:
                opted_out.append(item)
        shown.discard(None)
        conn.execute(
            sa.text(
                "UPDATE sources SET subject_set = :people, opted_out_set = :out, size_bytes = :size, registered_at = :at "
                "WHERE no = :no"
            ),
            {
                "people": _pack(BitMap(sorted(shown))),
                "out": _pack(BitMap(sorted(opted_out))),
                "size": size,
                "at": registered.get(name, ""),
                "no": no,
            },
        )


def _fill_schedule(conn: sa.Connection) -> None:
    """Books that hold sources keep working: the schedule that new books start with."""
    if conn.execute(sa.text("SELECT 1 FROM sources")).first() is None:
        return
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for data_class, days, basis in _SCHEDULE:
        conn.execute(
            sa.text(
                "INSERT INTO retention_schedule (data_class, days, basis, person_id, at) "
                "VALUES (:data_class, :days, :basis, '', :at)"
            ),
            {"data_class": data_class, "days": days, "basis": basis, "at": now},
        )


def _begin_register(conn: sa.Connection) -> None:
    """Older books kept no register of disclosures: that it begins now is a fact, and no statement reaches behind it (R18)."""
    if conn.execute(sa.text("SELECT 1 FROM facts")).first() is None:
        return
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = json.dumps({"at": now, "fact": "DisclosureRegisterBegun"}, separators=(",", ":"))
    conn.execute(
        sa.text("INSERT INTO facts (kind, body, salt, at) VALUES (:kind, :body, :salt, :at)"),
        {"kind": "DisclosureRegisterBegun", "body": body, "salt": secrets.token_bytes(32), "at": now},
    )


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _pack(members: BitMap) -> bytes:
    members.run_optimize()
    return bytes(members.serialize())
