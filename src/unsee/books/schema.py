"""The tables. One schema for SQLite and PostgreSQL; `migrations/` is how a database gets there.

Collections of items are Roaring bitmaps in blobs (portable serialisation); rows are touched only where a row's own facts are
needed. Facts are appended, never edited: the state of an agreement, an order or a consent is its last event. What shows or
identifies a face (`digests`, `copies`, attributes) sits in tables of its own, so that an erasure deletes rows and leaves
`items` and `subjects` with nothing but dense numbers and keyed pseudonyms (R21).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TextClause,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives rowid aliases, and so dense numbers, only to columns declared INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")
_Slug = String(64)


def _present(column: str) -> TextClause:
    return text(f"{column} IS NOT NULL")


_Time = String(32)
"""UTC, ISO 8601 with seconds: sorts as text, reads the same in both databases."""

sources = Table(
    "sources",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("id", _Slug, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("kind", _Slug, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("collected_on", String(10), nullable=False),
    Column("data_classes", Text, nullable=False),
    Column("geography", Text, nullable=False),
    Column("legacy", Boolean, nullable=False),
    Column("item_set", LargeBinary, nullable=False),
    Column("document_set", LargeBinary, nullable=False),
    Column("subject_set", LargeBinary, nullable=False, server_default=""),
    Column("opted_out_set", LargeBinary, nullable=False, server_default=""),
    Column("size_bytes", _Number, nullable=False, server_default="0"),
    Column("origin", Text, nullable=False, server_default=""),
    Column("classification", Text, nullable=False, server_default=""),
    Column("generation_method", Text, nullable=False, server_default=""),
    Column("intended_purpose", Text, nullable=False, server_default=""),
    Column("original_purpose", Text, nullable=False, server_default=""),
    Column("scraped", _Slug, nullable=False, server_default="no"),
    Column("retention_days", Integer),
    Column("registered_at", _Time, nullable=False, server_default=""),
)
"""`subject_set`, `opted_out_set` and `size_bytes` sum up the items that are not erased: what exposure asks without reading rows."""

channels = Table(
    "channels",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False),
    Column("kind", _Slug, nullable=False),
    Column("location", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
    Column("closed_at", _Time),
)

quarantines = Table(
    "quarantines",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False),
    Column("folder", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("item_set", LargeBinary, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
    Column("expires_on", String(10), nullable=False),
)

quarantine_events = Table(
    "quarantine_events",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("quarantine_id", ForeignKey("quarantines.id"), nullable=False, index=True),
    Column("event", _Slug, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("order_id", _Slug),
    Column("note", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

backups = Table(
    "backups",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("location", Text, nullable=False),
    Column("stores", Text, nullable=False),
    Column("made_on", String(10), nullable=False),
    Column("expires_on", String(10), nullable=False),
    Column("item_set", LargeBinary, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

backup_events = Table(
    "backup_events",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("backup_id", ForeignKey("backups.id"), nullable=False, index=True),
    Column("event", _Slug, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

assessments = Table(
    "assessments",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False, index=True),
    Column("assessed_on", String(10), nullable=False),
    Column("evidence_sha256", String(64), nullable=False),
    Column("result", _Slug, nullable=False),
    Column("next_due", String(10), nullable=False),
    Column("note", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

privacy_policies = Table(
    "privacy_policies",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False, index=True),
    Column("in_force_on", String(10), nullable=False),
    Column("text_sha256", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("recipient_categories", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

agreements = Table(
    "agreements",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False),
    Column("parties", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("prohibitions", Text, nullable=False),
    Column("basis", _Slug, nullable=False),
    Column("valid_from", String(10), nullable=False),
    Column("valid_until", String(10)),
    Column("document_sha256", String(64), nullable=False),
    Column("terms", Text, nullable=False, server_default="{}"),
)

agreement_events = Table(
    "agreement_events",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("agreement_id", ForeignKey("agreements.id"), nullable=False, index=True),
    Column("status", _Slug, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("public_key", String(64), nullable=False),
)

interests = Table(
    "interests",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("kind", _Slug, nullable=False),
    Column("declared_on", String(10), nullable=False),
    Column("person_id", _Slug),
    Column("source_id", _Slug),
)

holdings = Table(
    "holdings",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("held", Text, nullable=False),
    Column("kind", _Slug, nullable=False),
    Column("share", Text, nullable=False),
    Column("declared_on", String(10), nullable=False),
    Column("person_id", _Slug, nullable=False),
)
"""Which organisation holds a stake in which: a graph without cycles, along which interests reach."""

stores = Table(
    "stores",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("id", _Slug, nullable=False, unique=True),
    Column("kind", _Slug, nullable=False),
    Column("location", Text, nullable=False),
    Column("options", Text, nullable=False),
)

objects = Table(
    "objects",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("store_no", ForeignKey("stores.no"), nullable=False),
    Column("name", Text, nullable=False),
    Index("uq_objects_store_no_name", "store_no", "name", unique=True),
)

subjects = Table(
    "subjects",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False),
    Column("pseudonym", LargeBinary(32), nullable=False),
    Index("uq_subjects_source_no_pseudonym", "source_no", "pseudonym", unique=True),
)

items = Table(
    "items",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("source_no", _Number, nullable=False),
    Column("subject_no", _Number),
    Column("parent_id", _Number),
    Column("batch_no", _Number, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("signals", SmallInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size_bytes", _Number, nullable=False),
    Index(
        "ix_items_subject_no",
        "subject_no",
        sqlite_where=_present("subject_no"),
        postgresql_where=_present("subject_no"),
    ),
    Index(
        "ix_items_parent_id", "parent_id", sqlite_where=_present("parent_id"), postgresql_where=_present("parent_id")
    ),
)

digests = Table(
    "digests",
    metadata,
    Column("item_id", _Number, primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False, index=True),
    Column("pixels", LargeBinary(32), nullable=False),
    Column("pdq", LargeBinary(32), nullable=False),
    Column("pdq_quality", SmallInteger, nullable=False),
)

copies = Table(
    "copies",
    metadata,
    Column("item_id", _Number, primary_key=True),
    Column("object_no", _Number, primary_key=True),
    Column("selector", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
    Column("size_bytes", _Number, nullable=False),
    Index("ix_copies_object_no_selector", "object_no", "selector"),
    sqlite_with_rowid=False,
)

item_attributes = Table(
    "item_attributes",
    metadata,
    Column("item_id", _Number, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("data_class", _Slug, nullable=False),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

subject_attributes = Table(
    "subject_attributes",
    metadata,
    Column("subject_no", _Number, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("data_class", _Slug, nullable=False),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

notices = Table(
    "notices",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("language", _Slug, primary_key=True),
    Column("text_sha256", String(64), nullable=False),
    Column("published_on", String(10), nullable=False),
    Column("controllers", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("data_types", Text, nullable=False),
    Column("recipients", Text, nullable=False),
    Column("storage", Text, nullable=False),
    Column("retention", Text, nullable=False),
    Column("withdrawal_method", Text, nullable=False),
    Column("separate_from_terms", Boolean, nullable=False),
    Column("sharing_disclosed", Boolean, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
    sqlite_with_rowid=False,
)

consent_terms = Table(
    "consent_terms",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("purpose", _Slug, nullable=False),
    Column("state", _Slug, nullable=False),
    Column("notice", Text, nullable=False),
    Column("basis", _Slug, nullable=False),
    Column("released", Boolean, nullable=False),
    Index("uq_consent_terms_said", "purpose", "state", "notice", "basis", "released", unique=True),
)
"""The different things that people have said; a few dozen rows for millions of people."""

consents = Table(
    "consents",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("terms_no", ForeignKey("consent_terms.no"), nullable=False),
    Column("said_at", _Number, nullable=False),
    Column("valid_from", _Number, nullable=False),
    Column("valid_until", _Number),
    Column("subject_no", _Number),
    Column("subject_set", LargeBinary),
    Column("chunk", LargeBinary),
    Column("subject_first", _Number),
    Column("subject_last", _Number),
    Column("said_until", _Number),
    Column("recorded_at", _Time, nullable=False),
    Index(
        "ix_consents_subject_no",
        "subject_no",
        sqlite_where=_present("subject_no"),
        postgresql_where=_present("subject_no"),
    ),
    Index(
        "ix_consents_said_at",
        "said_at",
        sqlite_where=_present("subject_set"),
        postgresql_where=_present("subject_set"),
    ),
    Index(
        "ix_consents_subject_first",
        "subject_first",
        sqlite_where=_present("subject_first"),
        postgresql_where=_present("subject_first"),
    ),
)
"""Who said it, and when: one person (`subject_no`), all who said the same at the same second (`subject_set`), or many people each
at a second of their own (`chunk`, packed by `books.consent_words`; its row has the least and the most of its subjects and of its
times, so that a question about few leaves most chunks unread). Times are UTC seconds since 1970."""

consent_records = Table(
    "consent_records",
    metadata,
    Column("subject_no", _Number, primary_key=True),
    Column("consent_no", _Number, primary_key=True),
    Column("record_id", Text, nullable=False, index=True),
    Column("release_sha256", String(64)),
    sqlite_with_rowid=False,
)
"""What one person's record has of its own: the id it came with, the digest of a written release. Rows only where there is one."""

