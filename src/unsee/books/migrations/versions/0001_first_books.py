"""The first books."""

import sqlalchemy as sa
from alembic import op

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "consents",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("subject_no", _NUMBER, nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.String(length=32), nullable=False),
        sa.Column("valid_until", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("no", name="pk_consents"),
    )
    op.create_index("ix_consents_subject_no_purpose", "consents", ["subject_no", "purpose"], unique=False)
    op.create_table(
        "copies",
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("object_no", _NUMBER, nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("size_bytes", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("item_id", "object_no", "selector", name="pk_copies"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_copies_object_no_selector", "copies", ["object_no", "selector"], unique=False)
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("item_set", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("size", _NUMBER, nullable=False),
        sa.Column("override", sa.Text(), nullable=True),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_table(
        "digests",
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pixels", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pdq", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pdq_quality", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_digests"),
    )
    op.create_index("ix_digests_sha256", "digests", ["sha256"], unique=False)
    op.create_table(
        "evaluations",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_model_id", "evaluations", ["model_id"], unique=False)
    op.create_table(
        "facts",
        sa.Column("seq", _NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("log_index", _NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_facts"),
        sa.UniqueConstraint("log_index", name="uq_facts_log_index"),
    )
    op.create_table(
        "interests",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("declared_on", sa.String(length=10), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=True),
        sa.Column("source_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("no", name="pk_interests"),
    )
    op.create_table(
        "item_attributes",
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("data_class", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "name", name="pk_item_attributes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "items",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("subject_no", _NUMBER, nullable=True),
        sa.Column("parent_id", _NUMBER, nullable=True),
        sa.Column("batch_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("signals", sa.SmallInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size_bytes", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
    )
    op.create_index("ix_items_parent_id", "items", ["parent_id"], unique=False)
    op.create_index("ix_items_subject_no", "items", ["subject_no"], unique=False)
    op.create_table(
        "lineage",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("above_kind", sa.String(length=64), nullable=False),
        sa.Column("above", sa.String(length=64), nullable=False),
        sa.Column("below_kind", sa.String(length=64), nullable=False),
        sa.Column("below", sa.String(length=64), nullable=False),
        sa.Column("how", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_lineage"),
    )
    op.create_index("uq_lineage_edge", "lineage", ["above_kind", "above", "below_kind", "below", "how"], unique=True)
    op.create_table(
        "models",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("source_id", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("instrument_name", sa.Text(), nullable=False),
        sa.Column("instrument_sha256", sa.String(length=64), nullable=False),
        sa.Column("effective", sa.String(length=10), nullable=False),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("public_key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("ended_at", sa.String(length=32), nullable=True),
        sa.Column("cost", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_table(
        "sources",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("collected_on", sa.String(length=10), nullable=False),
        sa.Column("data_classes", sa.Text(), nullable=False),
        sa.Column("geography", sa.Text(), nullable=False),
        sa.Column("legacy", sa.Boolean(), nullable=False),
        sa.Column("item_set", sa.LargeBinary(), nullable=False),
        sa.Column("document_set", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_sources"),
        sa.UniqueConstraint("id", name="uq_sources_id"),
    )
    op.create_table(
        "stores",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_stores"),
        sa.UniqueConstraint("id", name="uq_stores_id"),
    )
    op.create_table(
        "subject_attributes",
        sa.Column("subject_no", _NUMBER, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("data_class", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject_no", "name", name="pk_subject_attributes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "suppression",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("sha_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pixel_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pdq_sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_suppression"),
    )
    op.create_index("ix_suppression_order_id", "suppression", ["order_id"], unique=False)
    op.create_index("ix_suppression_sha_mac", "suppression", ["sha_mac"], unique=False)
    op.create_table(
        "agreements",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("parties", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("prohibitions", sa.Text(), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("valid_from", sa.String(length=10), nullable=False),
        sa.Column("valid_until", sa.String(length=10), nullable=True),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_agreements_source_no"),
        sa.PrimaryKeyConstraint("id", name="pk_agreements"),
    )
    op.create_table(
        "batches",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("first_item", _NUMBER, nullable=False),
        sa.Column("item_count", _NUMBER, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_batches_source_no"),
        sa.PrimaryKeyConstraint("no", name="pk_batches"),
    )
    op.create_table(
        "model_events",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_events_model_id"),
        sa.PrimaryKeyConstraint("no", name="pk_model_events"),
    )
    op.create_index("ix_model_events_model_id", "model_events", ["model_id"], unique=False)
    op.create_table(
        "objects",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("store_no", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["store_no"], ["stores.no"], name="fk_objects_store_no"),
        sa.PrimaryKeyConstraint("no", name="pk_objects"),
    )
    op.create_index("uq_objects_store_no_name", "objects", ["store_no", "name"], unique=True)
    op.create_table(
        "order_events",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_events_order_id"),
        sa.PrimaryKeyConstraint("no", name="pk_order_events"),
    )
    op.create_index("ix_order_events_order_id", "order_events", ["order_id"], unique=False)
    op.create_table(
        "plans",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_plans_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
    )
    op.create_index("ix_plans_order_id", "plans", ["order_id"], unique=False)
    op.create_table(
        "subjects",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("source_no", _NUMBER, nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["source_no"], ["sources.no"], name="fk_subjects_source_no"),
        sa.PrimaryKeyConstraint("no", name="pk_subjects"),
    )
    op.create_index("uq_subjects_source_no_pseudonym", "subjects", ["source_no", "pseudonym"], unique=True)
    op.create_table(
        "agreement_events",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("agreement_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name="fk_agreement_events_agreement_id"),
        sa.PrimaryKeyConstraint("no", name="pk_agreement_events"),
    )
    op.create_index("ix_agreement_events_agreement_id", "agreement_events", ["agreement_id"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_approvals_plan_id"),
        sa.PrimaryKeyConstraint("no", name="pk_approvals"),
    )
    op.create_index("ix_approvals_plan_id", "approvals", ["plan_id"], unique=False)
    op.create_index("uq_approvals_plan_id_person_id", "approvals", ["plan_id", "person_id"], unique=True)