residents = Table(
    "residents",
    metadata,
    Column("jurisdiction", _Slug, primary_key=True),
    Column("subject_set", LargeBinary, nullable=False),
)

retention_schedule = Table(
    "retention_schedule",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("data_class", _Slug, nullable=False),
    Column("days", Integer, nullable=False),
    Column("basis", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)
"""How long a class of data is kept; the last entry of a class counts, and a class without one is refused (R31, R32)."""

batches = Table(
    "batches",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("source_no", ForeignKey("sources.no"), nullable=False),
    Column("counts", Text, nullable=False),
    Column("first_item", _Number, nullable=False),
    Column("item_count", _Number, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
    Column("channel_id", _Slug),
    Column("subject_column", LargeBinary, nullable=False, server_default=""),
    Column("parent_column", LargeBinary, nullable=False, server_default=""),
)
"""`subject_column`: the person in each item of the batch, little-endian 32-bit numbers from `first_item` on, 0 for nobody known:
who is in millions of items, without reading their rows. `parent_column`: in the same way the item that each was made from,
4294967295 for none; empty where that holds for the whole batch."""

datasets = Table(
    "datasets",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("purpose", _Slug, nullable=False),
    Column("item_set", LargeBinary, nullable=False),
    Column("root", String(64), nullable=False),
    Column("size", _Number, nullable=False),
    Column("override", Text),
    Column("definition", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("purpose", _Slug, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("started_at", _Time, nullable=False),
    Column("ended_at", _Time),
    Column("cost", Text),
)

lineage = Table(
    "lineage",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("above_kind", _Slug, nullable=False),
    Column("above", _Slug, nullable=False),
    Column("below_kind", _Slug, nullable=False),
    Column("below", _Slug, nullable=False),
    Column("how", _Slug, nullable=False),
    Index("uq_lineage_edge", "above_kind", "above", "below_kind", "below", "how", unique=True),
)

models = Table(
    "models",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("run_id", _Slug, nullable=False),
    Column("kind", _Slug, nullable=False),
    Column("object_name", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("files", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

model_events = Table(
    "model_events",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("model_id", ForeignKey("models.id"), nullable=False, index=True),
    Column("event", _Slug, nullable=False),
    Column("order_id", _Slug),
    Column("body", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("model_id", _Slug, nullable=False, index=True),
    Column("dataset_id", _Slug, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("source_id", _Slug, nullable=False),
    Column("profile", _Slug, nullable=False),
    Column("authority", Text, nullable=False),
    Column("instrument_name", Text, nullable=False),
    Column("instrument_sha256", String(64), nullable=False),
    Column("effective", String(10), nullable=False),
    Column("opened_by", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
    Column("scope", LargeBinary, nullable=False),
    Column("kind", _Slug, nullable=False, server_default="instrument"),
    Column("selector", Text, nullable=False, server_default="{}"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("order_id", ForeignKey("orders.id"), nullable=False, index=True),
    Column("state", _Slug, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", _Time, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("order_id", ForeignKey("orders.id"), nullable=False, index=True),
    Column("digest", String(64), nullable=False),
    Column("author", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("plan_id", ForeignKey("plans.id"), nullable=False, index=True),
    Column("person_id", _Slug, nullable=False),
    Column("signature", String(128), nullable=False),
    Column("at", _Time, nullable=False),
    Index("uq_approvals_plan_id_person_id", "plan_id", "person_id", unique=True),
)

recipients = Table(
    "recipients",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("category", _Slug, nullable=False),
    Column("geography", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

disclosures = Table(
    "disclosures",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("kind", _Slug, nullable=False),
    Column("recipient_id", _Slug),
    Column("disclosed_on", String(10), nullable=False),
    Column("item_set", LargeBinary, nullable=False),
    Column("models", Text, nullable=False),
    Column("data_classes", Text, nullable=False),
    Column("purpose", _Slug, nullable=False),
    Column("basis", Text, nullable=False),
    Column("agreement_id", _Slug),
    Column("channel", Text, nullable=False),
    Column("dataset_id", _Slug),
    Column("note", Text, nullable=False, server_default=""),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)
"""Every way out: `export`, `share`, `model-delivery`, `reader` (no recipient: read inside the house). A `reader` row has an empty
`item_set`: its dataset, which never changes, says what was read; openings are many, and sets can be large."""

instructions = Table(
    "instructions",
    metadata,
    Column("id", _Slug, primary_key=True),
    Column("order_id", ForeignKey("orders.id"), nullable=False),
    Column("recipient_id", ForeignKey("recipients.id"), nullable=False),
    Column("item_set", LargeBinary, nullable=False),
    Column("models", Text, nullable=False),
    Column("pack_sha256", String(64), nullable=False),
    Column("due", String(10)),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)

instruction_events = Table(
    "instruction_events",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("instruction_id", ForeignKey("instructions.id"), nullable=False, index=True),
    Column("event", _Slug, nullable=False),
    Column("document_sha256", String(64)),
    Column("note", Text, nullable=False),
    Column("person_id", _Slug, nullable=False),
    Column("at", _Time, nullable=False),
)
"""What became of an instruction: `replied`, `confirmed`, `forwarded`. Sharing is frozen until `confirmed` (R17)."""

suppression = Table(
    "suppression",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("order_id", _Slug, nullable=False, index=True),
    Column("sha_mac", LargeBinary(32), nullable=False, index=True),
    Column("pixel_mac", LargeBinary(32), nullable=False),
    Column("pdq_sealed", LargeBinary, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("kind", _Slug, nullable=False),
    Column("body", Text, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("at", _Time, nullable=False),
    Column("log_index", _Number, unique=True),
)
"""The outbox: written in the transaction of the act, drained into the log afterwards, kept with its salt for proofs."""
